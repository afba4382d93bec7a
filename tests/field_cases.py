"""Small streams with displacement fields, made of random integers instead of pictures."""

import io
import math
import random
from typing import NamedTuple

import numpy as np
from stream_cases import KEY_PAYLOAD, waving

from hvc_jax.stream.container import StreamWriter
from hvc_jax.stream.edit import edit
from hvc_jax.stream.field import FieldLevels, encode_levels
from hvc_jax.stream.field_layout import Segment, planes, segments
from hvc_jax.stream.field_unit import FieldGroup, Predicted, grid_size
from hvc_jax.stream.header import Header
from hvc_jax.stream.operations import Operation
from hvc_jax.stream.schema import builtin_schema
from hvc_jax.stream.tables import default_tables
from hvc_jax.stream.vectors import VectorEncoder


class FieldCase(NamedTuple):
    """What a stream is made of.

    Attributes:
      size: (height, width) in pixels.
      grid: number of the grid of control points.
      step: the step that units name.
      units: (first frame, frames, frames that its pictures show) of every FIELD unit.
      keys: frames of KEY units, each the first of a FIELD unit.
      density: share of levels that are not zero; -1 for units that say nothing at all.
      scale: how large they are, up to 1023.
      predicted: whether units say that the frame before predicts them.
    """

    size: tuple[int, int] = (64, 64)
    grid: int = 0
    step: int = 4
    units: tuple[tuple[int, int, tuple[int, ...]], ...] = ((0, 6, ()),)
    keys: tuple[int, ...] = (0,)
    density: float = 0.1
    scale: float = 3
    predicted: bool = False


CASES = {
    "one key": FieldCase(),
    "two keys": FieldCase((64, 90), 2, 8, ((0, 9, (8,)),), scale=1),  # 5.6 columns
    "several segments": FieldCase(units=((0, 14, (12, 4, 8)),), step=0),
    "one frame, 16 x 16": FieldCase((48, 48), 1, 15, ((0, 2, ()),), density=0.3),
    "one frame between two": FieldCase((48, 80), 1, 11, ((0, 3, (2,)),), density=0.05),
    "pictures ahead, upright": FieldCase((96, 64), 3, 7, ((0, 5, (8, 4)), (5, 6, ()))),
    "at most four times": FieldCase((1024, 32), 2, 3, ((0, 5, (3,)),)),
    "even halves": FieldCase((16, 18), 2, 3, ((0, 4, (3,)),)),  # 4.5 columns
    "odd halves": FieldCase((22, 16), 2, 3, ((0, 4, (3,)),)),  # 5.5 rows
    "two intra keys": FieldCase(units=((0, 5, (4,)), (5, 5, (12,)), (10, 4, ())), keys=(0, 5)),
    "large": FieldCase(grid=2, units=((0, 7, (5,)),), density=0.7, scale=400),
    "full": FieldCase(grid=2, units=((0, 5, (4,)),), density=1, scale=12),
    "modes alone": FieldCase(grid=2, units=((0, 21, (4, 8, 12, 16, 20)),), density=0),
    "nothing": FieldCase(units=((0, 7, (6,)),), density=-1),
    "pictures alone": FieldCase(units=((0, 2, (1,)), (2, 1, (2,)))),
}

LIVE = FieldCase(
    (48, 64),
    2,
    5,
    tuple((t, 1, (t,) if t == 6 else ()) for t in range(12)),
    density=0.05,
    predicted=True,
)
"""A frame a unit, as without lookahead; all but those at key pictures are short.

tests/golden/field_live.hvc was made of it."""
CASES["a frame a unit"] = LIVE

GOLDEN = FieldCase(
    (48, 64), 2, 5, ((0, 10, (12, 4, 8)), (10, 5, ()), (15, 4, (18,)), (19, 1, ())), (0, 15), 0.2, 9
)
"""What tests/golden/field.hvc was made of: every kind of plane, modes and sizes of levels."""


def layout(case: FieldCase, number: int) -> list[Segment]:
    """The segments of the frames of unit `number` that no picture shows."""
    first, count, _ = case.units[number]
    start = max(key for key in case.keys if key <= first)
    sent = [unit for unit in case.units[: number + 1] if unit[0] >= start]
    shown = sorted({start, *(frame for unit in sent for frame in unit[2])})
    frames = [t for t in range(first, first + count) if t not in shown]
    future = np.searchsorted(shown, frames)
    return segments(future - 1, np.where(future < len(shown), future, -1))


def drawn(rng: random.Random, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers [*shape] in [0, 1), the same ones for ever (NumPy's own may change)."""
    return np.array([rng.random() for _ in range(math.prod(shape))]).reshape(shape)


def random_levels(
    rng: random.Random,
    parts: list[Segment],
    grid: tuple[int, int],
    step: int,
    density: float,
    scale: float,
) -> FieldLevels:
    """Levels of both signs, more at low frequencies, and modes in two thirds of segments."""
    shape = (len(planes(parts)), *grid)
    odds = drawn(rng, shape)
    sizes = np.minimum(1 + np.floor(scale * odds / (1 - odds) / 4), 1023)
    fall = 2 / (1 + np.add.outer(np.arange(grid[0]), np.arange(grid[1])) / 4)
    there = drawn(rng, shape) < (density * fall if density < 1 else 1)
    if density < 1:
        there &= drawn(rng, (shape[0], 1, 1)) < 0.8  # some planes have none
    levels = np.where(there, sizes * np.where(drawn(rng, shape) < 0.5, -1, 1), 0)
    modes = np.zeros(sum(part.length for part in parts), np.uint8)
    for part in parts:
        if part.past and part.future and density >= 0 and rng.random() < 2 / 3:
            of_part = np.floor(3 * drawn(rng, (part.length,)))
            modes[part.start : part.start + part.length] = of_part
    return FieldLevels(levels.astype(np.int32), modes, step)


def field_stream(case: FieldCase) -> tuple[bytes, list[tuple[FieldGroup, FieldLevels]]]:
    """The stream of a case and what was coded in it."""
    rng = random.Random(sum(case.size))
    grid = grid_size(case.grid, *case.size)
    last, count, _ = case.units[-1]
    file, coded = io.BytesIO(), []
    with StreamWriter(file, Header("field", *case.size[::-1], 25, last + count)) as writer:
        for number, (first, count, shown) in enumerate(case.units):
            if first in case.keys:
                writer.write_key(first, 1, 32, KEY_PAYLOAD)
            parts = layout(case, number)
            step = case.step if rng.random() < 0.5 else int(16 * rng.random())
            value = random_levels(rng, parts, grid, step, case.density, case.scale)
            payload = encode_levels(parts, value, case.step) if parts else b""
            pictures = tuple(Predicted(t, KEY_PAYLOAD[t : 2 * t]) for t in shown)
            form = case.grid, case.step, payload, case.predicted
            group = FieldGroup(first, count, pictures, *form)
            writer.write_field(group)
            coded.append((group, value))
    return file.getvalue(), coded


def hybrid_stream(
    name: str = "upper31", frames: int = 12, edited: bool = True, group_frames: int = 4
) -> bytes:
    """A stream with parameters, empty fields and, where edited, EDIT units for some frames."""
    schema = builtin_schema(name)
    vectors, tables = waving(schema, frames), default_tables(schema)
    encoder = VectorEncoder(schema, tables, group_frames=group_frames)
    file = io.BytesIO()
    header = Header("hybrid", 64, 48, 25, frames, schema=name)
    with StreamWriter(file, header) as writer:
        writer.write_key(0, 1, 32, KEY_PAYLOAD)
        writer.write_static(0, encoder.key(vectors[0])[0])
        groups = [group for vector in vectors for group in encoder.push(vector)]
        for group in [*groups, *encoder.flush()]:
            writer.write_motion(group)
            writer.write_field(FieldGroup(group.frame, group.count, (), 0, 4, b""))
    operation = Operation("add", ("*",), 0.5, 3, 6)
    return edit(file.getvalue(), [operation], tables) if edited else file.getvalue()
