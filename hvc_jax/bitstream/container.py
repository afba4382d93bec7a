"""The container: a header and typed, checksummed units; written and read over files and pipes.

    stream = header, unit, unit, ...
    unit   = type, frame, length, payload, CRC-32

`SPEC.md` beside this file describes every byte. Imports no jax.
"""

import dataclasses
import json
import zlib
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Any, BinaryIO

from hvc_jax.bitstream.errors import BitstreamError
from hvc_jax.bitstream.header import MAX_FRAMES, Header, read_header, read_varint, varint
from hvc_jax.bitstream.streams import MAX_GROUP_FRAMES, Group

MAX_PAYLOAD = 1 << 26
_CHUNK = 1 << 16


class UnitType(IntEnum):
    """Types of units; readers skip any other."""

    KEY = 1
    STATIC = 2
    MOTION = 3
    TOKEN = 4
    META = 5
    INDEX = 6


@dataclasses.dataclass(frozen=True)
class Unit:
    """One unit.

    Attributes:
      type: a `UnitType` value, or a number that is unknown here.
      frame: the frame it belongs to, or the first of them.
      payload: its content.
      offset: position of its first byte in the stream.
      size: bytes it takes in the stream, framing included.
    """

    type: int
    frame: int
    payload: bytes
    offset: int
    size: int


@dataclasses.dataclass(frozen=True)
class KeyUnit:
    """Content of a KEY unit: a coded picture.

    Attributes:
      frame: number of the frame it shows.
      codec: codec id as in `hvc_jax.keyframes`, 0 to 255.
      qp: quantisation parameter it was coded with, 0 to 255.
      payload: the coded picture.
    """

    frame: int
    codec: int
    qp: int
    payload: bytes


class StreamWriter:
    """Writes a stream unit by unit; needs nothing but `write` from `file`.

    Use it as a context manager, or call `close`: a stream without its end is told from a whole one.
    """

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file = file
        self._header = header
        self._frames = 0
        self._keys: list[tuple[int, int]] = []
        data = header.to_bytes()
        self._offset = len(data)
        file.write(data)

    def __enter__(self) -> "StreamWriter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()

    def write_unit(self, type_: int, frame: int, payload: bytes) -> int:
        """Writes any unit; returns the bytes it takes."""
        data = unit_bytes(type_, frame, payload)
        self._file.write(data)
        self._offset += len(data)
        return len(data)

    def write_key(self, frame: int, codec: int, qp: int, payload: bytes) -> int:
        """Writes a KEY unit; returns the bytes it takes."""
        self._keys.append((frame, self._offset))
        return self.write_unit(UnitType.KEY, frame, bytes([codec, qp]) + payload)

    def write_static(self, frame: int, payload: bytes) -> int:
        """Writes the STATIC unit of the key at `frame`; returns the bytes it takes."""
        return self.write_unit(UnitType.STATIC, frame, payload)

    def write_motion(self, group: Group) -> int:
        """Writes a MOTION unit; returns the bytes it takes."""
        self._frames = max(self._frames, group.frame + group.count)
        return self.write_unit(UnitType.MOTION, group.frame, motion_payload(group))

    def write_meta(self, record: dict[str, Any]) -> int:
        """Writes a META unit (JSON); returns the bytes it takes."""
        return self.write_unit(UnitType.META, 0, meta_payload(record))

    def close(self) -> int:
        """Ends the stream, with an INDEX unit where one is needed; returns the bytes it takes.

        Raises:
          ValueError: when the header promised another number of frames.
        """
        promised = self._header.frame_count
        if promised is not None and promised != self._frames:
            raise ValueError(f"the header says {promised} frames, {self._frames} were written")
        if promised is not None and len(self._keys) < 2:
            return 0
        return self.write_unit(UnitType.INDEX, self._frames, index_payload(self._keys))


class StreamReader:
    """Reads a stream unit by unit, holding one unit in memory; needs `read` from `file` only.

    Attributes:
      file: what is read.
      header: the stream's header.
      header_size: its length in bytes.
      next_frame: number of the frame that the next MOTION unit has to begin with.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Reads the header.

        Raises:
          BitstreamError: when there is none.
        """
        self.file = file
        self.header, self._offset = read_header(file.read)
        self.header_size = self._offset
        self.next_frame = 0

    def start_at(self, keys: list[tuple[int, int]], frame: int) -> None:
        """Moves to the last key frame that is not behind `frame`; `units` goes on from there.

        Args:
          keys: (frame, byte offset) of every KEY unit, from `index.key_offsets` of the same file.
          frame: from which frames are wanted.

        Raises:
          BitstreamError: when there is no such key frame.
        """
        before = [key for key in keys if key[0] <= frame]
        if not before:
            raise BitstreamError(f"there is no key frame for frame {frame}")
        self.next_frame, self._offset = max(before)
        self.file.seek(self._offset)

    def units(self) -> Iterator[Unit]:
        """Yields the units; checks that frames follow each other and that none is missing.

        Raises:
          BitstreamError: at the first damaged byte, or when the end is missing.
        """
        frames, ended = self.next_frame, False
        while (unit := self._read_unit()) is not None:
            if ended:
                raise BitstreamError("data follows the end of the stream", unit.offset)
            if unit.type in (UnitType.KEY, UnitType.STATIC):
                if unit.frame != frames:
                    raise BitstreamError(
                        f"a key frame says {unit.frame} where frame {frames} is due", unit.offset
                    )
            elif unit.type == UnitType.MOTION:
                group = motion_group(unit)
                if group.frame != frames:
                    raise BitstreamError(
                        f"frame {frames} is missing, frame {group.frame} follows", unit.offset
                    )
                frames += group.count
                self.next_frame = frames
                if self.header.frame_count is not None and frames > self.header.frame_count:
                    raise BitstreamError("motion runs past the last frame", unit.offset)
            if unit.type == UnitType.INDEX:
                ended = True
                if unit.frame != frames:
                    raise BitstreamError(
                        f"the index says {unit.frame} frames, {frames} were found", unit.offset
                    )
            yield unit
        promised = self.header.frame_count
        if promised is None and not ended:
            raise BitstreamError("the stream is cut off: its index is missing", self._offset)
        if promised is not None and promised != frames:
            raise BitstreamError(
                f"the stream is cut off: {frames} of {promised} frames", self._offset
            )

    def _read_unit(self) -> Unit | None:
        start = self._offset
        first = self.file.read(1)
        if not first:
            return None
        self._offset += 1
        head = bytearray(first)

        def next_byte() -> int:
            head.extend(self._take(1))
            return head[-1]

        try:
            frame, length = read_varint(next_byte), read_varint(next_byte)
            if length > MAX_PAYLOAD or frame > MAX_FRAMES:
                raise BitstreamError(f"a unit of {length} bytes at frame {frame} is not allowed")
            payload = b"".join(self._chunks(length))
            stored = int.from_bytes(self._take(4), "little")
        except BitstreamError as error:
            raise BitstreamError(error.reason, self._offset) from error
        if zlib.crc32(payload, zlib.crc32(bytes(head))) != stored:
            raise BitstreamError("a unit's checksum does not match", start)
        return Unit(head[0], frame, payload, start, self._offset - start)

    def _chunks(self, length: int) -> Iterator[bytes]:
        # In pieces, so that a hostile length never allocates more than the stream delivers.
        while length:
            part = self._take(min(length, _CHUNK))
            length -= len(part)
            yield part

    def _take(self, count: int) -> bytes:
        data = self.file.read(count)
        self._offset += len(data)
        if len(data) < count:
            raise BitstreamError("the stream ends inside a unit")
        return data


def parse_unit(data: bytes, start: int, base: int = 0) -> Unit | int:
    """Returns the intact unit at `start`, or else the number of bytes that were looked at.

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
    if length > MAX_PAYLOAD or frame > MAX_FRAMES or end + 4 > len(data):
        return 8
    if zlib.crc32(memoryview(data)[start:end]) != int.from_bytes(data[end : end + 4], "little"):
        return 8 + length
    return Unit(data[start], frame, data[position:end], base + start, end + 4 - start)


def unit_bytes(type_: int, frame: int, payload: bytes) -> bytes:
    """Returns a unit as it stands in a stream."""
    if len(payload) > MAX_PAYLOAD or not (0 <= type_ <= 255 and 0 <= frame <= MAX_FRAMES):
        raise ValueError(
            f"a unit of type {type_}, frame {frame}, {len(payload)} bytes: not allowed"
        )
    head = bytes([type_]) + varint(frame) + varint(len(payload))
    return head + payload + zlib.crc32(payload, zlib.crc32(head)).to_bytes(4, "little")


def index_payload(keys: Iterable[tuple[int, int]]) -> bytes:
    """Returns the payload of an INDEX unit from (frame, byte offset) of every KEY unit."""
    payload = b""
    frame = offset = 0
    for key_frame, key_offset in keys:
        payload += varint(key_frame - frame) + varint(key_offset - offset)
        frame, offset = key_frame, key_offset
    return payload


def meta_payload(record: dict[str, Any]) -> bytes:
    """Returns the payload of a META unit: compact JSON."""
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return text.encode()


def motion_payload(group: Group) -> bytes:
    """Returns the payload of the MOTION unit of `group`."""
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


def key_unit(unit: Unit) -> KeyUnit:
    """Returns the content of a KEY unit.

    Raises:
      BitstreamError: when it is malformed.
    """
    if len(unit.payload) < 2:
        raise BitstreamError("a key unit is too short", unit.offset)
    return KeyUnit(unit.frame, unit.payload[0], unit.payload[1], unit.payload[2:])


def meta_record(unit: Unit) -> dict[str, Any]:
    """Returns the JSON object in a META unit.

    Raises:
      BitstreamError: when it holds no JSON object.
    """
    try:
        record = json.loads(unit.payload)
    except (ValueError, RecursionError) as error:
        raise BitstreamError("a meta unit holds no JSON", unit.offset) from error
    if not isinstance(record, dict):
        raise BitstreamError("a meta unit holds no JSON object", unit.offset)
    return record
