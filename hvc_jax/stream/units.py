"""Units and their framing: whole units, and short ones that lean on what stands before them.

    whole unit   type, frame, length, payload, CRC-32           8 to 12 bytes around the payload
    short unit   0x80 + length, payload, CRC-8                  2 bytes

A short unit continues the motion of the unit directly before it with as many frames, so that its
frame need not be told; its checksum goes on from all bytes since the last whole unit. Without them
it could not be decoded anyway, for the coder's state would be missing. Imports no jax.
"""

import dataclasses
import zlib
from enum import IntEnum

from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import MAX_FRAMES, read_varint, varint
from hvc_jax.stream.vectors import MAX_GROUP_FRAMES, Group

MAX_PAYLOAD = 1 << 26
SHORT = 0x80
"""First byte of a short unit with an empty payload."""
_MOST_SHORT = 0x7F


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


@dataclasses.dataclass(frozen=True)
class Unit:
    """One unit.

    Attributes:
      type: a `UnitType` value, or a number that is unknown here.
      frame: the frame it belongs to, or the first of them.
      payload: its content; that of a short unit as if it were a whole one.
      offset: position of its first byte in the stream.
      size: bytes it takes in the stream, framing included.
    """

    type: int
    frame: int
    payload: bytes
    offset: int
    size: int


def unit_bytes(type_: int, frame: int, payload: bytes) -> bytes:
    """Returns a whole unit as it stands in a stream."""
    if len(payload) > MAX_PAYLOAD or not (0 <= type_ < SHORT and 0 <= frame <= MAX_FRAMES):
        raise ValueError(
            f"a unit of type {type_}, frame {frame}, {len(payload)} bytes: not allowed"
        )
    head = bytes([type_]) + varint(frame) + varint(len(payload))
    return head + payload + zlib.crc32(payload, zlib.crc32(head)).to_bytes(4, "little")


def parse_unit(data: bytes, start: int, base: int = 0) -> Unit | int:
    """Returns the intact whole unit at `start`, or else the number of bytes that were looked at.

    Args:
      data: part of a stream.
      start: where in `data`.
      base: position of `data` in the stream.
    """
    position = start + 1

    def next_byte() -> int:
        nonlocal position
        if position >= len(data):
            raise BitstreamError("the stream ends")
        position += 1
        return data[position - 1]

    try:
        frame, length = read_varint(next_byte), read_varint(next_byte)
    except BitstreamError:
        return 8
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
    """Returns the group in a MOTION unit.

    Raises:
      BitstreamError: when it is malformed.
    """
    position = 0

    def next_byte() -> int:
        nonlocal position
        if position >= len(unit.payload):
            raise BitstreamError("a motion unit is empty")
        position += 1
        return unit.payload[position - 1]

    try:
        word = read_varint(next_byte)
        if word >> 1 >= MAX_GROUP_FRAMES:
            raise BitstreamError(f"a motion group of {(word >> 1) + 1} frames is not allowed")
        if unit.frame + (word >> 1) >= MAX_FRAMES:
            raise BitstreamError("a motion group runs past the last possible frame")
    except BitstreamError as error:
        raise BitstreamError(error.reason, unit.offset) from error
    return Group(unit.frame, (word >> 1) + 1, bool(word & 1), unit.payload[position:])


class Chain:
    """What a short unit leans on; writers and readers keep one beside the stream.

    Attributes:
      frame: the frame with which a short unit would begin.
      count: its frames; 0 where none may stand.
    """

    def __init__(self) -> None:
        self.frame = self.count = self._checksum = 0

    def whole(self, unit: Unit, checksum: int) -> None:
        """Goes past a whole unit with this CRC-32."""
        self.frame = self.count = 0
        self._checksum = checksum
        if unit.type == UnitType.MOTION:
            try:
                group = motion_group(unit)
            except BitstreamError:
                return  # nobody can use it, and so nothing can follow it
            self.frame, self.count = group.frame + group.count, group.count

    def short(self, payload: bytes) -> bytes:
        """Returns the short unit with these coded frames, up to its checksum; goes past it."""
        data = bytes([SHORT + len(payload)]) + payload
        check = bytes([_crc8(data, self._checksum & 0xFF)])
        self._checksum = zlib.crc32(data + check, self._checksum)
        self.frame += self.count
        return data + check

    def parse(self, data: bytes, offset: int) -> Unit:
        """Returns the short unit `data`, checksum included, and goes past it.

        Raises:
          BitstreamError: when nothing stands before it to lean on, or the checksum is wrong.
        """
        if not self.count:
            raise BitstreamError("a short unit follows no motion", offset)
        frame, payload = self.frame, data[1:-1]
        if self.short(payload) != data:
            self.count = 0
            raise BitstreamError("a unit's checksum does not match", offset)
        word = varint((self.count - 1) << 1)
        return Unit(UnitType.MOTION, frame, word + payload, offset, len(data))

    def write(self, type_: int, frame: int, payload: bytes) -> bytes:
        """Returns a unit as it stands in a stream, short where that is possible; goes past it."""
        unit = Unit(type_, frame, payload, 0, 0)
        if type_ == UnitType.MOTION and self.count:
            group = motion_group(unit)
            alike = (group.frame, group.count, group.resync) == (self.frame, self.count, False)
            if alike and len(group.payload) <= _MOST_SHORT:
                return self.short(group.payload)
        data = unit_bytes(type_, frame, payload)
        self.whole(unit, int.from_bytes(data[-4:], "little"))
        return data


def short_size(first: int) -> int:
    """Returns the bytes of the short unit with this first byte."""
    return (first & _MOST_SHORT) + 2


def _crc8_row(value: int) -> int:
    for _ in range(8):
        value = (value << 1) ^ (0x107 if value & 0x80 else 0)
    return value


_CRC8 = bytes(_crc8_row(value) for value in range(256))


def _crc8(data: bytes, value: int) -> int:
    """Returns the CRC-8 (x^8 + x^2 + x + 1, highest bit first) of `data`, starting at `value`."""
    for byte in data:
        value = _CRC8[value ^ byte]
    return value
