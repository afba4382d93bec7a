"""Which levels a group gets: the best of what several ways of choosing propose, by real bytes.

    rounded to the nearest (where rate counts nothing)
    chosen frame by frame, rdo.py ─┐
    searched, search.py ───────────┼─► the one with the least error + weight * bits
    a packet's near ties, rdo.py ──┘

Imports no jax.
"""

import numpy as np

from hvc_jax.bitstream.payloads import MotionCoder
from hvc_jax.bitstream.rdo import LevelChooser
from hvc_jax.bitstream.search import LevelSearch
from hvc_jax.entropy.tables import CodingTables


class GroupChooser:
    """Chooses the levels of groups, for the coder that codes them next."""

    def __init__(
        self,
        coder: MotionCoder,
        tables: CodingTables,
        rate_weight: float,
        importance: np.ndarray | None = None,
        width: int = 1,
    ) -> None:
        """Prepares the costs.

        Args:
          coder: stands in front of the group whenever `choose` is called.
          tables: the coding tables.
          rate_weight: error that a bit is worth, > 0.
          importance: [dynamic slots] what a squared step of error counts; None is 1 for all.
          width: 1 chooses frame by frame; more keeps so many histories of every slot alive, and
            tries near ties in groups of a single frame.
        """
        order = coder.contexts.order
        importance = np.ones(len(order)) if importance is None else np.asarray(importance)
        if importance.shape != (len(order),) or not (importance >= 0).all():
            raise ValueError(f"importance must be {len(order)} numbers >= 0")
        self._coder, self._weight, self._order = coder, rate_weight, order
        self._greedy = LevelChooser(tables, coder.contexts, rate_weight, importance[order])
        self._search = None
        if width > 1:
            self._search = LevelSearch(
                tables, coder.contexts, rate_weight, importance[order], width
            )

    def choose(self, values: np.ndarray) -> np.ndarray:
        """Returns levels [count, slots] int64 for `values` [count, slots] in steps."""
        coder, values = self._coder, values[:, self._order]
        levels = self._greedy.choose(values, coder.state.copy(), coder.fresh, coder.held)
        options = [levels]
        if self._search is not None and len(values) > 1:
            options.append(self._searched(self._search, values))
        elif self._search is not None and not coder.fresh:
            near = self._greedy.alternatives(values[0], levels[0])
            options += [each[None] for each in near]
        back = np.argsort(self._order)
        if len(options) > 1:
            costs = [
                self._greedy.error(values, each) + self._weight * 8 * coder.trial(each[:, back])
                for each in options
            ]
            levels = options[int(np.argmin(costs))]
        return levels[:, back]

    def _searched(self, search: LevelSearch, values: np.ndarray) -> np.ndarray:
        coder = self._coder
        state, begin = coder.state.copy(), 0
        levels = np.rint(values).astype(np.int64)
        if coder.fresh:
            # The frame that a key picture shows, or a resync: taken as it is.
            begin = 1
            if (levels[0] != state.last).any():
                state = coder.contexts.fresh(levels[0])
        # Frames that a clip repeats leave no trace in the contexts.
        moves = np.ones(len(values), bool)
        moves[1:] = (np.diff(values, axis=0) != 0).any(1)
        moves[:begin] = False
        if moves.any():
            levels[moves] = search.choose(values[moves], state)
        for i in range(max(begin, 1), len(values)):
            if not moves[i]:
                levels[i] = levels[i - 1]
        return levels
