"""A segment: the frames from one intra key picture to the next, coded at given key frames.

frames ─► key pictures as one inter-coded sequence ─► pictures as coded ─┐
  └─ between them, in groups ────► displacement fields ◄─────────────────┘
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hvc_jax.codec.field_group import references_at
from hvc_jax.codec.search import FieldOptions, encode_group
from hvc_jax.keyframes.gop import Structure
from hvc_jax.keyframes.sequence import SequenceDecoder, encode_sequence
from hvc_jax.stream.binary_coder import TooManyBits
from hvc_jax.stream.field_unit import FieldGroup, Predicted, field_payload, grid_size
from hvc_jax.stream.units import UnitType, unit_bytes

GROUP_FRAMES = 64
"""Frames whose fields are found together and stand in one unit, about."""


class Quality(NamedTuple):
    """The operating point of a segment."""

    key_qp: int  # of the intra key picture, 0 to 63; those predicted from it have offsets
    lmbda: float  # mean squared error of a frame, 8-bit steps, that a bit of the fields is worth
    step: int  # index of the fields' quantiser step
    grid: int  # index of the grid of control points


class CodedKeys(NamedTuple):
    """Key pictures of a segment."""

    codec: int  # number of the picture codec
    places: list[int]  # frames that they show, in coded order, from 0
    payloads: list[bytes]  # bytes of each
    pictures: dict[int, np.ndarray]  # [H, W, 3] uint8 as decoded, by frame

    @property
    def size(self) -> int:
        """Bytes of all payloads."""
        return sum(map(len, self.payloads))


class CodedSegment(NamedTuple):
    """A segment as coded."""

    keys: CodedKeys
    groups: list[FieldGroup]  # FIELD units with frames counted from the segment's start
    frames: np.ndarray  # [T, H, W, 3] uint8 as decoded
    key_qp: int  # of the intra key picture

    @property
    def size(self) -> int:
        """Bytes of its units, where they stand at the beginning of a clip."""
        key = bytes([self.keys.codec, self.key_qp]) + self.keys.payloads[0]
        units = [unit_bytes(UnitType.KEY, 0, key)]
        units += [unit_bytes(UnitType.FIELD, g.frame, field_payload(g)) for g in self.groups]
        return sum(map(len, units))

    def error(self, frames: np.ndarray) -> float:
        """Mean squared error of every frame, 8-bit steps, summed over frames."""
        pairs = zip(frames, self.frames, strict=True)
        return float(sum(np.square(a.astype(np.float32) - b).mean() for a, b in pairs))


def shifted(group: FieldGroup, first: int) -> FieldGroup:
    """A group of a segment that begins at frame `first` of the clip."""
    return dataclasses.replace(
        group,
        frame=group.frame + first,
        pictures=tuple(Predicted(p.frame + first, p.payload) for p in group.pictures),
    )


def code_keys(
    frames: np.ndarray,  # [T, H, W, 3] uint8
    places: Sequence[int],  # Frames that key pictures show, ascending from 0
    qp: int,  # 0 to 63
    codec: str = "auto",  # "vvc", "av1" or "auto"
    # Which picture is predicted from which, and QP offsets; None for the usual one
    structure: Structure | None = None,
    preset: str = "medium",  # Of libvvenc; "fast" is for trials
) -> CodedKeys:
    """The key pictures of a segment, the first of them intra.

    Raises KeyPictureError: The pictures cannot be coded with these options.
    """
    pictures = [frames[t] for t in places]
    coded = encode_sequence(
        pictures, qp, low_delay=False, codec=codec, structure=structure, preset=preset
    )
    decoder = SequenceDecoder(*frames.shape[1:3])
    shown = {places[key.index]: decoder.push(key.codec, key.payload) for key in coded}
    return CodedKeys(
        coded[0].codec, [places[key.index] for key in coded], [key.payload for key in coded], shown
    )


def code_segment(
    frames: np.ndarray, keys: CodedKeys, quality: Quality, effort: int
) -> CodedSegment:
    """A segment [T, H, W, 3] uint8 with its displacement fields; `keys` are from `code_keys`."""
    options = FieldOptions(
        quality.lmbda, grid_size(quality.grid, *frames.shape[1:3]), quality.step, effort
    )
    shown = np.empty_like(frames)
    for t, picture in keys.pictures.items():
        shown[t] = picture
    places, groups, sent = sorted(keys.places), [], 1
    ranges = unit_ranges(places, len(frames))[::-1]
    while ranges:
        first, last = ranges.pop()
        needed = [i for i, t in enumerate(keys.places) if t < last]
        pictures = tuple(
            Predicted(keys.places[i], keys.payloads[i]) for i in range(sent, max(needed) + 1)
        )
        known = np.array(sorted(keys.places[: max(sent, max(needed) + 1)]))
        times = np.array([t for t in range(first, last) if t not in keys.pictures], int)
        payload = b""
        if len(times):
            references = references_at(times, known, np.stack([keys.pictures[t] for t in known]))
            try:
                made = encode_group(frames[times], references, options)
            except TooManyBits:  # a very fine step, and hardly a key picture
                middle = (first + last) // 2
                ranges += [(middle, last), (first, middle)]
                continue
            payload, shown[times] = made.payload, made.frames
        sent, count = max(sent, max(needed) + 1), last - first
        groups.append(FieldGroup(first, count, pictures, quality.grid, quality.step, payload))
    return CodedSegment(keys, groups, shown, quality.key_qp)


def unit_ranges(places: Sequence[int], count: int) -> list[tuple[int, int]]:
    """Ranges of about `GROUP_FRAMES` frames that end behind a place of a key, or at the end."""
    ranges, first, last = [], 0, 0
    for end in [*(t + 1 for t in places[1:]), count]:
        if end - first > GROUP_FRAMES and last > first:
            ranges.append((first, last))
            first = last
        last = end
    if last > first:
        ranges.append((first, last))
    return ranges
