"""An adaptive binary range coder in integers: contexts that learn, bytes that end early.

A probability is an integer out of 65536 that the bit is 0; a context holds one and how many bits it
has learned from, and moves by 1 / (count + 2) of the way until the count reaches its limit. The
coder narrows an interval of 48 bits; a 0 takes its lower part. Its bytes are the shortest that,
followed by zeros, decode to what was coded: all-zero bits cost no byte at all. Imports no jax.
"""

from collections.abc import Sequence

import numpy as np

ONE = 65536
MIN_PROBABILITY = 64
MAX_COUNT = 62
MAX_BITS = 1 << 19
"""Bits that one byte string holds at most, so that no payload takes long: likely ones cost next to
no byte, and a short payload could else hold any number of them."""
_TOP, _BOTTOM, _MASK = 48, 1 << 40, (1 << 48) - 1
_STRIDE = [ONE // (n + 2) for n in range(MAX_COUNT + 1)]


class Contexts:
    """Adaptive probabilities, addressed by one index.

    Attributes:
        zero: list of int, probability of a 0 out of 65536.
        count: list of int, how many bits each has learned from, at most MAX_COUNT.
    """

    def __init__(self, zero: Sequence[int], count: Sequence[int]) -> None:
        self.zero = [min(max(int(p), MIN_PROBABILITY), ONE - MIN_PROBABILITY) for p in zero]
        self.count = [min(max(int(n), 0), MAX_COUNT) for n in count]

    def learn(self, index: int, bit: int) -> None:
        """Moves the probability of context `index` towards `bit`."""
        p, n = self.zero[index], self.count[index]
        if bit:
            p -= (p * _STRIDE[n]) >> 16
            self.zero[index] = p if p > MIN_PROBABILITY else MIN_PROBABILITY
        else:
            p += ((ONE - p) * _STRIDE[n]) >> 16
            limit = ONE - MIN_PROBABILITY
            self.zero[index] = p if p < limit else limit
        if n < MAX_COUNT:
            self.count[index] = n + 1


class TooManyBits(ValueError):
    """A byte string would hold, or holds, more than `MAX_BITS`."""

    def __init__(self) -> None:
        super().__init__(f"a field payload of more than {MAX_BITS} bits")


class BinaryEncoder:
    """Codes at most `MAX_BITS` bits into one byte string; another raises TooManyBits."""

    def __init__(self, contexts: Contexts) -> None:
        self.contexts = contexts
        self._low, self._range, self._out = 0, 1 << _TOP, bytearray()
        self._left = MAX_BITS

    def _narrow(self, bit: int, zero: int) -> None:
        if not self._left:
            raise TooManyBits
        self._left -= 1
        bound = (self._range >> 16) * zero
        if bit:
            self._low += bound
            self._range -= bound
        else:
            self._range = bound
        while self._range < _BOTTOM:
            self._carry()
            self._out.append(self._low >> 40)
            self._low = (self._low << 8) & _MASK
            self._range <<= 8

    def _carry(self) -> None:
        if self._low > _MASK:
            self._low &= _MASK
            place = len(self._out) - 1
            while self._out[place] == 255:
                self._out[place] = 0
                place -= 1
            self._out[place] += 1

    def bit(self, index: int, bit: int) -> int:
        """Codes `bit` in context `index`, which learns it; returns it."""
        self._narrow(bit, self.contexts.zero[index])
        self.contexts.learn(index, bit)
        return bit

    def plain(self, value: int, count: int) -> int:
        """Codes the `count` low bits of `value`, all equally likely; returns it."""
        for shift in range(count - 1, -1, -1):
            self._narrow((value >> shift) & 1, ONE // 2)
        return value

    def finish(self) -> bytes:
        """Returns the shortest bytes which, followed by zeros, decode to what was coded."""
        for shift in range(_TOP, -1, -8):
            value = -(-self._low >> shift) << shift
            if value < self._low + self._range:
                break
        self._low = value
        self._carry()
        return bytes(self._out + self._low.to_bytes(6, "big")).rstrip(b"\0")


class BinaryDecoder:
    """Reads bits back; the calls are those of `BinaryEncoder`, their values ignored.

    More than `MAX_BITS` raise TooManyBits. Bytes that no encoder wrote decode to arbitrary bits.
    """

    def __init__(self, contexts: Contexts, data: bytes) -> None:
        self.contexts = contexts
        self._data, self._place = data, 6
        self._range, self._left = 1 << _TOP, MAX_BITS
        self._value = int.from_bytes(data[:6].ljust(6, b"\0"), "big")

    def _split(self, zero: int) -> int:
        if not self._left:
            raise TooManyBits
        self._left -= 1
        bound = (self._range >> 16) * zero
        if self._value < bound:
            bit, self._range = 0, bound
        else:
            bit = 1
            self._value -= bound
            self._range -= bound
        while self._range < _BOTTOM:
            fresh = self._data[self._place] if self._place < len(self._data) else 0
            self._place += 1
            self._value = (self._value << 8) | fresh
            self._range <<= 8
        return bit

    def bit(self, index: int, bit: int = 0) -> int:
        """Returns the next bit of context `index`."""
        bit = self._split(self.contexts.zero[index])
        self.contexts.learn(index, bit)
        return bit

    def plain(self, value: int, count: int) -> int:
        """Returns the next `count` equally likely bits."""
        value = 0
        for _ in range(count):
            value = (value << 1) | self._split(ONE // 2)
        return value

    def finish(self) -> None:
        """Checks that the bytes end where the bits do; ValueError: some are left."""
        if self._place < len(self._data):
            raise ValueError(
                f"{len(self._data) - self._place} bytes are left after a field payload"
            )


def bits(zero: np.ndarray, bit: int) -> np.ndarray:
    """Cost in bits of a bit at probabilities of 0 `zero` (out of 65536)."""
    chance = np.asarray(zero) / ONE
    return -np.log2(1 - chance if bit else chance)
