"""FIELD units: later key pictures of a segment, and the displacement field between key pictures.

    payload   varint frames - 1, varint number of pictures,
              for every picture in coded order: varint (frame it shows - first frame),
              varint length, coded picture; then the field

The frames from the unit's own on are those that it describes. Imports no jax.
"""

import dataclasses

from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import MAX_FRAMES, read_varint, varint
from hvc_jax.stream.units import Unit

MAX_FIELD_FRAMES = 1024
MAX_PICTURES = 256


@dataclasses.dataclass(frozen=True)
class Predicted:
    """A key picture that is predicted from those of its segment that were coded before.

    Attributes:
      frame: number of the frame that it shows.
      payload: the coded picture.
    """

    frame: int
    payload: bytes


@dataclasses.dataclass(frozen=True)
class FieldGroup:
    """The content of a FIELD unit.

    Attributes:
      frame: number of the first frame.
      count: number of frames, 1 to 1024.
      pictures: key pictures in coded order; each shows one of the frames.
      payload: the displacement field of the frames that no key picture shows.
    """

    frame: int
    count: int
    pictures: tuple[Predicted, ...]
    payload: bytes


def field_payload(group: FieldGroup) -> bytes:
    """Returns the payload of the FIELD unit of `group`."""
    out = varint(group.count - 1) + varint(len(group.pictures))
    for picture in group.pictures:
        out += varint(picture.frame - group.frame) + varint(len(picture.payload))
        out += picture.payload
    return out + group.payload


def field_group(unit: Unit) -> FieldGroup:
    """Returns the content of a FIELD unit.

    Raises:
      BitstreamError: when it is malformed.
    """
    data, position = unit.payload, 0

    def next_byte() -> int:
        nonlocal position
        if position >= len(data):
            raise BitstreamError("a field unit is cut short")
        position += 1
        return data[position - 1]

    try:
        count, number = read_varint(next_byte) + 1, read_varint(next_byte)
        if count > MAX_FIELD_FRAMES or unit.frame + count > MAX_FRAMES:
            raise BitstreamError(f"a field of {count} frames at frame {unit.frame} is not allowed")
        if number > min(count, MAX_PICTURES):
            raise BitstreamError(f"{number} key pictures in {count} frames are not allowed")
        pictures: list[Predicted] = []
        for _ in range(number):
            offset, length = read_varint(next_byte), read_varint(next_byte)
            shown = {picture.frame for picture in pictures}
            if offset >= count or unit.frame + offset in shown:
                raise BitstreamError("a key picture shows no frame of its unit, or one twice")
            if position + length > len(data):
                raise BitstreamError("a key picture is cut short")
            pictures.append(Predicted(unit.frame + offset, data[position : position + length]))
            position += length
    except BitstreamError as error:
        raise BitstreamError(error.reason, unit.offset) from error
    return FieldGroup(unit.frame, count, tuple(pictures), data[position:])
