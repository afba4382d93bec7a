"""Prediction and contexts: what is expected of the next vector, from integers both ends know.

Per number: the next level is extrapolated from the last ones, with gains that depend on how active
the number has been; the residual's scale is a weighted sum of running means of its own earlier
magnitudes and of magnitudes already coded in the same frame; scale and phase (where between two
levels the prediction fell) choose the table.

    levels so far ─► differences ─► prediction, phase ┐
    |residuals| so far ─► running means ─► scale ─────┴─► table
    |residuals| of earlier stages, this frame ─┘

A frame is coded in a few stages (x axes, then y, then z), so that later stages see earlier ones and
all numbers of a stage are handled at once. The encoder knows all frames and works on whole groups;
the decoder runs the very same functions frame by frame. All of it is int64: nothing depends on
floating point. Imports no jax.
"""

import dataclasses

import numpy as np

from hvc_jax.entropy.tables import (
    ACTIVITY_THRESHOLDS,
    FRACTION_BITS,
    LAGS,
    MEAN_SHIFTS,
    PHASES,
    PREDICTOR_BITS,
    CodingTables,
)

MAGNITUDE_CAP = 4095
_ACTIVITY_MEAN = 2  # which running mean decides the activity class
_SHIFTS = np.array(MEAN_SHIFTS)[:, None]
_ROUND = 1 << (PREDICTOR_BITS - 1)
# |phase| <= 2**(PREDICTOR_BITS - 1), in PHASES equal bins.
_PHASE_SHIFT = PREDICTOR_BITS - 1 - (PHASES.bit_length() - 1)


@dataclasses.dataclass
class State:
    """What both ends remember of the frames coded so far.

    Attributes:
      last: [slots] the last levels.
      differences: [LAGS, slots] latest first, of consecutive levels.
      means: [means, slots] running means of residual magnitudes, in 1/4096.
    """

    last: np.ndarray
    differences: np.ndarray
    means: np.ndarray


class MotionContexts:
    """Says what to expect of the next vector of levels, and follows what came.

    Attributes:
      stages: for every stage, the slots coded in it.
    """

    def __init__(self, tables: CodingTables, quantiser: int, one: int) -> None:
        """Prepares the tables for steps scaled by quantiser / one."""
        self._tables = tables
        self._rows = tables.frequencies.reshape(-1, tables.frequencies.shape[-1]).astype(float)
        self._weights = tables.weights[:, None, :]
        self._columns = np.arange(len(tables.stages))
        self._start = tables.start * one // quantiser
        self._spread = tables.spread[: len(tables.stages)] * one // quantiser << FRACTION_BITS
        self.stages = [
            np.flatnonzero(tables.stages == s) for s in range(max(tables.stages, default=-1) + 1)
        ]
        # Neighbours of a stage lie in stages before it, whatever the tables say.
        earlier = tables.stages[:, None] < tables.stages[None, :]
        self._neighbours = tables.neighbours * earlier

    def restart(self, levels: np.ndarray) -> State:
        """Returns the state in front of the first frame after a key frame with these levels."""
        count = len(levels)
        means = np.broadcast_to(self._start, (len(MEAN_SHIFTS), count))
        return State(levels, np.zeros((LAGS, count), np.int64), means.astype(np.int64))

    def predict(self, differences: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the expected change of levels and its phase, both [*, slots].

        Args:
          differences: [LAGS, *, slots].
          means: [means, *, slots].
        """
        active = np.searchsorted(ACTIVITY_THRESHOLDS, means[_ACTIVITY_MEAN])
        gains = self._tables.gains[:, active, self._columns]
        exact = (gains * differences).sum(0)
        change = (exact + _ROUND) >> PREDICTOR_BITS
        return change, exact - (change << PREDICTOR_BITS)

    def scale(self, means: np.ndarray) -> np.ndarray:
        """Returns the part [*, slots] of the scale that earlier frames decide."""
        weights = self._weights if means.ndim == 3 else self._weights[:, 0]
        return self._tables.floor + (weights * means).sum(0)

    def neighbours(self, magnitudes: np.ndarray, columns: np.ndarray | slice) -> np.ndarray:
        """Returns the part of the scale that this frame's earlier stages decide.

        Args:
          magnitudes: [*, slots] of this frame; later stages do not count.
          columns: which slots to return.
        """
        return (magnitudes @ self._neighbours[:, columns]) << FRACTION_BITS

    def spread(self) -> np.ndarray:
        """Returns the scale [slots] of the first frame after a restart that is not held."""
        return self._spread

    def frequencies(self, scale: np.ndarray, phase: np.ndarray) -> np.ndarray:
        """Returns float64 rows of integer frequencies [*, tokens]."""
        return self._rows[self.rows(scale, phase)]

    def rows(self, scale: np.ndarray, phase: np.ndarray) -> np.ndarray:
        """Returns the number of the table row, scale * PHASES + phase bin, of every slot [*]."""
        index = np.searchsorted(self._tables.thresholds, scale)
        fold = np.minimum(np.abs(phase) >> _PHASE_SHIFT, PHASES - 1)
        return index * PHASES + fold

    @staticmethod
    def advance(state: State, levels: np.ndarray, magnitudes: np.ndarray) -> State:
        """Returns the state after a frame of `levels` whose residuals had these magnitudes."""
        differences = np.concatenate([(levels - state.last)[None], state.differences[:-1]])
        return State(levels, differences, update_means(state.means, magnitudes))


def update_means(means: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    """Returns running means [means, slots] after one more frame of `magnitudes` [slots]."""
    return means + (((magnitudes << FRACTION_BITS) - means) >> _SHIFTS)


def capped(residuals: np.ndarray) -> np.ndarray:
    """Returns magnitudes as contexts see them."""
    return np.minimum(np.abs(residuals), MAGNITUDE_CAP)


def folded(phase: np.ndarray) -> np.ndarray:
    """Returns the sign, 1 or -1, by which residuals are multiplied before coding.

    Tables assume that the exact prediction lies above the rounded one; else all is mirrored.
    """
    return np.where(phase < 0, -1, 1)
