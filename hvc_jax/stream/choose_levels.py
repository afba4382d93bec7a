"""Choosing levels by rate and distortion: a level nearer to the prediction where that is worth it.

Greedy, frame by frame: for every number the nearest level is weighed against the next one towards
the prediction, and for the whole frame against holding still, by squared error in steps (times the
slot's importance) plus a weight times bits. `choose_search` looks further ahead. The
encoder alone chooses, so floats are fine here. Imports no jax.
"""

from typing import NamedTuple

import numpy as np

from hvc_jax.stream.contexts import MotionContexts, State, capped, folded, predicted
from hvc_jax.stream.tables import TOTAL, CodingTables
from hvc_jax.stream.tokens import EXTRA_BITS, to_tokens


def token_bits(tables: CodingTables) -> np.ndarray:
    """Returns the bits [rows, tokens] that each token costs under each row of the tables."""
    rows = tables.frequencies.reshape(-1, tables.frequencies.shape[-1])
    return -np.log2(rows / TOTAL) + np.array(EXTRA_BITS)


class Costs(NamedTuple):
    """What levels are weighed by."""

    tables: CodingTables
    contexts: MotionContexts  # of the coder that will code the levels
    weight: float  # error that a bit is worth, >= 0
    importance: np.ndarray  # [slots] what a squared step of error counts, in coding order


class LevelChooser:
    """Chooses levels frame by frame; slots are in coding order."""

    def __init__(self, costs: Costs) -> None:
        """Prepares the costs."""
        tables, self._contexts, self._weight, self._importance = costs
        self._bits = token_bits(tables)
        self._hold_bits = -np.log2(tables.hold / TOTAL)

    def choose(
        self, values: np.ndarray, state: State, fresh: bool, held: tuple[int, int]
    ) -> np.ndarray:
        """Returns levels [count, slots] int64 for `values` [count, slots] float64 in steps.

        `state`, in front of the first frame, moves on; `fresh`: that frame is the first after a
        restart; `held`: whether the two frames before it held, 0 or 1 each.
        """
        levels = np.rint(values).astype(np.int64)
        for i, row in enumerate(levels):
            if fresh:
                # The frame that a key picture shows, or a resync: taken as it is.
                fresh, hold = False, bool((row == state.last).all())
                state = state if hold else self._contexts.fresh(row)
            else:
                hold = self._frame(values[i], row, state, held)
            held = (held[1], int(hold))
        return levels

    def error(self, values: np.ndarray, levels: np.ndarray) -> float:
        """Returns the error of `levels` [count, slots] for `values`, both in coding order."""
        return float((((levels - values) ** 2) * self._importance).sum())

    def _frame(
        self, values: np.ndarray, levels: np.ndarray, state: State, held: tuple[int, int]
    ) -> bool:
        """Turns the nearest `levels` into those chosen; returns whether the frame holds still."""
        contexts = self._contexts
        guessed, change, phase = contexts.predict(state)
        expected = predicted(state.last, change)
        first = levels - expected
        scale = contexts.scale(state.means) + contexts.around(capped(first))
        fold, sign = folded(phase)
        candidates = np.stack([first, first - np.sign(first)])
        bits = self._bits[contexts.rows(scale, fold), to_tokens(candidates * sign)[0]]
        errors = (expected + candidates - values) ** 2 * self._importance
        cost = errors + self._weight * bits
        pick = np.argmin(cost, 0)
        columns = np.arange(len(values))
        move, hold = self._weight * self._hold_bits[sum(held)]
        levels[:] = expected + candidates[pick, columns]
        holding = ((state.last - values) ** 2 * self._importance).sum() + hold
        if (levels == state.last).all() or holding < cost[pick, columns].sum() + move:
            levels[:] = state.last
            return True
        contexts.advance(state, levels, guessed)
        return False
