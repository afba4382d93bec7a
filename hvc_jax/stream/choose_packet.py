"""Choosing the levels of a frame that is sent alone: error against whole bytes.

A packet costs whole bytes, so what counts is not what a level costs but whether the frame still
fits. Many choices that are nearly as good as the best are lined up, each with every length that it
may fit in, and coded in order of error + weight * bits until one does fit. The encoder
alone chooses, so floats are fine here. Imports no jax.
"""

import numpy as np

from hvc_jax.stream.choose_levels import Costs, token_bits
from hvc_jax.stream.contexts import State, capped, folded, predicted
from hvc_jax.stream.packets import Packets
from hvc_jax.stream.tokens import to_tokens

_WEIGHTS = (0.0, 0.35, 0.7, 1.0, 1.4, 2.0, 3.0)  # of rate, relative to what was asked for
_SINGLE = 14  # numbers that are tried one level off
_PAIRS = 9  # those of them of which two are tried at once
_TRIALS = 60  # lengths and choices that are really coded
_LACK = 4 * 16  # 1/16 bits that a packet may lack to be tried


class PacketChooser:
    """Chooses levels of single frames; slots are in coding order."""

    def __init__(self, costs: Costs) -> None:
        """Prepares the costs."""
        tables, self._contexts, self._weight, self._importance = costs
        self._bits = token_bits(tables)

    def choose(self, values: np.ndarray, state: State) -> np.ndarray:
        """Returns levels [slots] int64 for `values` [slots] float64 in steps.

        The frame is not the first after a restart; `state`, in front of it, stays.
        """
        options = self._options(values, state)
        if not len(options):
            return state.last
        errors = ((options - values) ** 2 * self._importance).sum(1)
        packets = Packets(self._contexts, state, options)
        # Lengths from one that hardly any choice fits in to one that every choice does.
        most = int(packets.bits(np.array([8]))[0].max()) // 128 + 3
        sizes = np.arange(1, most + 1)
        lack = packets.bits(sizes) - 128 * sizes[:, None]
        cost = errors + self._weight * 8 * sizes[:, None]
        cost[lack > _LACK] = np.inf
        holding = ((state.last - values) ** 2 * self._importance).sum()
        for place in np.argsort(cost, axis=None, kind="stable")[:_TRIALS]:
            size, number = divmod(int(place), len(options))
            if not cost[size, number] < holding:
                return state.last
            if packets.coded(number, size + 1) is not None:
                return options[number]
        return options[0]

    def _options(self, values: np.ndarray, state: State) -> np.ndarray:
        """Returns choices of levels [n, slots], none of them far from the best."""
        contexts = self._contexts
        _, change, phase = contexts.predict(state)
        expected = predicted(state.last, change)
        nearest = np.rint(values).astype(np.int64)
        other = nearest + np.where(values >= nearest, 1, -1)
        first = nearest - expected
        three = np.stack([nearest, nearest - np.sign(first), other])
        fold, sign = folded(phase)
        rows = contexts.rows(contexts.scale(state.means) + contexts.around(capped(first)), fold)
        bits = self._bits[rows, to_tokens((three - expected) * sign)[0]]
        errors = (three - values) ** 2 * self._importance
        slots = np.arange(len(values))
        weights = self._weight * np.array(_WEIGHTS)
        picks = (errors + weights[:, None, None] * bits).argmin(1)
        ways = three[picks, slots]
        # One or two numbers beside the best, those first whose cost hardly changes.
        best = picks[_WEIGHTS.index(1.0)]
        cost = errors + self._weight * bits
        more = cost - cost[best, slots]
        more[three == three[best, slots]] = np.inf
        flips = [divmod(int(at), len(slots)) for at in np.argsort(more, axis=None)[:_SINGLE]]
        flips = [(way, slot) for way, slot in flips if np.isfinite(more[way, slot])]
        singles = np.repeat(three[best, slots][None], len(flips), 0)
        for single, (way, slot) in zip(singles, flips, strict=True):
            single[slot] = three[way, slot]
        pairs = []
        for i in range(min(_PAIRS, len(flips))):
            pair = np.repeat(singles[i][None], i, 0)
            for each, (way, slot) in zip(pair, flips[:i], strict=True):
                each[slot] = three[way, slot]
            pairs.append(pair)
        options = np.concatenate([ways, singles, *pairs])
        return options[(options != state.last).any(1)]  # what holds still is no packet
