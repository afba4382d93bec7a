"""Means with confidence intervals over sequences, by the bootstrap with a fixed seed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

SEED = 0
RESAMPLES = 2000


class Interval(NamedTuple):
    """A mean and its 95 % percentile interval, in the unit of the values."""

    mean: float
    low: float
    high: float


def mean_interval(values: Sequence[float]) -> Interval:
    """Returns the mean of values, one a sequence, and its interval; the same at every call.

    Sequences, not frames, are what varies from one test set to the next. A single value is its own
    interval.
    Raises ValueError: there is no value.
    """
    if not len(values):
        raise ValueError("a mean needs one value or more")
    mean = float(np.mean(values))
    if len(values) == 1:
        return Interval(mean, mean, mean)
    rng = np.random.default_rng(SEED)
    found = stats.bootstrap((values,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=rng)
    return Interval(mean, *map(float, found.confidence_interval))
