"""Units of a single frame: their bytes, in tables that their length chooses.

A stream that must not wait sends every frame by itself, and a frame of 20 to 30 bits wastes most of
a byte at its end. But its length is known before it is read, and says how much the frame moves: the
coder goes over to tables of larger residuals for long packets and of smaller ones for short, and
the encoder takes the fewest bytes in whose tables the frame fits. A frame that holds still has no
bytes at all. Imports no jax.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from hvc_jax.stream.contexts import MotionContexts, State, capped, folded, predicted
from hvc_jax.stream.range_coder import SymbolEncoder
from hvc_jax.stream.tokens import EXTRA_BITS, FIRST_WITH_BITS, to_tokens

_LUCKY = 8 * 16  # 1/16 bits that a packet may lack; one in 2**8 with so much is coded after all


class Packets:
    """Several choices of levels for one frame, any of which may be coded as a packet."""

    def __init__(self, contexts: MotionContexts, state: State, levels: np.ndarray) -> None:
        """Prepares levels [n, slots] int64 in coding order; not the first after a restart."""
        self.levels = levels
        # What `MotionContexts.advance` needs to move past the frame.
        self.guessed, change, phase = contexts.predict(state)
        residuals = levels - predicted(state.last, change)
        self._contexts = contexts
        self._fold, sign = folded(phase)
        self._expected = contexts.scale(state.means)
        self._scale = self._expected + contexts.around(capped(residuals))
        self._tokens, self._extra = to_tokens(residuals * sign)

    def bits(self, sizes: np.ndarray) -> np.ndarray:
        """Returns about what each choice takes in packets of `sizes` [m], [m, n] in 1/16 bit."""
        shifts = self._contexts.shifts(self._expected, self._fold, sizes)
        used, each = np.unique(shifts, return_inverse=True)
        rows = self._contexts.rows(self._scale, self._fold, used[:, None, None])
        return self._contexts.costs[rows, self._tokens].sum(-1)[each]

    def coded(self, number: int, size: int) -> bytes | None:
        """Returns a choice in `size` bytes, or None where it needs more."""
        contexts, encoder = self._contexts, SymbolEncoder()
        (shift,) = contexts.shifts(self._expected, self._fold, [size])
        tokens, extra = self._tokens[number], self._extra[number]
        table = contexts.frequencies(self._scale[number], self._fold, shift)
        long = tokens.max(initial=0) >= FIRST_WITH_BITS
        for part in contexts.parts if long else [slice(None)]:
            encoder.symbols(tokens[part], table[part])
            for i in part.start + np.flatnonzero(tokens[part] >= FIRST_WITH_BITS) if long else ():
                encoder.bits(int(extra[i]), EXTRA_BITS[tokens[i]])
        payload = encoder.finish()
        return payload.ljust(size, b"\0") if len(payload) <= size else None

    def sizes(self) -> Iterator[int]:
        """Yields the numbers of bytes in which the first choice may fit."""
        for start in itertools.count(1, 64):
            sizes = np.arange(start, start + 64)
            lack = self.bits(sizes)[:, 0] - 128 * sizes
            yield from sizes[lack < _LUCKY].tolist()


def shortest(packets: Packets) -> bytes:
    """Returns the shortest packet of the first choice."""
    coded = (packets.coded(0, size) for size in packets.sizes())
    return next(each for each in coded if each is not None)
