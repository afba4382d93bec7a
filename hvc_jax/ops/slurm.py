"""Jobs on SLURM, by submitit, an optional package."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any


class ShardError(RuntimeError):
    """Some of several jobs failed; the message says where their output is."""


def run_shards(
    calls: Sequence[tuple],
    folder: Path,
    options: dict[str, Any],
    *,
    cluster: str = "slurm",
    executor: Any = None,
    report: Callable[[str], None] = print,
) -> Iterator[tuple[int, Any]]:
    """Runs calls as jobs; yields the number and the job of each as it ends, None if it failed.

    `calls` are (function, arguments ...); `executor` stands in for `slurm_executor(folder, options,
    cluster)`; `report` takes a line for each job that ends. Raises ShardError: Jobs failed; once
    all have ended. Raises ValueError: There is no SLURM here.
    """
    executor = executor or slurm_executor(folder, options, cluster)
    with executor.batch():
        jobs = {number: executor.submit(*call) for number, call in enumerate(calls)}
    failed = 0
    for number, job in ended(jobs, cluster):
        error = job.exception()
        failed += error is not None
        report(f"job {number + 1} of {len(calls)}: {'failed' if error else 'done'}")
        yield number, None if error else job
    if failed:
        raise ShardError(
            f"{failed} of {len(calls)} jobs failed; see {folder}, then run it again: what was made "
            "is kept"
        )


def ended(jobs: dict[Any, Any], cluster: str = "slurm") -> Iterator[tuple[Any, Any]]:
    """Yields submitit's jobs by their names or numbers as they end, looking every ten seconds."""
    waiting = dict(jobs)
    while waiting:
        for name in [name for name, job in waiting.items() if job.done()]:
            yield name, waiting.pop(name)
        time.sleep(10 if cluster == "slurm" and waiting else 0.01)


def slurm_executor(folder: Path, options: dict[str, Any], cluster: str = "slurm") -> Any:
    """A submitit executor.

    Args:
        folder: Shared by all machines; takes submitit's files; made if missing.
        options: Parameters of submitit, as {"timeout_min": 600, "slurm_partition": "gpu"}.
        cluster: "slurm"; "local" runs the jobs here.

    Raises ValueError: submitit is not installed or finds no SLURM here.
    """
    try:
        import submitit
    except ImportError:
        raise ValueError(
            "SLURM needs submitit, which is not installed; run: pip install submitit"
        ) from None
    folder.mkdir(parents=True, exist_ok=True)
    try:
        executor = submitit.AutoExecutor(folder, cluster=cluster)
        executor.update_parameters(**({"timeout_min": 24 * 60} | options))
    except (RuntimeError, NameError, TypeError) as error:
        raise ValueError(f"cannot use SLURM here: {' '.join(str(error).split())}") from None
    return executor


def slurm_option(text: str) -> tuple[str, Any]:
    """A "NAME=VALUE" item of `--slurm`, whole numbers as int. Raises ValueError: It is none."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--slurm {text}: write NAME=VALUE, as timeout_min=600")
    return name, int(value) if value.isdigit() else value
