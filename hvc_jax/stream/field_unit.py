"""FIELD units: later key pictures of a segment, and the displacement field between key pictures.

    payload   varint frames - 1, varint number of pictures,
              for every picture in coded order: varint (frame it shows - first frame),
              varint length, coded picture;
              u8 predicted * 128 + grid * 16 + step, the field

The frames from the unit's own on are those that it describes. Imports no jax.
"""

import dataclasses

from hvc_jax.stream.header import MAX_FRAMES, Payload, varint
from hvc_jax.stream.units import Unit

MAX_FIELD_FRAMES = 256
MAX_PICTURES = 256
MAX_AHEAD = 4096
"""Frames from the first of a unit to one that a picture in it shows, at most."""
GRIDS = (8, 16, 4, 12)
"""Control points along the shorter side of the picture, by the number of the grid."""


@dataclasses.dataclass(frozen=True)
class Predicted:
    """A key picture predicted from earlier ones of its segment: number of its frame, payload."""

    frame: int
    payload: bytes


@dataclasses.dataclass(frozen=True)
class FieldGroup:
    """The content of a FIELD unit of 1 to 256 frames, the first of which has the number `frame`."""

    frame: int
    count: int
    # key pictures in coded order; those of frames behind the group are there early where others are
    # predicted from them
    pictures: tuple[Predicted, ...]
    grid: int  # index into `GRIDS`
    step: int  # index of the quantiser's step, 0 to 15
    payload: bytes  # the displacement field of the frames that no key picture shows
    # whether the field of the frame before predicts those of the unit's first frames
    predicted: bool = False


def field_payload(group: FieldGroup) -> bytes:
    """Returns the payload of the FIELD unit of `group`."""
    out = varint(group.count - 1) + varint(len(group.pictures))
    for picture in group.pictures:
        out += varint(picture.frame - group.frame) + varint(len(picture.payload))
        out += picture.payload
    form = group.predicted << 7 | group.grid << 4 | group.step
    return out + bytes([form]) + group.payload


def field_group(unit: Unit) -> FieldGroup:
    """Returns the content of a FIELD unit. Raises BitstreamError: when it is malformed."""
    payload = Payload(unit.payload, "a field unit", unit.offset)
    count, number = payload.varint() + 1, payload.varint()
    if count > MAX_FIELD_FRAMES or unit.frame + count > MAX_FRAMES:
        raise payload.error(f"a field of {count} frames at frame {unit.frame} is not allowed")
    if number > MAX_PICTURES:
        raise payload.error(f"{number} key pictures in a unit are not allowed")
    pictures: dict[int, Predicted] = {}
    for _ in range(number):
        offset, length = payload.varint(), payload.varint()
        frame = unit.frame + offset
        if offset > MAX_AHEAD or frame in pictures:
            raise payload.error("a key picture shows a frame that is far off, or one twice")
        pictures[frame] = Predicted(frame, payload.take(length))
    form = payload.byte()
    predicted, grid, step = bool(form >> 7), form >> 4 & 7, form & 15
    if grid >= len(GRIDS):
        raise payload.error(f"grid {grid} of a field is unknown")
    shown = tuple(pictures.values())
    return FieldGroup(unit.frame, count, shown, grid, step, payload.rest(), predicted)


def grid_size(grid: int, height: int, width: int) -> tuple[int, int]:
    """Returns (rows, columns) of control points for a picture of height x width pixels."""
    points, short = GRIDS[grid], min(height, width)
    rows, columns = (max(1, round(points * side / short)) for side in (height, width))
    return min(rows, 4 * points), min(columns, 4 * points)
