"""Rate control of segments: key spacing, key QP and the fields' lmbda, chosen together.

One number q, on the scale of QPs, stands for an operating point: key pictures at that QP, fields at
the lmbda that experiments/050_field found best beside it. Spacing of key pictures is chosen by
squared error + lmbda * bits of trial codings. A target of bytes is met by a search over q, thirds
of a QP (predicted pictures get other offsets) and at last over lmbda alone.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hvc_jax.codec.options import FIELD_KEY_QP, EncodeOptions
from hvc_jax.codec.segment import CodedKeys, CodedSegment, Quality, code_keys, code_segment
from hvc_jax.keyframes.gop import REORDERED
from hvc_jax.stream.header import Header

SPACINGS = (4, 8, 16, 32, 64)
"""Frames between key pictures that are tried; more than the segment has means one key picture."""

LMBDA_AT_40 = 0.2
"""Mean squared error of a frame, 8-bit steps, that a bit is worth beside key pictures of QP 40."""

TOLERANCE = 0.03
"""Share of a target by which the size may miss it."""

PRESETS = ("medium", "slow", "slow", "slow")
"""Of libvvenc for the key pictures, by effort; trial codings have "fast" ones. "slow" has 2 to 4 %
fewer bytes and .2 to .5 dB more than "medium", and takes three times as long."""

_EXTRA_OFFSETS = ((0, 0, 0), (0, 0, 1), (0, 1, 1))
"""QP offsets of predicted key pictures by level, added for every third of a QP."""

_OCTAVE = 6.0
"""QPs that halve the bytes of key pictures, about; where the search starts."""

_OTHER_SPACING = 2.0
"""QPs from which on another key spacing may be the best one."""

_LARGEST_FACTOR = 2.5
"""Farther from the lmbda that belongs to the key pictures, bytes are better spent on these."""

FIELD_STEP, GRID = 4, 1
"""Indices of the quantiser's step and of the grid of control points, at every operating point."""


class Point(NamedTuple):
    """An operating point: q in thirds of a QP, and a factor on the lmbda that belongs to it."""

    q: float
    lmbda_factor: float = 1.0

    @property
    def lmbda(self) -> float:
        """Mean squared error of a frame that a bit is worth."""
        return LMBDA_AT_40 * 2 ** ((self.q - 40) / 3) * self.lmbda_factor


class Trial(NamedTuple):
    """A trial coding: its bytes, and its squared error as `CodedSegment.error` has it."""

    size: int
    error: float


class RateControl:
    """Codes one segment after the other."""

    def __init__(self, options: EncodeOptions, header: Header) -> None:
        self._options, self._header = options, header
        self._saved = 0.0  # bytes of earlier budgets that were not spent
        self._trials: dict[tuple[float, int], Trial] = {}  # of this segment
        self._edges: Sequence[int] = ()
        self._q = float(FIELD_KEY_QP if options.key_qp is None else options.key_qp)
        if options.lmbda:
            self._q = round(3 * min(max(quality_of(options.lmbda), 10.0), 63.0)) / 3

    @property
    def quality(self) -> Quality:
        """The operating point of segments without a target."""
        return _quality(Point(self._q))

    def code(self, frames: np.ndarray, spent: int = 0, edges: Sequence[int] = ()) -> CodedSegment:
        """The next segment [T, H, W, 3] uint8; a target has to hold `spent` bytes of others too.

        No frame looks across `edges`, numbers of frames that differ much from the one before: both
        are key pictures.
        """
        self._trials.clear()
        self._edges = edges
        target = self._target(len(frames))
        if target is None:
            spacing = self._spacing(frames, self._q)
            keys = self._keys(frames, self._q, spacing)
            return self._with_fields(frames, keys, Point(self._q))
        target = max(target + self._saved - spent, 1.0)
        coded = self._to_size(frames, target)
        self._saved = target - coded.size
        return coded

    def _target(self, count: int) -> float | None:
        """Bytes that a segment of `count` frames may have, None where it is not to be met."""
        options, header = self._options, self._header
        if options.target_kbps:
            return options.target_kbps * 1000 / 8 * count / float(header.fps)
        if options.target_bytes:
            return (options.target_bytes - len(header.to_bytes())) * count / header.frame_count
        return None

    def _trial(self, frames: np.ndarray, q: float, spacing: int) -> Trial:
        """What the segment gives at an operating point and key spacing, coded in less time."""
        if (q, spacing) not in self._trials:
            keys = self._keys(frames, q, spacing, trial=True)
            coded = self._with_fields(frames, keys, Point(q), effort=0)
            self._trials[q, spacing] = Trial(coded.size, coded.error(frames))
        return self._trials[q, spacing]

    def _keys(self, frames: np.ndarray, q: float, spacing: int, trial: bool = False) -> CodedKeys:
        whole = math.floor(q + 1e-6)
        extra = _EXTRA_OFFSETS[round((q - whole) * 3) % 3]
        offsets = tuple(a + b for a, b in zip(REORDERED.qp_offsets, extra, strict=True))
        structure = REORDERED._replace(qp_offsets=offsets)
        places = key_places(len(frames), spacing)
        places = sorted({*places, *self._edges, *(t - 1 for t in self._edges)})
        qp = min(max(whole, 0), 63)
        preset = "fast" if trial else PRESETS[self._options.effort]
        return code_keys(frames, places, qp, self._options.key_codec, structure, preset)

    def _with_fields(
        self, frames: np.ndarray, keys: CodedKeys, point: Point, effort: int | None = None
    ) -> CodedSegment:
        effort = self._options.effort if effort is None else effort
        return code_segment(frames, keys, _quality(point), effort)

    def _spacing(self, frames: np.ndarray, q: float) -> int:
        """The key spacing of the lowest squared error + lmbda * bits, by trial codings."""
        if self._options.key_spacing:
            return self._options.key_spacing
        lmbda = Point(q).lmbda

        def cost(spacing: int) -> float:
            trial = self._trial(frames, q, spacing)
            return trial.error + lmbda * 8 * trial.size

        return descend(SPACINGS, cost, start=2 if self._options.effort else None)

    def _to_size(self, frames: np.ndarray, target: float) -> CodedSegment:
        """The segment with about `target` bytes."""
        q = searched = self._q
        spacing = self._spacing(frames, q)
        for _ in range(4):  # coarse: trial codings until the key pictures' QP is right
            step = _OCTAVE * math.log2(self._trial(frames, q, spacing).size / target)
            q = min(max(q + round(3 * step) / 3, 10.0), 63.0)
            if abs(q - searched) >= _OTHER_SPACING:
                searched, spacing = q, self._spacing(frames, q)
            elif abs(step) < 0.5:
                break
        best, point, keys_at, tried = None, Point(q), None, set()
        for _ in range(5):
            if point.q != keys_at:
                keys, keys_at = self._keys(frames, point.q, spacing), point.q
                tried.add(round(3 * point.q))
            coded = self._with_fields(frames, keys, point)
            if best is None or abs(coded.size - target) < abs(best.size - target):
                best = coded
            if abs(coded.size - target) < TOLERANCE / 2 * target:
                break
            room = target - keys.size  # what the fields may have
            fields = max(coded.size - keys.size, 1)
            factor = point.lmbda_factor * (fields / room) ** 1.5 if room > 0 else math.inf
            thirds = _next_thirds(point.q, _OCTAVE * math.log2(coded.size / target), tried)
            if thirds is None or 1 / _LARGEST_FACTOR < factor < _LARGEST_FACTOR:
                point = point._replace(lmbda_factor=min(max(factor, 0.1), 10.0))
            else:
                point = Point(min(max(thirds / 3, 10.0), 63.0))
        self._q = point.q
        return best


def _next_thirds(q: float, step: float, tried: set[int]) -> int | None:
    """The q to try next, in thirds: about q + step, or the nearest to it on the way that is new.

    None where all of these were tried.
    """
    here, sign = round(3 * q), 1 if step > 0 else -1
    for count in range(max(abs(round(3 * step)), 1), 0, -1):
        if here + sign * count not in tried:
            return here + sign * count
    return None


def _quality(point: Point) -> Quality:
    return Quality(round(point.q), point.lmbda, FIELD_STEP, GRID)


def quality_of(lmbda: float) -> float:
    """The q at which a bit is worth this mean squared error of a frame, in 8-bit steps."""
    return 40 + 3 * math.log2(lmbda / LMBDA_AT_40)


def missed(size: int, target: float) -> str | None:
    """Why a stream of `size` bytes has not about `target`; None where it has, or for 0."""
    share = size / target - 1 if target else 0.0
    if abs(share) <= TOLERANCE:
        return None
    if share > 0:
        why = "headers, parameters, sound and the coarsest key pictures take more"
    else:
        why = "finer key pictures come in steps, and the finest may take less"
    return f"{size} bytes where {target:.0f} were asked for ({100 * share:+.0f} %): {why}"


def key_places(count: int, spacing: int) -> list[int]:
    """Frames of key pictures: 0, then evenly about every `spacing`, and the last; or only 0."""
    if spacing >= count:
        return [0]
    intervals = max(1, round((count - 1) / spacing))
    return [round(i * (count - 1) / intervals) for i in range(intervals + 1)]


def descend(choices: Sequence[int], cost, start: int | None) -> int:  # noqa: ANN001
    """The choice of a low cost, downhill along the list from `start`, the middle by default."""
    if start is None:
        return choices[len(choices) // 2 - 1]
    costs: dict[int, float] = {}

    def at(i: int) -> float:
        if not 0 <= i < len(choices):
            return math.inf
        if i not in costs:
            costs[i] = cost(choices[i])
        return costs[i]

    i = start
    step = 1 if at(i + 1) < at(i) else -1
    while at(i + step) < at(i):
        i += step
    return choices[i]
