"""Decoding what is left of a damaged stream: find the intact units, hold the pose over the gaps.

A lost MOTION unit costs its own frames and those up to the next group that decodes on its own (the
next key frame, or sooner with `resync_groups`). Imports no jax.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from hvc_jax.stream.chain import Chain, short_size
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.field_unit import field_group
from hvc_jax.stream.header import Header, read_header
from hvc_jax.stream.index import index_keys
from hvc_jax.stream.sound import AudioGroup, audio_group
from hvc_jax.stream.units import SHORT, Unit, UnitType, motion_group, parse_unit
from hvc_jax.stream.vectors import MAX_GROUP_FRAMES, Group, VectorDecoder

_KNOWN = re.compile(b"[" + bytes(UnitType) + b"]")
# Checksums tried while searching: bounds the time that a hostile stream can take.
_SEARCH_BYTES = 1 << 28
_MAX_STREAM = 1 << 29

MOST_HELD = 20_000
"""Frames that a gap may have; a hostile header could claim billions."""


def salvage(file: BinaryIO) -> tuple[Header, Iterator[Unit]]:
    """Returns the header and the intact units of a stream that may be damaged anywhere behind it.

    `file`: at its beginning; the rest is read into memory.
    Raises BitstreamError: when the header is damaged, or the stream is longer than 512 MiB.
    """
    header, size = read_header(file.read)
    data = file.read(_MAX_STREAM + 1)
    if len(data) > _MAX_STREAM:
        raise BitstreamError("too long to be concealed; decode it without", size + len(data))
    return header, _intact(data, size, header.variant)


def _intact(data: bytes, base: int, variant: str) -> Iterator[Unit]:
    position, budget, chain = 0, _SEARCH_BYTES, Chain(variant)
    while match := _KNOWN.search(data, position):
        start = match.start()
        unit = parse_unit(data, start, base)
        if isinstance(unit, Unit):
            yield unit
            if start > position:  # something is lost
                chain = Chain(variant)
            position = start + unit.size
            chain.whole(unit, int.from_bytes(data[position - 4 : position], "little"))
            for short in _short_units(data, position, base, chain):
                yield short
                position += short.size
        else:
            budget -= unit
            position = start + 1
            if budget < 0:
                raise BitstreamError("too damaged to be searched", base + start)


def _short_units(data: bytes, position: int, base: int, chain: Chain) -> Iterator[Unit]:
    """Yields the intact short units at `position`, directly behind those that `chain` went past."""
    while position < len(data) and data[position] >= SHORT:
        end = position + short_size(data[position])
        try:
            unit = chain.parse(data[position:end], base + position)
        except BitstreamError:
            return
        yield unit
        position = end


def frames_and_keys(header: Header, units: Sequence[Unit]) -> tuple[int, list[int]]:
    """Returns how many frames there should be, and the key frames, by what units are intact."""
    keys = [unit.frame for unit in units if unit.type in (UnitType.KEY, UnitType.STATIC)]
    ends = [header.frame_count or 0]
    for unit in units:
        try:
            if unit.type == UnitType.INDEX:
                keys += [frame for frame, _ in index_keys(unit)]
                ends.append(unit.frame)
            elif unit.type == UnitType.MOTION:
                group = motion_group(unit)
                ends.append(group.frame + group.count)
            elif unit.type == UnitType.FIELD:
                ends.append(unit.frame + field_group(unit).count)
        except BitstreamError:
            continue
    count = max(ends) if header.frame_count is None else header.frame_count
    return count, sorted(set(keys))


def intact_sound(units: Sequence[Unit]) -> list[AudioGroup]:
    """Returns the sound of the intact units; what is lost is silence between packets."""
    groups: list[AudioGroup] = []
    for unit in units:
        if unit.type == UnitType.AUDIO:
            with contextlib.suppress(BitstreamError):
                group = audio_group(unit)
                kind = group.channels, group.pre_skip
                if not groups or kind == (groups[0].channels, groups[0].pre_skip):
                    groups.append(group)
    return groups


class ConcealingDecoder:
    """A `VectorDecoder` that fills gaps: where a frame is missing, the last vector is held.

    Attributes:
      frame: number of the next frame to come out.
      concealed: frames that were held because theirs were lost.
    """

    def __init__(
        self, decoder: VectorDecoder, frame_count: int | None = None, key_frames: Sequence[int] = ()
    ) -> None:
        """Wraps a decoder at the beginning of the stream.

        `frame_count`: the header's, None if it is not known; `key_frames`: all there are, where an
        index tells: motion behind one whose STATIC unit is lost must not be taken for motion behind
        the one before.
        """
        self._decoder = decoder
        self._count = frame_count
        self._key_frames = key_frames
        self._key_frame = -1
        self._last: np.ndarray | None = None
        self.frame = 0
        self.concealed = 0

    def key(self, static: bytes, frame: int) -> np.ndarray | None:
        """Returns the key vector [size] of a STATIC unit, or None when the payload is damaged."""
        try:
            vector = self._decoder.key(static)
        except BitstreamError:
            return None
        self._last, self._key_frame = vector, frame
        return vector

    def edit_static(self, payload: bytes, frame: int) -> None:
        """Takes an EDIT_STATIC unit, unless its key is lost; BitstreamError: it is damaged."""
        if frame == self._key_frame:
            self._last = self._decoder.edit_static(payload)

    def hold_until(self, frame: int) -> np.ndarray:
        """Returns the held vectors [n, size] of the frames before `frame` that are missing.

        Not more than 4096 at a time: call again until none come.
        Raises BitstreamError: when a gap is longer than any loss that is worth holding over.
        """
        if self._last is None:
            return np.zeros((0, 0), np.float32)
        if self._count is not None:
            frame = min(frame, self._count)
        if frame - self.frame > MOST_HELD:
            raise BitstreamError(f"{frame - self.frame} frames are missing, too many to hold over")
        missing = min(max(0, frame - self.frame), MAX_GROUP_FRAMES)
        self.frame += missing
        self.concealed += missing
        return np.repeat(self._last[None], missing, axis=0)

    def motion(self, group: Group) -> np.ndarray:
        """Returns the vectors [n, size] of a group, held where they cannot be decoded.

        Call `hold_until(group.frame)` first. Frames that already came out are left out.
        """
        try:
            if any(self._key_frame < key <= group.frame for key in self._key_frames):
                raise BitstreamError("the key frame's numbers are lost")
            vectors = self._decoder.motion(group)
        except BitstreamError:
            return self.hold_until(group.frame + group.count)
        vectors = vectors[max(0, self.frame - group.frame) :]
        if len(vectors):
            self._last = vectors[-1]
            self.frame += len(vectors)
        return vectors
