"""A data set prepared by jobs on SLURM: each makes a part of it, and the parts are put together."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hvc_jax.data import coded_keys
from hvc_jax.data.builders import FrameBuilder
from hvc_jax.data.errors import ClipError
from hvc_jax.data.frames import FrameDataset, skipped_files, split_names
from hvc_jax.ops.slurm import run_shards

MakeBuilder = Callable[[Path], FrameBuilder]
"""Folder of the data set -> its builder; it is sent to the jobs, which import it by its name."""


def prepare_on_slurm(
    make: MakeBuilder,
    folder: Path,  # Where the data set goes; all machines see it under this name
    shards: int,  # Jobs; each takes every n-th video
    options: dict[str, Any],  # Parameters of submitit
    keys: tuple[int, int],  # Key pictures of a clip, and qualities of each, see `coded_keys.build`
    **how: Any,  # See `ops.slurm.run_shards`, as the errors
) -> FrameBuilder:
    """Builds a data set by several jobs and puts it together; returns its builder.

    Clips and frames are those of one job; which of them are key pictures differs. Called again
    after a failure, it keeps the parts that were made.
    """
    work = folder / "slurm"
    parts, skipped = {}, []
    calls = [(_part, make, work, number, shards, keys) for number in range(shards)]
    ran = run_shards(calls, work, options, **how)
    for number, job in ran:
        directory, files = job.result() if job else ("", [])
        skipped += files
        parts |= {number: Path(directory)} if directory else {}
    builder = make(folder)
    builder.skipped = sorted(skipped)
    merge(builder, [parts[number] for number in sorted(parts)])
    shutil.rmtree(work)
    return builder


def _part(
    make: MakeBuilder, work: Path, number: int, shards: int, keys: tuple[int, int]
) -> tuple[str, list[str]]:
    """Makes a part; returns its folder, "" where it has no clip, and files that were left out."""
    builder = make(work / f"part-{number}-of-{shards}")
    builder.part = number, shards
    try:
        builder.build()
    except ClipError:
        return "", builder.skipped
    directory = Path(builder.data_dir)
    for split in split_names(directory) if keys[0] else ():
        dataset = FrameDataset(directory, split)
        if not coded_keys.records_path(dataset).exists():
            coded_keys.build(dataset, *keys)
    return str(directory), skipped_files(directory)


def merge(builder: FrameBuilder, parts: Sequence[Path]) -> None:
    """Builds a data set, coded key pictures included, from those of its parts."""
    builder.parts = parts
    builder.build()
    for split in split_names(builder.data_dir):
        of_split = [FrameDataset(path, split) for path in parts if split in split_names(path)]
        coded_keys.merge(FrameDataset(builder.data_dir, split), of_split)
