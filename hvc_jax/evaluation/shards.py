"""An evaluation as jobs on SLURM: each measures some of the clips, and their rows are put together.

All jobs write into the same folder, which all machines see. A job has a file of rows of its own,
`results.part-N.csv`; streams, strips and anchors have names of their own anyway.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hvc_jax.evaluation.run import Results, evaluate, part_path
from hvc_jax.evaluation.settings import Settings
from hvc_jax.ops.slurm import run_shards


def evaluate_on_slurm(
    clips: Sequence[Path],  # Video files with distinct names
    # What to do; `settings.out` exists, and all machines see it under this name
    settings: Settings,
    shards: int,  # Jobs at most; each takes every n-th clip
    options: dict[str, Any],  # Parameters of submitit
    jobs: int = 1,  # Processes side by side in each job
    **how: Any,  # See `ops.slurm.run_shards`, as the errors
) -> None:
    """Measures what is not in results.csv yet, by several jobs, and merges their rows into it.

    Called again after a failure, it keeps the rows that were made.
    """
    folder = settings.out / "slurm"
    merge_parts(settings.out)
    parts = [list(clips[i::shards]) for i in range(min(shards, len(clips)))]
    calls = [(evaluate, part, settings, jobs, True, number) for number, part in enumerate(parts)]
    ran = run_shards(calls, folder, options, **how)
    for number, _ in ran:
        merge_parts(settings.out, [number])


def merge_parts(out: Path, numbers: Sequence[int] | None = None) -> None:
    """Moves rows of `results.part-N.csv` into results.csv; ValueError: of another version."""
    paths = out.glob("results.part-*.csv")
    if numbers is not None:
        paths = (part_path(out, number) for number in numbers)
    table = Results(out / "results.csv")
    for path in sorted(path for path in paths if path.exists()):
        table.add(Results(path).rows)
        path.unlink()
