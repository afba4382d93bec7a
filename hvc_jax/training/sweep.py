"""Sweeps: a question as a table of overrides, one training run a row, here or on SLURM.

    experiments/NAME/sweep.py    RUNS = {"low": {"config": "configs/semantic.py:size=tiny",
                                                 "loss.lmbda": 0.5}, ...}
    WORKDIR/low/                 what hvc train writes, log.txt, and sweep.json: command and outcome

A row's "config" is the argument of --config, every other key the path of a field. A sweep that is
started again skips what is finished; what was interrupted goes on from its checkpoint.
"""

import dataclasses
import json
import re
import runpy
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hvc_jax.ops.slurm import ended, slurm_executor

RECORD, LOG = "sweep.json", "log.txt"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*")
_STOP_SECONDS = 120  # for a run to save itself after SIGTERM


@dataclasses.dataclass(frozen=True)
class Run:
    """A training run of a sweep, called to train: arguments of `hvc train`, its own folder."""

    name: str
    arguments: tuple[str, ...]
    workdir: Path

    @property
    def command(self) -> list[str]:
        """The words of the command that trains it."""
        program = [sys.executable, "-m", "hvc_jax", "train"]
        return [*program, *self.arguments, "--workdir", str(self.workdir)]

    def state(self) -> str:
        """One of "new", "started", "failed", "finished", "changed" (other settings since)."""
        record = _read(self.workdir / RECORD)
        if record is None:
            return "new"
        if record["arguments"] != list(self.arguments):
            return "changed"
        if record["status"] is None:
            return "started"
        if record["status"]:
            return "failed"
        # A run that was told to stop has status 0 as well, but no model yet.
        return "finished" if any(self.workdir.glob("model*.safetensors")) else "started"

    def start(self) -> subprocess.Popen:
        """Starts it with its output appended to its log, in a session of its own.

        ^C at the terminal then reaches the sweep alone, which tells its runs to save themselves.
        """
        self.record(None)
        with (self.workdir / LOG).open("a") as log:
            return subprocess.Popen(
                self.command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def record(self, status: int | None, job: str | None = None) -> None:
        """Notes the exit status, None while it runs, and the number of its SLURM job, if new."""
        self.workdir.mkdir(parents=True, exist_ok=True)
        path = self.workdir / RECORD
        job = job or (_read(path) or {}).get("job")
        record = {"arguments": list(self.arguments), "status": status, "job": job}
        path.write_text(json.dumps(record, indent=1) + "\n")

    def __call__(self) -> int:
        """Trains here, to the end; the exit status."""
        process = self.start()
        try:
            status = process.wait()
        finally:
            _stop([process])
        self.record(status)
        return status

    def checkpoint(self) -> Any:
        """What submitit queues again when the job is preempted or out of time: the same run."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def load_runs(folder: Path, workdir: Path) -> list[Run]:
    """The runs of an experiment.

    `folder`: holds sweep.py with `RUNS`; `workdir`: every run gets the folder of its name in it.
    Raises ValueError: There is no such file or table, or a row in it is no run.
    """
    path = Path(folder) / "sweep.py"
    if not path.is_file():
        raise ValueError(f"{path}: no such file; a sweep is a sweep.py with a table RUNS in it")
    table = runpy.run_path(str(path)).get("RUNS")
    if not isinstance(table, dict) or not table:
        raise ValueError(f"{path}: has no table RUNS = {{name: {{field: value}}}}")
    return [_run(path, name, fields, Path(workdir)) for name, fields in table.items()]


def _run(path: Path, name: str, fields: Any, workdir: Path) -> Run:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{path}: run {name!r}: use letters, digits, '.', '_', '=' and '-'")
    if not isinstance(fields, dict) or "config" not in fields:
        raise ValueError(f'{path}: run {name!r} needs "config", as "configs/semantic.py:size=tiny"')
    overrides = [f"--config.{k}={value}" for k, value in fields.items() if k != "config"]
    return Run(name, ("--config", str(fields["config"]), *overrides), workdir / name)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):  # cut off by a crash: as if it had never started
        return None


def _stop(processes: Sequence[subprocess.Popen]) -> None:
    """Tells processes that still run to save and end, and waits for them."""
    running = [process for process in processes if process.poll() is None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run_locally(runs: Sequence[Run], jobs: int = 1) -> Iterator[tuple[Run, int]]:
    """Trains runs on this machine and yields each with its exit status as it ends.

    Whatever ends the iteration early also stops the runs under way, which save themselves.

    `runs`: those to train; `jobs`: how many side by side.
    """
    waiting, running = list(runs), {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop(0)
                running[run] = run.start()
            for run in [r for r, process in running.items() if process.poll() is not None]:
                status = running.pop(run).returncode
                run.record(status)
                yield run, status
            time.sleep(0.1)
    finally:
        _stop(list(running.values()))


def run_on_slurm(
    runs: Sequence[Run], folder: Path, options: dict[str, Any], cluster: str = "slurm"
) -> Iterator[tuple[Run, int]]:
    """Queues runs as one SLURM array and yields each with its exit status as it ends.

    Jobs outlive this program: called again, it waits for those that are still queued or running and
    queues the others. `folder`, `options`, `cluster` and errors: see `ops.slurm.slurm_executor`.
    """
    executor = slurm_executor(folder, options, cluster)
    import submitit

    jobs, fresh = {}, []
    for run in runs:
        number = (_read(run.workdir / RECORD) or {}).get("job")
        job = submitit.SlurmJob(folder, number) if number and cluster == "slurm" else None
        if job is not None and run.state() == "started" and not job.done():
            jobs[run] = job
        else:
            fresh.append(run)
    if fresh:  # submitit complains of an empty array
        with executor.batch():
            submitted = [executor.submit(run) for run in fresh]
        for run, job in zip(fresh, submitted, strict=True):
            run.record(None, job.job_id)
            jobs[run] = job
    for run, job in ended(jobs, cluster):
        status = 1 if job.exception() else job.result()
        run.record(status, job.job_id)
        yield run, status
