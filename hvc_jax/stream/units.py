"""Whole units: type, frame, length, payload, CRC-32; 8 to 12 bytes around the payload.

`chain` has the short ones. Imports no jax.
"""

import dataclasses
import zlib
from enum import IntEnum

from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import MAX_FRAMES, Payload, varint
from hvc_jax.stream.vectors import MAX_GROUP_FRAMES, Group

MAX_PAYLOAD = 1 << 26
SHORT = 0x80
"""First byte of a short unit with an empty payload."""


class UnitType(IntEnum):
    """Types of units; readers skip any other."""

    KEY = 1
    STATIC = 2
    MOTION = 3
    META = 5
    INDEX = 6
    FIELD = 7
    EDIT = 8
    AUDIO = 9
    EDIT_STATIC = 10


@dataclasses.dataclass(frozen=True)
class Unit:
    """One unit."""

    type: int  # a `UnitType` value, or a number that is unknown here
    frame: int  # the frame it belongs to, or the first of them
    payload: bytes  # that of a short unit as if it were a whole one
    offset: int  # position of its first byte in the stream
    size: int  # bytes it takes in the stream, framing included


def unit_bytes(type_: int, frame: int, payload: bytes) -> bytes:
    """Returns a whole unit as it stands in a stream."""
    if len(payload) > MAX_PAYLOAD or not (0 <= type_ < SHORT and 0 <= frame <= MAX_FRAMES):
        raise ValueError(
            f"a unit of type {type_}, frame {frame}, {len(payload)} bytes: not allowed"
        )
    head = bytes([type_]) + varint(frame) + varint(len(payload))
    return head + payload + zlib.crc32(payload, zlib.crc32(head)).to_bytes(4, "little")


def parse_unit(data: bytes, start: int, base: int = 0) -> Unit | int:
    """Returns the whole unit at `start`, or the number of bytes looked at; `data` is at `base`."""
    payload = Payload(data[start + 1 : start + 11], "a unit")
    try:
        frame, length = payload.varint(), payload.varint()
    except BitstreamError:
        return 8
    position = start + 1 + payload.at
    end = position + length
    if data[start] >= SHORT or length > MAX_PAYLOAD or frame > MAX_FRAMES or end + 4 > len(data):
        return 8
    if zlib.crc32(memoryview(data)[start:end]) != int.from_bytes(data[end : end + 4], "little"):
        return 8 + length
    return Unit(data[start], frame, data[position:end], base + start, end + 4 - start)


def motion_payload(group: Group) -> bytes:
    """Returns the payload of the whole MOTION unit of `group`."""
    return varint((group.count - 1) << 1 | group.resync) + group.payload


def motion_group(unit: Unit) -> Group:
    """Returns the group in a MOTION unit. Raises BitstreamError: when it is malformed."""
    payload = Payload(unit.payload, "a motion unit", unit.offset)
    word = payload.varint()
    count = (word >> 1) + 1
    if count > MAX_GROUP_FRAMES:
        raise payload.error(f"a motion group of {count} frames is not allowed")
    if unit.frame + count > MAX_FRAMES:
        raise payload.error("a motion group runs past the last possible frame")
    return Group(unit.frame, count, bool(word & 1), payload.rest())
