"""Means with confidence intervals over sequences, by the bootstrap with a fixed seed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

SEED = 0
RESAMPLES = 2000


class Interval(NamedTuple):
    """A mean and the percentile interval around it, in the unit of the values."""

    mean: float
    low: float
    high: float


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Returns the mean of values and its bootstrap interval; the same numbers at every call.

    Efron, "Bootstrap methods", 1979; percentiles of the means of `RESAMPLES` draws with
    replacement. Sequences, not frames, are what varies from one test set to the next.

    Args:
        values: one a sequence, at least one; a single one is its own interval.
        level: share of the resampled means inside the interval.

    Raises:
        ValueError: there is no value.
    """
    known = np.asarray(values, np.float64)
    if known.size == 0:
        raise ValueError("a mean needs one value or more")
    rng = np.random.default_rng(SEED)
    means = known[rng.integers(0, known.size, (RESAMPLES, known.size))].mean(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(known.mean()), float(low), float(high))
