"""Choosing levels by rate and distortion: a level nearer to the prediction where that is worth it.

Greedy, frame by frame: for every number the nearest level is weighed against the next one towards
the prediction, and for the whole frame against holding still, by squared error in steps plus
`rate_weight` times bits. What an encoder chooses is its own affair, so floats are fine here.
Imports no jax.
"""

import numpy as np

from hvc_jax.entropy.adaptive import MotionContexts, State, capped, folded
from hvc_jax.entropy.tables import TOTAL, CodingTables
from hvc_jax.entropy.tokens import EXTRA_BITS, to_tokens


class LevelChooser:
    """Chooses levels for one set of tables."""

    def __init__(self, tables: CodingTables, contexts: MotionContexts, rate_weight: float) -> None:
        """Prepares the costs.

        Args:
          tables: the coding tables.
          contexts: of the coder that will code the levels.
          rate_weight: squared steps that a bit is worth, >= 0; about 0.1 balances the two.
        """
        self._contexts = contexts
        self._weight = rate_weight
        rows = tables.frequencies.reshape(-1, tables.frequencies.shape[-1])
        self._bits = -np.log2(rows / TOTAL) + np.array(EXTRA_BITS)
        self._hold_bits = -np.log2(tables.hold / TOTAL)

    def choose(
        self, values: np.ndarray, state: State, fresh: bool, held: tuple[int, int]
    ) -> np.ndarray:
        """Returns levels [count, slots] int64 for `values` [count, slots] in steps.

        Args:
          values: what is to be coded, float64.
          state: the coder's state in front of the first frame.
          fresh: whether that frame is the first after a restart.
          held: whether the two frames before it held, 0 or 1 each.
        """
        levels = np.rint(values).astype(np.int64)
        for i, row in enumerate(levels):
            if fresh:
                # The frame that a key picture shows, or a resync: taken as it is.
                fresh, hold = False, bool((row == state.last).all())
                state = state if hold else self._contexts.restart(row)
            else:
                row[:], hold, magnitudes = self._frame(values[i], row, state, held)
                if not hold:
                    state = self._contexts.advance(state, row.copy(), magnitudes)
            held = (held[1], int(hold))
        return levels

    def _frame(
        self, values: np.ndarray, nearest: np.ndarray, state: State, held: tuple[int, int]
    ) -> tuple[np.ndarray, bool, np.ndarray]:
        """Returns the levels of a frame, whether they hold still, and residual magnitudes."""
        contexts = self._contexts
        change, phase = contexts.predict(state.differences, state.means)
        predicted = state.last + change
        first = nearest - predicted
        scale = contexts.scale(state.means) + contexts.neighbours(capped(first), slice(None))
        rows, sign = contexts.rows(scale, phase), folded(phase)
        candidates = np.stack([first, first - np.sign(first)])
        bits = self._bits[rows, to_tokens(candidates * sign)[0]]
        cost = (predicted + candidates - values) ** 2 + self._weight * bits
        pick = np.argmin(cost, 0)
        columns = np.arange(len(values))
        chosen = candidates[pick, columns]
        move, hold = self._weight * self._hold_bits[sum(held)]
        levels = predicted + chosen
        holding = ((state.last - values) ** 2).sum() + hold
        if (levels == state.last).all() or holding < cost[pick, columns].sum() + move:
            return state.last, True, chosen
        return levels, False, capped(chosen)
