"""Decoding what is left of a damaged stream: find the intact units, hold the pose over the gaps.

A lost MOTION unit costs its own frames and those up to the next group that decodes on its own (the
next key frame, or sooner with `resync_groups`). Imports no jax.
"""

import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from hvc_jax.bitstream.container import MAX_PAYLOAD, Unit, UnitType
from hvc_jax.bitstream.errors import BitstreamError
from hvc_jax.bitstream.header import MAX_FRAMES, Header, read_header, read_varint
from hvc_jax.bitstream.streams import MAX_GROUP_FRAMES, Group, VectorDecoder

_KNOWN = re.compile(b"[" + bytes(UnitType) + b"]")
# Checksums tried while searching: bounds the time that a hostile stream can take.
_SEARCH_BYTES = 1 << 28
_MAX_STREAM = 1 << 29


def salvage(file: BinaryIO) -> tuple[Header, Iterator[Unit]]:
    """Returns the header and the intact units of a stream that may be damaged anywhere behind it.

    Args:
      file: at its beginning; the rest is read into memory.

    Raises:
      BitstreamError: when the header is damaged, or the stream is longer than 512 MiB.
    """
    header, size = read_header(file.read)
    data = file.read(_MAX_STREAM + 1)
    if len(data) > _MAX_STREAM:
        raise BitstreamError("too long to be concealed; decode it without", size + len(data))
    return header, _intact(data, size)


def _intact(data: bytes, base: int) -> Iterator[Unit]:
    position, budget = 0, _SEARCH_BYTES
    while match := _KNOWN.search(data, position):
        start = match.start()
        unit = _unit_at(data, start, base)
        if isinstance(unit, Unit):
            yield unit
            position = start + unit.size
        else:
            budget -= unit
            position = start + 1
            if budget < 0:
                raise BitstreamError("too damaged to be searched", base + start)


def _unit_at(data: bytes, start: int, base: int) -> Unit | int:
    """Returns the unit that begins at `start`, or else the number of bytes that were looked at."""
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


class ConcealingDecoder:
    """A `VectorDecoder` that fills gaps: where a frame is missing, the last vector is held.

    Attributes:
      frame: number of the next frame to come out.
      concealed: frames that were held because theirs were lost.
    """

    def __init__(self, decoder: VectorDecoder, frame_count: int | None = None) -> None:
        """Wraps `decoder`; `frame_count` is the header's, None if it is not known."""
        self._decoder = decoder
        self._count = frame_count
        self._last: np.ndarray | None = None
        self.frame = 0
        self.concealed = 0

    def key(self, static: bytes) -> np.ndarray | None:
        """Returns the key vector [size], or None when the payload is damaged."""
        try:
            vector = self._decoder.key(static)
        except BitstreamError:
            return None
        self._last = vector
        return vector

    def hold_until(self, frame: int) -> np.ndarray:
        """Returns the held vectors [n, size] of the frames before `frame` that are missing.

        Not more than 4096 at a time: call again until none come.
        """
        if self._last is None:
            return np.zeros((0, 0), np.float32)
        if self._count is not None:
            frame = min(frame, self._count)
        missing = min(max(0, frame - self.frame), MAX_GROUP_FRAMES)
        self.frame += missing
        self.concealed += missing
        return np.repeat(self._last[None], missing, axis=0)

    def motion(self, group: Group) -> np.ndarray:
        """Returns the vectors [n, size] of a group, held where they cannot be decoded.

        Call `hold_until(group.frame)` first. Frames that already came out are left out.
        """
        try:
            vectors = self._decoder.motion(group)
        except BitstreamError:
            return self.hold_until(group.frame + group.count)
        vectors = vectors[max(0, self.frame - group.frame) :]
        if len(vectors):
            self._last = vectors[-1]
            self.frame += len(vectors)
        return vectors
