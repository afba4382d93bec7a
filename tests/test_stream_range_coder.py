"""The range coder: lossless, nearly ideal, and harmless on bytes that nobody coded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvc_jax.stream.range_coder import SymbolDecoder, SymbolEncoder
from hvc_jax.stream.tables import TOTAL, pmf_to_frequencies


def cases(seed: int, count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = pmf_to_frequencies(rng.dirichlet(np.full(size, 0.3), max(count, 1)))[:count]
    symbols = np.array([rng.choice(size, p=row / TOTAL) for row in rows], np.int32)
    return symbols, rows


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 40),
    size=st.integers(2, 59),
    bits=st.integers(0, 64),
)
def test_what_goes_in_comes_out(seed: int, count: int, size: int, bits: int) -> None:
    symbols, rows = cases(seed, count, size)
    value = seed * 0x9E3779B97F4A7C15 % (1 << bits) if bits else 0
    encoder = SymbolEncoder()
    encoder.symbols(symbols, rows)
    encoder.bits(value, bits)
    data = encoder.finish()
    assert not data.endswith(b"\0")  # zeros are implied, so none are stored
    decoder = SymbolDecoder(data)
    if count:
        np.testing.assert_array_equal(decoder.symbols(rows), symbols)
    assert decoder.bits(bits) == value


def test_costs_what_the_tables_promise_plus_half_a_byte_per_packet() -> None:
    spent = ideal = 0.0
    packets = 400
    for seed in range(packets):
        symbols, rows = cases(seed, 20, 30)
        encoder = SymbolEncoder()
        encoder.symbols(symbols, rows)
        spent += 8 * len(encoder.finish())
        ideal -= np.log2(rows[np.arange(20), symbols] / TOTAL).sum()
    assert 0 < (spent - ideal) / packets < 5


def test_nothing_costs_nothing() -> None:
    assert SymbolEncoder().finish() == b""


class SlowDecoder:
    """SPEC.md section 3 in Python integers."""

    def __init__(self, data: bytes) -> None:
        self._data = data + bytes(16 - len(data) % 4)
        self._lower, self._width, self._at = 0, (1 << 64) - 1, 8
        self._point = int.from_bytes(self._data[:8], "big")

    def symbol(self, frequencies: list[int]) -> int:
        count, total = len(frequencies), sum(frequencies)
        factor = float((1 << 24) - count) / total
        cumulative = np.concatenate([[0], np.cumsum(frequencies)])
        bounds = [int(c * factor) + i for i, c in enumerate(cumulative[:-1].tolist())] + [1 << 24]
        unit = self._width >> 24
        place = ((self._point - self._lower) % (1 << 64)) // unit
        symbol = max(i for i in range(count) if bounds[i] <= place)
        self._lower = (self._lower + unit * bounds[symbol]) % (1 << 64)
        self._width = unit * (bounds[symbol + 1] - bounds[symbol])
        if self._width < 1 << 32:
            word = int.from_bytes(self._data[self._at : self._at + 4].ljust(4, b"\0"), "big")
            self._at += 4
            self._lower = self._lower << 32 & (1 << 64) - 1
            self._point = (self._point << 32 | word) & (1 << 64) - 1
            self._width <<= 32
        return symbol


@pytest.mark.parametrize("seed", range(4))
def test_a_decoder_written_from_the_specification_agrees(seed: int) -> None:
    symbols, rows = cases(seed, 300, 59)
    rows[::7, :2] += seed  # sums need not be a power of two
    encoder = SymbolEncoder()
    encoder.symbols(symbols, rows)
    slow = SlowDecoder(encoder.finish())
    assert [slow.symbol(row.tolist()) for row in rows] == symbols.tolist()


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, bytes(range(256))])
def test_foreign_bytes_decode_to_something_or_say_no(data: bytes) -> None:
    _, rows = cases(1, 30, 59)
    decoder = SymbolDecoder(data)
    for _ in range(50):
        try:
            symbols = decoder.symbols(rows)
        except ValueError:
            return
        assert ((symbols >= 0) & (symbols < 59)).all()
        assert 0 <= decoder.bits(33) < 1 << 33
