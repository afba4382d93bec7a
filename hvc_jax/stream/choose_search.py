"""Choosing levels with an eye on what follows: several histories of every number are kept alive.

A level that costs a little now may be the better start for all predictions after it. Slots hardly
depend on each other (only through the scales of later stages), so each follows its own `width` best
histories through a group and takes the one that ends cheapest. Costs are squared error times the
slot's importance plus a weight times bits, as in `choose_levels`. The encoder alone
chooses, so floats are fine here. Imports no jax.

Jelinek and Anderson, "Instrumentable tree encoding of information sources" (1971): the M-algorithm.
"""

import numpy as np

from hvc_jax.stream.choose_levels import Costs, token_bits
from hvc_jax.stream.contexts import State, capped, folded, predicted
from hvc_jax.stream.tokens import to_tokens


class LevelSearch:
    """Chooses the levels of whole groups; slots are in coding order."""

    def __init__(self, costs: Costs, width: int) -> None:
        """Prepares the search; `costs.weight` > 0; `width` >= 1: histories kept of a slot."""
        tables, self._contexts, self._weight, self._importance = costs
        self._wide = self._contexts.repeated(width)
        self._width = width
        self._bits = token_bits(tables)

    def choose(self, values: np.ndarray, state: State) -> np.ndarray:
        """Returns levels [count, slots] int64 for `values` [count, slots] float64 in steps.

        The first frame is not the first after a restart; `state` is in front of it.
        """
        count, slots = values.shape
        width, columns = self._width, np.arange(slots)
        state = State(
            np.tile(state.last, width),
            np.tile(state.differences, width),
            np.tile(state.running, width),
        )
        # All histories begin alike: only the first counts.
        total = np.where(np.arange(width)[:, None] == 0, 0.0, np.inf) + np.zeros(slots)
        parents = np.zeros((count, width, slots), np.int64)
        chosen = np.zeros((count, width, slots), np.int64)
        for i, row in enumerate(values):
            guessed, change, phase = self._wide.predict(state)
            expected = predicted(state.last, change).reshape(width, slots)
            residuals = self._candidates(row, expected)
            cost = total + self._cost(row, state, phase, expected, residuals, total.argmin(0))
            cost = cost.reshape(-1, slots)
            keep = np.argpartition(cost, width - 1, axis=0)[:width]
            total = np.take_along_axis(cost, keep, 0)
            parents[i] = keep % width
            levels = (expected + residuals).reshape(-1, slots)
            chosen[i] = np.take_along_axis(levels, keep, 0)
            at = (parents[i] * slots + columns).ravel()
            state = State(state.last[at], state.differences[:, at], state.running[:, at])
            guesses, exact = guessed
            self._wide.advance(state, chosen[i].ravel(), (guesses[:, at], exact[at]))
        path = total.argmin(0)
        out = np.zeros((count, slots), np.int64)
        for i in range(count - 1, -1, -1):
            out[i] = chosen[i, path, columns]
            path = parents[i, path, columns]
        return out

    @staticmethod
    def _candidates(values: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Returns residuals [candidates, width, slots]: the nearest, and those beside it."""
        nearest = np.rint(values).astype(np.int64)
        other = nearest + np.where(values >= nearest, 1, -1)
        first = nearest - expected
        towards = first - np.where(first == 0, 0, np.sign(first))
        return np.stack([first, towards, other - expected])

    def _cost(
        self,
        values: np.ndarray,
        state: State,
        phase: np.ndarray,
        expected: np.ndarray,
        residuals: np.ndarray,
        best: np.ndarray,
    ) -> np.ndarray:
        """Returns the cost [candidates, width, slots] of each next step."""
        width, slots = expected.shape
        around = self._contexts.around(capped(residuals[0, best, np.arange(slots)]))
        scale = self._wide.scale(state.means) + np.tile(around, width)
        fold, sign = folded(phase)
        rows = self._wide.rows(scale, fold).reshape(width, slots)
        tokens, _ = to_tokens(residuals * sign.reshape(width, slots))
        errors = expected + residuals - values
        cost = errors**2 * self._importance + self._weight * self._bits[rows, tokens]
        # Twice the same candidate would fill the histories with copies.
        cost[1][residuals[1] == residuals[0]] = np.inf
        cost[2][residuals[2] == residuals[1]] = np.inf
        return cost
