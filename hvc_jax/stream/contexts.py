"""Prediction and contexts: what is expected of the next vector, from integers both ends know.

Several linear predictors guess every number's next change from its last ones; their mean, weighted
by how well they guessed of late, is the prediction. The residual's scale is a weighted sum of
running means of its own earlier errors and of magnitudes already coded in the same frame; scale and
phase (where between two levels the prediction fell) choose the table.

    levels so far ─► differences ─► predictors ─► weighted mean ─► prediction, phase ┐
                     |errors| so far ─► running means ─► scale ──────────────────────┴─► table
                     |residuals| of earlier stages, this frame ─┘

A frame is coded in a few stages (x axes, then y, then z), so that later stages see earlier ones and
all numbers of a stage are handled at once. Slots are in coding order here, stage after stage. The
encoder knows all frames and follows whole groups; the decoder goes frame by frame. All of it is
int64: nothing depends on floating point. Imports no jax.
"""

import copy
import dataclasses

import numpy as np

from hvc_jax.stream.tables import (
    ERROR_SHIFT,
    FRACTION_BITS,
    LAGS,
    MEAN_SHIFTS,
    PHASES,
    PREDICTOR_BITS,
    PREDICTORS,
    SCALES,
    TOTAL_BITS,
    CodingTables,
    token_costs,
)

MAX_LEVEL = (1 << 31) - 1
MAGNITUDE_CAP = 4095
_ERROR_CAP = MAGNITUDE_CAP << PREDICTOR_BITS
_SHIFTS = np.array([ERROR_SHIFT] * PREDICTORS + list(MEAN_SHIFTS))[:, None]
_ROUND = 1 << (PREDICTOR_BITS - 1)
# |phase| <= 2**(PREDICTOR_BITS - 1), in PHASES equal bins.
_PHASE_SHIFT = PREDICTOR_BITS - (PHASES.bit_length())
# Errors count in 1/256 step, running means in 1/4096.
_FINER = FRACTION_BITS - PREDICTOR_BITS
_FAVOUR = 16  # the running errors of a slot's favourite predictor count 15/16
_FLOOR = 64 * _FAVOUR  # added to running errors: below 1/64 step they tell nothing
# Weight of a predictor whose error is r/32 of the smallest, r >= 32: proportional to r**-6.
_TRUST = np.array([0] * 32 + [(1 << 42) // r**6 for r in range(32, 130)])

_SHIFTS_OF_PACKETS = np.arange(-6, 7)


@dataclasses.dataclass
class State:
    """What both ends remember of the frames coded so far."""

    last: np.ndarray  # [slots] the last levels
    differences: np.ndarray  # [LAGS, slots] latest first, of consecutive levels
    # [PREDICTORS + means, slots] running means, in 1/4096, of every predictor's errors and of the
    # prediction's
    running: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """[means, slots] running means of the prediction's errors."""
        return self.running[PREDICTORS:]

    def copy(self) -> "State":
        """Returns a state that can move on without this one."""
        return State(self.last, self.differences.copy(), self.running.copy())


@dataclasses.dataclass(frozen=True)
class Followed:
    """What `MotionContexts.follow` finds out about n frames."""

    residuals: np.ndarray  # [n, slots] levels less their predictions
    phases: np.ndarray  # [n, slots]
    means: np.ndarray  # [means, n, slots] running means in front of each frame


class MotionContexts:
    """Says what to expect of the next vector of levels, and follows what came."""

    def __init__(self, tables: CodingTables, quantiser: int, one: int) -> None:
        """Prepares the tables for steps scaled by quantiser / one."""
        self.order = np.argsort(tables.stages, kind="stable")  # [slots] which is coded when
        order = self.order
        count = len(order)
        ends = np.cumsum(np.bincount(tables.stages, minlength=1)).tolist()
        # For every stage the slice of the slots (in coding order) that it codes.
        self.parts = [slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True) if b > a]
        self._gains = tables.gains
        self._favoured = np.full((PREDICTORS, count), _FAVOUR)
        self._favoured[tables.favourites[order], np.arange(count)] = _FAVOUR - 1
        self.table = tables.frequencies.reshape(-1, tables.frequencies.shape[-1]).astype(float)
        self._thresholds = tables.thresholds
        costs = token_costs(tables.frequencies)
        self.costs = costs.reshape(self.table.shape)  # [rows, tokens] int64, about 1/16 bit
        self._expected = ((tables.frequencies * costs).sum(-1) >> TOTAL_BITS).ravel()
        self._weights = np.ascontiguousarray(tables.weights[:, order])
        self._floor = tables.floor[order]
        self._start = tables.start[order] * one // quantiser
        spread = tables.spread[:count][order]
        self._spread = spread * one // quantiser << FRACTION_BITS
        # Neighbours of a stage lie in stages before it, whatever the tables say.
        earlier = tables.stages[:, None] < tables.stages[None, :]
        self._around = (tables.neighbours * earlier)[order][:, order] << FRACTION_BITS
        self._before = [
            np.ascontiguousarray(self._around[: part.start, part]) for part in self.parts
        ]

    def repeated(self, times: int) -> "MotionContexts":
        """Returns contexts for so many histories of all slots side by side, [times * slots].

        Only what concerns a slot by itself works there: `predict`, `advance`, `scale`, `rows`.
        """
        wide = copy.copy(self)
        for name in ("_favoured", "_weights", "_floor"):
            setattr(wide, name, np.tile(getattr(self, name), times))
        return wide

    def fresh(self, levels: np.ndarray) -> State:
        """Returns the state in front of a frame when only these levels [slots] are known."""
        count = len(levels)
        running = np.repeat(self._start[None], len(_SHIFTS), 0)
        return State(levels, np.zeros((LAGS, count), np.int64), running)

    def predict(self, state: State) -> tuple[tuple, np.ndarray, np.ndarray]:
        """Returns what `advance` needs, the expected change of levels and its phase, both [slots].

        The first is all predictors' guesses [PREDICTORS, slots] and their mean [slots], in 1/256
        level.
        """
        guesses = self._gains @ state.differences
        exact = _mean(guesses, self._trust(state.running[:PREDICTORS]), 0)
        change = (exact + _ROUND) >> PREDICTOR_BITS
        return (guesses, exact), change, exact - (change << PREDICTOR_BITS)

    def _trust(self, errors: np.ndarray) -> np.ndarray:
        """Returns weights [*, PREDICTORS, slots] of the predictors with these running errors."""
        trust = errors * self._favoured
        trust += _FLOOR
        smallest = trust.min(-2, keepdims=True)
        trust <<= 5
        trust //= smallest
        return _TRUST.take(trust, mode="clip")

    def scale(self, means: np.ndarray) -> np.ndarray:
        """Returns the part [*, slots] of the scale that earlier frames decide."""
        weights = self._weights[:, None] if means.ndim == 3 else self._weights
        return (weights * means).sum(0) + self._floor

    def around(self, magnitudes: np.ndarray) -> np.ndarray:
        """Returns the part [n, slots] of the scale that earlier stages of the frame decide."""
        return magnitudes @ self._around

    def before(self, magnitudes: np.ndarray, stage: int) -> np.ndarray:
        """Returns the part of the scale of one stage, from all slots coded before [earlier]."""
        return magnitudes @ self._before[stage]

    def spread(self) -> np.ndarray:
        """Returns the scale [slots] of the first frame after a restart that is not held."""
        return self._spread

    def frequencies(self, scale: np.ndarray, fold: np.ndarray | int, shift: int = 0) -> np.ndarray:
        """Returns float64 rows of integer frequencies [*, tokens]; arguments as for `rows`."""
        return self.table.take(self.rows(scale, fold, shift), axis=0)

    def rows(
        self, scale: np.ndarray, fold: np.ndarray | int, shift: np.ndarray | int | None = None
    ) -> np.ndarray:
        """Returns the number of the table row, scale * PHASES + phase bin, of every slot [*].

        `scale` [*] is as `scale` and `around` make it, `fold` [*] as from `folded`, `shift` by how
        many scales to go up, as from `shifts`; None is 0.
        """
        number = self._thresholds.searchsorted(scale)
        if shift is not None:
            number = np.minimum(np.maximum(number + shift, 0), SCALES - 1)
        return number * PHASES + fold

    def shifts(self, scale: np.ndarray, fold: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Returns by how many tables packets of a single frame go up for their length [n].

        A long packet tells before it is read that the frame moves more than was expected: half of
        the difference is believed. `scale` [slots] is the part that earlier frames decide, `fold`
        [slots], `sizes` [n] bytes of packets, >= 1.
        """
        rows = self.rows(scale, fold, _SHIFTS_OF_PACKETS[:, None])
        bits = self._expected.take(rows).sum(1)
        middle = bits[len(bits) // 2]
        off = np.abs(2 * bits - middle - 128 * np.asarray(sizes)[:, None] + 32)
        return _SHIFTS_OF_PACKETS[off.argmin(1)]

    def advance(self, state: State, levels: np.ndarray, guessed: tuple) -> None:
        """Moves `state` past a frame of `levels`, of which `predict` returned `guessed`."""
        guesses, exact = guessed
        change = levels - state.last
        state.last = levels
        state.differences[1:] = state.differences[:-1]
        state.differences[0] = change
        errors = np.empty_like(state.running)
        errors[:PREDICTORS] = guesses
        errors[PREDICTORS:] = exact
        _miss(errors, change << PREDICTOR_BITS)
        errors -= state.running
        errors >>= _SHIFTS
        state.running += errors

    def follow(self, state: State, levels: np.ndarray) -> Followed:
        """Returns what is coded for the next frames, all at once; `state` moves past them.

        `state`: in front of the first; `levels`: [n, slots] of frames none of which holds still.
        """
        last, past, guesses, changes = self._guessed(state, levels)
        errors = _miss(guesses.copy(), changes[:, None])
        before = _running(state.running[:PREDICTORS], errors, _SHIFTS[:PREDICTORS])
        exact = _mean(guesses, self._trust(before), 1)
        expected = (exact + _ROUND) >> PREDICTOR_BITS
        means = _running(state.means, _miss(exact.copy(), changes)[:, None], _SHIFTS[PREDICTORS:])
        state.last, state.differences = levels[-1], past[-LAGS:][::-1].copy()
        residuals = levels - predicted(last, expected)
        return Followed(residuals, exact - (expected << PREDICTOR_BITS), means.swapaxes(0, 1))

    def _guessed(self, state: State, levels: np.ndarray) -> tuple[np.ndarray, ...]:
        """Returns last levels, past changes, guesses [n, PREDICTORS, slots], changes in 1/256."""
        last = np.concatenate([state.last[None], levels[:-1]])
        changes = levels - last
        past = np.concatenate([state.differences[::-1], changes])
        end = LAGS + len(levels) - 1
        lags = np.stack([past[LAGS - 1 - k : end - k] for k in range(LAGS)], 1)
        changes <<= PREDICTOR_BITS
        return last, past, self._gains @ lags, changes


def _mean(guesses: np.ndarray, trust: np.ndarray, axis: int) -> np.ndarray:
    """Returns the mean of `guesses` along an axis, weighted, rounded down."""
    return (guesses * trust).sum(axis) // trust.sum(axis)


def _miss(guesses: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Turns guesses of the change, both in 1/256, into their errors in 1/4096; returns them."""
    guesses -= change
    np.abs(guesses, out=guesses)
    np.minimum(guesses, _ERROR_CAP, out=guesses)
    guesses <<= _FINER
    return guesses


def _running(now: np.ndarray, values: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Returns running means [n, *] in front of `values` [n, *]; `now` becomes that after them."""
    means = np.empty((len(values), *now.shape), np.int64)
    for mean, value in zip(means, values, strict=True):
        mean[:] = now
        value = value - now
        value >>= shifts
        now += value
    return means


def predicted(last: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Returns the predicted levels, inside 32 bits."""
    # Not np.clip, which takes longer than all the rest of a small frame.
    return np.minimum(np.maximum(last + change, -MAX_LEVEL), MAX_LEVEL)


def capped(residuals: np.ndarray) -> np.ndarray:
    """Returns magnitudes as neighbours see them."""
    return np.minimum(np.abs(residuals), MAGNITUDE_CAP)


def folded(phase: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bin of each phase, and the sign by which residuals are multiplied before coding.

    Tables assume that the exact prediction lies above the rounded one; else all is mirrored.
    """
    fold = np.abs(phase) >> _PHASE_SHIFT
    np.minimum(fold, PHASES - 1, out=fold)
    return fold, (phase >> 63) | 1
