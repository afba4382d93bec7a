"""Symbols to bytes and back: a range coder over integer frequency tables, and its ending.

The coder is `constriction`'s range coder. It is only ever given integers below 2**24 that sum to
2**16, so its conversion to probabilities is one exact sum, one division and one product in IEEE
double precision: the same on every machine. It writes 32-bit words; `SymbolEncoder.finish` ends
the stream on the shortest byte string that still decodes, which is what makes packets of a single
frame affordable. Imports no jax.
"""

import constriction
import numpy as np

_queue = constriction.stream.queue
_FAMILY = constriction.stream.model.Categorical(perfect=False)
_UNIFORM = {bits: constriction.stream.model.Uniform(1 << bits) for bits in range(1, 17)}

# Zero words after the payload: the decoder looks two words ahead of what it needs.
_LOOKAHEAD = bytes(16)


class SymbolEncoder:
    """Codes symbols into one byte string."""

    def __init__(self) -> None:
        self._coder = _queue.RangeEncoder()

    def symbols(self, symbols: np.ndarray, frequencies: np.ndarray) -> None:
        """Codes `symbols` [N], each with its own row of `frequencies` [N, M] (sum 65536)."""
        if len(symbols):
            rows = np.ascontiguousarray(frequencies, np.float64)
            self._coder.encode(np.ascontiguousarray(symbols, np.int32), _FAMILY, rows)

    def bits(self, value: int, count: int) -> None:
        """Codes the `count` (0 to 64) low bits of `value`, all equally likely."""
        while count > 0:
            take = min(count, 16)
            count -= take
            self._coder.encode((value >> count) & ((1 << take) - 1), _UNIFORM[take])

    def finish(self) -> bytes:
        """Returns the shortest bytes which, followed by zeros, decode to what was coded."""
        if self._coder.is_empty():
            return b""
        words, (lower, width) = self._coder.pos()
        sealed = self._coder.get_compressed()
        length = 4 * (words + 2)
        data = sealed.astype(">u4").tobytes().ljust(length, b"\0")
        # The final interval is [low, low + width); any value inside it decodes alike.
        value = int.from_bytes(data, "big")
        low = value - ((value - lower) % (1 << 64))
        for size in range(max(0, length - 12), length + 1):
            shift = 8 * (length - size)
            short = -(-low >> shift)
            if (short << shift) < low + width:
                return short.to_bytes(size, "big").rstrip(b"\0")
        raise AssertionError("unreachable: the sealed value lies in its own interval")


class SymbolDecoder:
    """Reads symbols back from the bytes of a `SymbolEncoder`.

    Bytes that no encoder wrote decode to arbitrary symbols or raise ValueError; they never read out
    of bounds.
    """

    def __init__(self, data: bytes) -> None:
        padded = data + bytes(-len(data) % 4) + _LOOKAHEAD
        self._coder = _queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))

    def symbols(self, frequencies: np.ndarray) -> np.ndarray:
        """Returns one int32 symbol for every row of `frequencies` [N, M]."""
        rows = np.ascontiguousarray(frequencies, np.float64)
        try:
            return self._coder.decode(_FAMILY, rows)
        except (AssertionError, OverflowError) as error:
            raise ValueError(f"these bytes are no coded symbols: {error}") from error

    def bits(self, count: int) -> int:
        """Returns the next `count` (0 to 64) equally likely bits."""
        value = 0
        try:
            while count > 0:
                take = min(count, 16)
                count -= take
                value = (value << take) | int(self._coder.decode(_UNIFORM[take]))
        except (AssertionError, OverflowError) as error:
            raise ValueError(f"these bytes are no coded bits: {error}") from error
        return value
