"""Motion transfer: the motion of a stream, of motion capture or of a file of bodies, as one edit.

Imports no jax until a file of bodies is read.
"""

import sys
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hvc_jax.body.driving import SUFFIXES as BODY_SUFFIXES
from hvc_jax.body.driving import load_drive
from hvc_jax.models.find import read_stream, stream_reader, tables_of_stream
from hvc_jax.stream.header import Header
from hvc_jax.stream.operations import Operation, fit_length
from hvc_jax.stream.tables import CodingTables
from hvc_jax.stream.tracks import read_tracks

SOURCE_SUFFIXES = (".hvc", *BODY_SUFFIXES)


class Motion(NamedTuple):
    """Which motion, and how it is taken."""

    path: Path  # A stream, or what `load_drive` reads
    how: str = "hold"  # What is done with another length: "hold", "loop" or "stretch"
    # Whether poses are taken as they are, not as movement since the first frame
    absolute: bool = False
    person: int | None = None  # Which of several people in a file of bodies


def retarget_operation(
    motion: Motion,
    header: Header,
    tables: CodingTables,
    frames: int,
    model: Path | None = None,
    *,
    first: int = 0,
    last: int | None = None,
    ease: int = 0,
) -> tuple[Operation, str]:
    """The edit that drives a stream by a motion, and what was done to its length.

    What was assumed of a file of bodies is printed to standard error. `header`, `tables`, `frames`
    are of the stream that takes it; `first`, `last`, `ease`: see `Operation`. Raises ValueError: A
    file of another kind, a damaged one, or one that shares no parameter.
    """
    path = motion.path
    names = [slot.name for slot in tables.schema.dynamic]
    if path.suffix.lower() in BODY_SUFFIXES:
        drive = load_drive(path, names, float(header.fps), motion.person)
        print(*drive.notes, sep="\n", end="\n" * bool(drive.notes), file=sys.stderr)
        source, moved, speed = drive.values, drive.moved, Fraction(1)
    else:
        data = read_stream(path)
        with stream_reader(data, path) as reader:
            other_tables = tables_of_stream(reader.header, path, model)
            source = read_tracks(data, other_tables, keep_units=False).values
        moved, speed = ("*",), reader.header.fps / header.fps
        other = [slot.name for slot in other_tables.schema.dynamic]
        if other != names:
            source, moved = _shared(source, other, names, path)
    wanted = max(min(last or frames, frames) - first, 1)
    source, said = _fitted(motion, source, speed, wanted)
    operation = Operation(
        "retarget", moved, 0.0, first, last, ease, source, absolute=motion.absolute
    )
    return operation, said


def _shared(
    source: np.ndarray, has: list[str], wants: list[str], path: Path
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The values of a stream with other parameters in the order wanted, and which it has."""
    columns = {name: column for column, name in enumerate(has)}
    out = np.zeros((len(source), len(wants)))
    for column, name in enumerate(wants):
        if name in columns:
            out[:, column] = source[:, columns[name]]
    whole: dict[str, bool] = {}
    for name in wants:
        group = name.rpartition("_")[0] or name
        whole[group] = whole.get(group, True) and name in columns
    moved = tuple(group for group, here in whole.items() if here)
    if not moved:
        raise ValueError(f"{path}: shares no parameter with the stream; hvc inspect shows both")
    return out, moved


def _fitted(
    motion: Motion, source: np.ndarray, speed: Fraction, wanted: int
) -> tuple[np.ndarray, str]:
    """The source's values for `wanted` frames, and what was done."""
    if not len(source):
        raise ValueError(f"{motion.path}: has no frames; give another file")
    how = motion.how
    fitted, lasts = fit_length(source, wanted, how, float(speed)), len(source) / float(speed)
    if how == "stretch":
        said = f" ({len(source)} frames stretched to {wanted})"
    elif lasts < wanted:
        done = "repeated" if how == "loop" else "the last is held, --loop repeats"
        said = f" ({lasts:.0f} frames for {wanted}: {done}, --stretch slows)"
    else:
        said = f" (the first {wanted} of {lasts:.0f} frames)" if lasts > wanted else ""
    return fitted, said
