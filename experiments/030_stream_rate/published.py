"""The published practice of generative codecs for their feature vectors, bit by bit.

Residual to the previous frame, signed 0-order exp-Golomb, a sentinel bit, then a 32-bit binary
arithmetic coder with a model of order 0 that starts empty in every frame (three symbols: 0, 1 and
the end; what was not seen yet costs an escape and one of three), ended and padded to a byte.
"""

from collections.abc import Iterable

_HALF, _QUARTER, _MASK = 1 << 31, 1 << 30, (1 << 32) - 1


def frame_bits(residuals: Iterable[int]) -> int:
    """Returns the bits of one frame, a multiple of 8."""
    bits = [1]
    for residual in residuals:
        code = (-2 * residual if residual <= 0 else 2 * residual - 1) + 1
        digits = bin(int(code))[2:]
        bits += [0] * (len(digits) - 1) + [int(digit) for digit in digits]
    coder, counts = _Coder(), [0, 0]
    for bit in bits:
        total = sum(counts) + 1
        if counts[bit]:
            begin = counts[0] if bit else 0
            coder.code(begin, begin + counts[bit], total)
        else:
            coder.code(total - 1, total, total)
            coder.code(bit, bit + 1, 3)
        counts[bit] += 1
    total = sum(counts) + 1
    coder.code(total - 1, total, total)
    coder.code(2, 3, 3)
    return 8 * ((coder.written + 1 + 7) // 8)


class _Coder:
    """An arithmetic coder that counts the bits it would write."""

    def __init__(self) -> None:
        self._low, self._high, self._under, self.written = 0, _MASK, 0, 0

    def code(self, begin: int, end: int, total: int) -> None:
        width = self._high - self._low + 1
        self._high = self._low + end * width // total - 1
        self._low += begin * width // total
        while not (self._low ^ self._high) & _HALF:
            self.written += 1 + self._under
            self._under = 0
            self._low = self._low << 1 & _MASK
            self._high = self._high << 1 & _MASK | 1
        while self._low & ~self._high & _QUARTER:
            self._under += 1
            self._low = self._low << 1 ^ _HALF
            self._high = (self._high ^ _HALF) << 1 | _HALF | 1
