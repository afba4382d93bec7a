"""Arrays in parts of one size, so that one compiled program serves any length."""

from collections.abc import Iterator

import numpy as np


def batches(array: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yields parts of at most `size` along the first axis."""
    for start in range(0, len(array), size):
        yield array[start : start + size]


def padded(array: np.ndarray, size: int) -> np.ndarray:
    """`array` with its last entry repeated until the first axis has `size`."""
    missing = size - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, 0)]) if missing > 0 else array
