"""Integers to tokens of a small alphabet and extra bits, so that any integer can be coded.

    magnitude   0   1 ... 8   9-10  11-12  13-16  17-20  ...  3077-4100   4101 and above
    class       0   1 ... 8   9     10     11     12     ...  28          29 (33 extra bits)

A token is a class with a sign: 0, then (+1, -1, +2, -2, ...). Only the token has a frequency table;
the position inside a class is sent as plain bits. Imports no jax.
"""

from collections.abc import Callable

import numpy as np

_EXACT = 8
_WIDTH_BITS = (*(0 for _ in range(_EXACT + 1)), *(1 + k // 2 for k in range(20)), 33)
_STARTS = np.concatenate([[0], np.cumsum([1 << bits for bits in _WIDTH_BITS])[:-1]])

NUM_CLASSES = len(_WIDTH_BITS)
NUM_TOKENS = 2 * NUM_CLASSES - 1
EXTRA_BITS: tuple[int, ...] = tuple(_WIDTH_BITS[(t + 1) // 2] for t in range(NUM_TOKENS))
"""Number of extra bits behind each token."""

MAX_VALUE = int(_STARTS[-1]) + (1 << 33) - 1
"""Largest magnitude that has a token."""

_START_OF_TOKEN = np.array([_STARTS[(t + 1) // 2] for t in range(NUM_TOKENS)])
_SIGN_OF_TOKEN = np.array([0] + [1, -1] * (NUM_CLASSES - 1))
_VALUE_OF_TOKEN = _SIGN_OF_TOKEN * _START_OF_TOKEN
FIRST_WITH_BITS = 2 * _EXACT + 1
"""Tokens from this one on have extra bits."""


def to_tokens(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns int32 tokens and int64 extra bits of `values` (any shape, |v| <= MAX_VALUE)."""
    values = np.asarray(values, np.int64)
    magnitude = np.abs(values)
    klass = np.searchsorted(_STARTS, magnitude, side="right") - 1
    tokens = np.maximum(2 * klass - (values > 0), 0)
    return tokens.astype(np.int32), magnitude - _STARTS[klass]


def read_values(tokens: np.ndarray, bits: Callable[[int], int]) -> np.ndarray:
    """Returns the int64 values of `tokens` [n > 0], whose extra bits are read with `bits`."""
    values = _VALUE_OF_TOKEN.take(tokens)
    if tokens.max() >= FIRST_WITH_BITS:
        for i in np.flatnonzero(tokens >= FIRST_WITH_BITS):
            values[i] += _SIGN_OF_TOKEN[tokens[i]] * bits(EXTRA_BITS[tokens[i]])
    return values
