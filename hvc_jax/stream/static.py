"""The content of STATIC units: all numbers of a key frame, once.

    STATIC  tokens of the dynamic slots, then of the static slots in blocks of 4, 4, 8, 16, 16, ...

    EDIT_STATIC  for every static slot whose number is another in the frames than in the key
                 picture: varint place among the static slots, varint level, signs folded in

A block's scale follows the size of the levels before it, so that a body which was never posed below
the wrists costs next to nothing. The extra bits of large values follow their block. Imports no jax.
"""

from collections.abc import Iterator

import numpy as np

from hvc_jax.stream.contexts import capped
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import Payload, varint
from hvc_jax.stream.levels import QUANTISER_ONE, checked
from hvc_jax.stream.range_coder import SymbolDecoder, SymbolEncoder
from hvc_jax.stream.tables import FRACTION_BITS, CodingTables
from hvc_jax.stream.tokens import EXTRA_BITS, FIRST_WITH_BITS, read_values, to_tokens

_FIRST_BLOCKS = (4, 4, 8)
_BLOCK = 16


def encode_static(tables: CodingTables, quantiser: int, levels: np.ndarray) -> bytes:
    """Returns the STATIC payload of a key frame's `levels` [slots]."""
    encoder = SymbolEncoder()
    contexts = _StaticContexts(tables, quantiser)
    tokens, extra = to_tokens(levels)
    for block in contexts.blocks():
        encoder.symbols(tokens[block], contexts.frequencies(block))
        for i in block.start + np.flatnonzero(tokens[block] >= FIRST_WITH_BITS):
            encoder.bits(int(extra[i]), EXTRA_BITS[tokens[i]])
        contexts.update(block, levels[block])
    return encoder.finish()


def decode_static(tables: CodingTables, quantiser: int, payload: bytes) -> np.ndarray:
    """Returns the levels [slots] int64 of a key frame; BitstreamError: no encoder's payload."""
    decoder = SymbolDecoder(payload)
    contexts = _StaticContexts(tables, quantiser)
    levels = np.zeros(len(tables.schema.slots), np.int64)
    try:
        for block in contexts.blocks():
            tokens = decoder.symbols(contexts.frequencies(block))
            levels[block] = read_values(tokens, decoder.bits)
            contexts.update(block, levels[block])
    except ValueError as error:
        raise BitstreamError(str(error)) from error
    return checked(levels)


def encode_edit(sent: np.ndarray, wanted: np.ndarray) -> bytes:
    """Returns the EDIT_STATIC payload that turns static levels [n] into others."""
    out = b""
    for place in np.flatnonzero(sent != wanted).tolist():
        level = int(wanted[place])
        out += varint(place) + varint(2 * level if level >= 0 else -2 * level - 1)
    return out


def decode_edit(sent: np.ndarray, payload: bytes) -> np.ndarray:
    """Returns static levels [n] int64 after an EDIT_STATIC payload; else BitstreamError."""
    source, levels, last = Payload(payload, "an edit of static numbers"), sent.copy(), -1
    while source.left:
        place, folded = source.varint(), source.varint()
        if not last < place < len(levels):
            raise BitstreamError(f"an edit of static number {place}, which is not due")
        levels[place] = -(folded + 1 >> 1) if folded & 1 else folded >> 1
        last = place
    return checked(levels)


class _StaticContexts:
    """Scale of a key frame's levels: what is usual, and of static slots how large the last were."""

    def __init__(self, tables: CodingTables, quantiser: int) -> None:
        self._rows = tables.frequencies[:, 0].astype(float)
        self._thresholds = tables.thresholds
        self._spread = tables.spread * QUANTISER_ONE // quantiser << FRACTION_BITS
        self._dynamic = len(tables.schema.dynamic)
        self._recent = 1 << FRACTION_BITS

    def blocks(self) -> Iterator[slice]:
        """Yields the slots that are coded at once, in order."""
        sizes = iter(_FIRST_BLOCKS)
        start, size = 0, self._dynamic
        while start < len(self._spread):
            end = min(start + size, len(self._spread))
            if end > start:
                yield slice(start, end)
            start, size = end, next(sizes, _BLOCK)

    def frequencies(self, block: slice) -> np.ndarray:
        scale = self._spread[block]
        if block.start >= self._dynamic:
            scale = (scale >> 4) + (self._recent << 7)
        return self._rows[self._thresholds.searchsorted(scale)]

    def update(self, block: slice, levels: np.ndarray) -> None:
        if block.start >= self._dynamic:
            mean = (int(capped(levels).sum()) << FRACTION_BITS) // len(levels)
            self._recent += (mean - self._recent) >> 1
