"""BD-rate: the mean rate difference of two codecs at equal quality, with its range stated.

Curves are log10(rate) over quality by Akima's piecewise cubics, integrated over the
qualities that both reach. Two curves that share no quality have no BD-rate, and none is given.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.interpolate import Akima1DInterpolator

_MOST = 3.0
"""Logarithm of the ratio of two rates that no two video codecs have."""


class BdRateError(ValueError):
    """Two curves cannot be compared; one sentence with the reason."""


class BdRate(NamedTuple):
    """A BD-rate and where it holds."""

    # mean rate of the tested codec against the anchor, minus 1, in percent; negative is a saving
    percent: float
    low: float  # lowest quality that both reach, in the metric's own unit
    high: float  # highest
    overlap: float  # (high - low) over the union of both quality ranges, 0 to 1


def bd_rate(
    anchor_rates: Sequence[float],
    anchor_scores: Sequence[float],
    rates: Sequence[float],
    scores: Sequence[float],
    higher_is_better: bool = True,
) -> BdRate:
    """Returns the BD-rate of a codec against an anchor, from rates above 0 and scores at them.

    Bjontegaard, VCEG-M33 (2001); Akima interpolation as in Herglotz et al., "Beyond Bjontegaard",
    2022. `higher_is_better` is False for LPIPS, DISTS and other distances. Raises BdRateError:
    fewer than three points, a quality that does not rise with the rate, or no overlap.
    """
    anchor = _curve(anchor_rates, anchor_scores, higher_is_better, "the anchor")
    tested = _curve(rates, scores, higher_is_better, "the tested codec")
    low = max(anchor[0][0], tested[0][0])
    high = min(anchor[0][-1], tested[0][-1])
    union = max(anchor[0][-1], tested[0][-1]) - min(anchor[0][0], tested[0][0])
    overlap = max(high - low, 0) / union
    sign = 1 if higher_is_better else -1
    ends = [sorted(sign * c[0][i] for i in (0, -1)) for c in (anchor, tested)]
    if high <= low:
        raise BdRateError(
            f"The anchor's scores {ends[0][0]:.4g} to {ends[0][1]:.4g} and the tested codec's "
            f"{ends[1][0]:.4g} to {ends[1][1]:.4g} overlap by {overlap:.0%}; "
            "code more rates so that the curves meet."
        )
    ours, theirs = (Akima1DInterpolator(*c).integrate(low, high) for c in (tested, anchor))
    logarithm = float((ours - theirs) / (high - low))
    if abs(logarithm) > _MOST:
        raise BdRateError(
            f"The curves would differ in rate by 10^{logarithm:.3g}: qualities lie so close "
            "together that the interpolation leaves what was measured; leave such points out."
        )
    percent = (10**logarithm - 1) * 100
    first, last = sorted((sign * low, sign * high))
    return BdRate(percent, first, last, overlap)


def _curve(
    rates: Sequence[float], scores: Sequence[float], higher: bool, who: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (rising quality, log10 of the rate) of a curve, checked."""
    rate, score = np.asarray(rates, float), np.asarray(scores, float)
    if rate.shape != score.shape or rate.ndim != 1 or rate.size < 3:
        raise BdRateError(f"The curve of {who} needs 3 or more (rate, score) points.")
    if not (np.isfinite(rate).all() and np.isfinite(score).all() and (rate > 0).all()):
        raise BdRateError(f"The curve of {who} has a rate or score that is no positive number.")
    order = np.argsort(rate)
    quality = (score if higher else -score)[order]
    if (np.diff(quality) <= 0).any():
        raise BdRateError(
            f"The quality of {who} does not rise with every step in rate, so rates at equal "
            "quality are not defined; leave the worse points out."
        )
    return quality, np.log10(rate[order])
