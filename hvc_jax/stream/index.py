"""Where key frames are: from the INDEX unit at the end of a file, or else by going through it.

Needs a file that can seek; payloads are skipped, not read. Imports no jax.
"""

import itertools
import os
from collections.abc import Iterator
from typing import BinaryIO

from hvc_jax.stream.chain import short_size
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import MAX_FRAMES, Payload, read_varint
from hvc_jax.stream.units import MAX_PAYLOAD, SHORT, Unit, UnitType, parse_unit

_TAIL = 1 << 16
"""Bytes at the end in which the INDEX unit is looked for; enough for 10,000 key frames."""


def key_offsets(file: BinaryIO, begin: int) -> list[tuple[int, int]]:
    """Returns (frame, byte offset) of every KEY unit, in order.

    `file` can seek, its position is left anywhere; `begin` is the length of the header. Raises
    BitstreamError: when there is no index, and a unit's head is damaged.
    """
    end = file.seek(0, os.SEEK_END)
    start = max(begin, end - _TAIL)
    file.seek(start)
    tail = file.read(end - start)
    # The unit that ends where the file ends and whose checksum is right.
    position = tail.find(UnitType.INDEX)
    while position >= 0:
        unit = parse_unit(tail, position, start)
        if isinstance(unit, Unit) and unit.offset + unit.size == end:
            return index_keys(unit)
        position = tail.find(UnitType.INDEX, position + 1)
    return [(frame, offset) for type_, frame, offset in _heads(file, begin, end) if type_ == 1]


def audio_units(file: BinaryIO, begin: int, end: int) -> Iterator[Unit]:
    """Yields the AUDIO units of a stretch of a file, from a unit at `begin` to `end`.

    `file` can seek, its position is left anywhere. Raises BitstreamError: when a unit's head, or an
    AUDIO unit, is damaged.
    """
    places = [offset for type_, _, offset in _heads(file, begin, end) if type_ == UnitType.AUDIO]
    for start, stop in itertools.pairwise([*places, end]):
        file.seek(start)
        unit = parse_unit(file.read(stop - start), 0, start)
        if not isinstance(unit, Unit):
            raise BitstreamError("a unit's checksum does not match", start)
        yield unit


def index_keys(unit: Unit) -> list[tuple[int, int]]:
    """Returns (frame, byte offset) of every KEY unit, of an INDEX unit; else BitstreamError."""
    payload, keys = Payload(unit.payload, "an index", unit.offset), []
    frame = offset = 0
    while payload.left:
        frame, offset = frame + payload.varint(), offset + payload.varint()
        keys.append((frame, offset))
    return keys


def _heads(file: BinaryIO, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yields type, frame and offset of the whole units; stops at one that is cut off."""
    offset = begin
    while offset < end:
        file.seek(offset)
        head = iter(file.read(11))
        size = head.__length_hint__()
        try:
            type_ = next(head)
            if type_ >= SHORT:
                offset += short_size(type_)
                continue
            frame, length = read_varint(head.__next__), read_varint(head.__next__)
        except StopIteration:
            return
        except BitstreamError as error:
            raise BitstreamError(error.reason, offset) from error
        if length > MAX_PAYLOAD or frame > MAX_FRAMES:
            raise BitstreamError(f"a unit of {length} bytes at frame {frame} is damaged", offset)
        following = offset + size - head.__length_hint__() + length + 4
        if following > end:
            return
        yield type_, frame, offset
        offset = following
