"""Which levels a group gets: the best of what several ways of choosing propose, by real bytes.

    rounded to the nearest (where rate counts nothing)
    chosen frame by frame ─┬─► the one with the least error + weight * bits
    searched ──────────────┘
    or of a single frame, which is a packet

Imports no jax.
"""

import numpy as np

from hvc_jax.stream.choose_levels import Costs, LevelChooser
from hvc_jax.stream.choose_packet import PacketChooser
from hvc_jax.stream.choose_search import LevelSearch
from hvc_jax.stream.motion import MotionCoder
from hvc_jax.stream.tables import CodingTables


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

        `coder` stands in front of the group whenever `choose` is called; `rate_weight` > 0 is the
        error that a bit is worth; `importance` [dynamic slots] what a squared step of error counts,
        None is 1 for all; `width` 1 chooses frame by frame, more keeps so many histories of every
        slot alive, and tries many near ties for frames that are sent alone.
        """
        order = coder.contexts.order
        importance = np.ones(len(order)) if importance is None else np.asarray(importance)
        if importance.shape != (len(order),) or not (importance >= 0).all():
            raise ValueError(f"importance must be {len(order)} numbers >= 0")
        self._coder, self._weight, self._order = coder, rate_weight, order
        costs = Costs(tables, coder.contexts, rate_weight, importance[order])
        self._greedy = LevelChooser(costs)
        self._search = self._packets = None
        if width > 1:
            self._search = LevelSearch(costs, width)
            # Half the weight, as measured: bits of a packet are bought by the byte.
            self._packets = PacketChooser(costs._replace(weight=rate_weight / 2))

    def choose(self, values: np.ndarray) -> np.ndarray:
        """Returns levels [count, slots] int64 for `values` [count, slots] in steps."""
        coder, values = self._coder, values[:, self._order]
        back = np.argsort(self._order)
        if self._packets is not None and len(values) == 1 and not coder.fresh:
            return self._packets.choose(values[0], coder.state)[None, back]
        levels = self._greedy.choose(values, coder.state.copy(), coder.fresh, coder.held)
        if self._search is not None and len(values) > 1:
            options = [levels]
            # Frames that a clip repeats, and those that are better held.
            still = [
                (np.diff(each, axis=0, prepend=np.nan) == 0).all(1) for each in (values, levels)
            ]
            for held in still if (still[0] != still[1]).any() else still[:1]:
                options.append(self._searched(self._search, values, held))
            costs = [
                self._greedy.error(values, each) + self._weight * 8 * coder.trial(each[:, back])
                for each in options
            ]
            levels = options[int(np.argmin(costs))]
        return levels[:, back]

    def _searched(self, search: LevelSearch, values: np.ndarray, held: np.ndarray) -> np.ndarray:
        """Returns levels, frames that are `held` [count] as the one before: no trace of them."""
        coder = self._coder
        state, begin = coder.state.copy(), 0
        levels = np.rint(values).astype(np.int64)
        if coder.fresh:
            # The frame that a key picture shows, or a resync: taken as it is.
            begin = 1
            if (levels[0] != state.last).any():
                state = coder.contexts.fresh(levels[0])
        moves = ~held
        moves[:begin] = False
        if moves.any():
            levels[moves] = search.choose(values[moves], state)
        for i in range(max(begin, 1), len(values)):
            if not moves[i]:
                levels[i] = levels[i - 1]
        return levels
