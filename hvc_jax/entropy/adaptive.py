"""Contexts: which table codes a number, decided from integers that both ends already know.

Imports no jax.
"""

import numpy as np

from hvc_jax.entropy.tables import CodingTables

_CAP = 4095


class ContextModel:
    """Follows a stream of residual vectors and says which table codes each number of the next.

    All state is int64; nothing depends on floating point.
    """

    def __init__(self, tables: CodingTables, size: int) -> None:
        self._rows = tables.frequencies.astype(np.float64)
        scales = len(self._rows)
        mean = [(41 * 3**s) >> s for s in range(scales)]
        self._thresholds = np.array([(a + b) // 2 for a, b in zip(mean, mean[1:], strict=False)])
        self._own = np.full(size, 1024, np.int64)

    def frequencies(self) -> np.ndarray:
        """Returns float64 holding integer frequencies [size, tokens] for the next vector."""
        everyone = int(self._own.sum()) // max(len(self._own), 1)
        index = np.searchsorted(self._thresholds, (3 * self._own + everyone) >> 2)
        return self._rows[index]

    def update(self, residuals: np.ndarray) -> None:
        """Takes note of the `residuals` [size] that were coded."""
        magnitude = np.minimum(np.abs(residuals), _CAP) << 12
        self._own += (magnitude - self._own) >> 2
