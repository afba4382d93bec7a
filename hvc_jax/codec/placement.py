"""Where key pictures stand: dynamic programming over what flow can and cannot carry.

The clip is looked at in small: for every frame and every candidate key within reach, optical flow
(DIS, Kroeger et al., ECCV 2016, as in OpenCV), averaged to the cells of the field, gives the
residual of the warped key. The residual of a frame between two keys is that of their blend, a
quadratic form in the two residuals. What key pictures cost is a line through what a first coding of
the clip cost.
"""

from typing import NamedTuple

import cv2
import numpy as np

SIDE = 64
"""Pixels of the shorter side at which the clip is looked at."""

REACH = 32
"""Frames between a frame and a candidate key, at most."""

_CELL = 8  # pixels of the small picture a cell of the field


class Reach(NamedTuple):
    """What every frame can be made of.

    Attributes:
      gram: [T, 2 R + 1, 2 R + 1] float32; products of the residuals of frame t warped from
        frames t - R ... t + R, mean over samples, in squared 8-bit steps; inf outside the clip.
    """

    gram: np.ndarray


def small(frames: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Frames [T, h, w, 3] uint8 whose shorter side has `side` pixels, by area averages."""
    height, width = frames.shape[1:3]
    scale = side / min(height, width)
    size = (max(side, round(width * scale)), max(side, round(height * scale)))
    return np.stack([cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in frames])


def reach_of(frames: np.ndarray, reach: int = REACH) -> Reach:
    """How well every frame follows from those around it.

    Args:
      frames: [T, h, w, 3] uint8, from `small`.
      reach: frames looked at on either side.
    """
    count, height, width = frames.shape[:3]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow.setFinestScale(0)
    grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    cells = (max(1, width // _CELL), max(1, height // _CELL))
    gram = np.full((count, 2 * reach + 1, 2 * reach + 1), np.inf, np.float32)
    for t in range(count):
        others = range(max(0, t - reach), min(count, t + reach + 1))
        residuals = np.zeros((len(others), frames[t].size), np.float32)
        for row, a in enumerate(others):
            if a == t:
                continue
            coarse = cv2.resize(
                flow.calc(grey[t], grey[a], None), cells, interpolation=cv2.INTER_AREA
            )
            dense = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
            warped = cv2.remap(
                frames[a], x + dense[..., 0], y + dense[..., 1], cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )  # fmt: skip
            residuals[row] = (warped.astype(np.float32) - frames[t]).ravel()
        at = slice(others.start - t + reach, others.stop - t + reach)
        gram[t, at, at] = residuals @ residuals.T / residuals.shape[1]
    return Reach(gram)


def interval_errors(reach: Reach, first: int, last: int) -> np.ndarray:
    """Squared error of the frames between keys at `first` and `last`, each: [last - first - 1].

    A frame takes the better of the nearer key and the blend by distance. `last` may be the number
    of frames: then there is no future key.
    """
    gram, middle = reach.gram, reach.gram.shape[1] // 2
    count = len(gram)
    errors = np.empty(last - first - 1, np.float32)
    for i, t in enumerate(range(first + 1, last)):
        past = middle - (t - first)
        one = gram[t, past, past] if past >= 0 else np.inf
        future = middle + (last - t)
        if last < count and future < len(gram[t]):
            two = gram[t, future, future]
            if past >= 0:
                share = (last - t) / (last - first)
                both = gram[t, past, future]
                one = min(one, share**2 * one + 2 * share * (1 - share) * both
                          + (1 - share) ** 2 * two)  # fmt: skip
            one = min(one, two)
        errors[i] = one
    return errors


class KeyCosts(NamedTuple):
    """Bits of key pictures: intra, and `base + slope * log2(1 + error / quantisation error)`."""

    intra: float
    base: float
    slope: float
    quantisation_error: float

    def predicted(self, error: float) -> float:
        """Bits of a key whose nearest key, warped, leaves this squared error."""
        return self.base + self.slope * float(np.log2(1 + error / self.quantisation_error))


def place_keys(
    reach: Reach, costs: KeyCosts, lmbda: float, scale: float = 1.0, low_delay: bool = False
) -> list[int]:
    """The key frames that cost least: squared error of all frames + lmbda * bits of the keys.

    Args:
      reach: from `reach_of`.
      costs: of key pictures.
      lmbda: mean squared error of a frame (8-bit steps) that a bit is worth.
      scale: squared error at full size over that in small.
      low_delay: whether frames look into past keys only.

    Returns:
      Frame numbers in order; 0 is the first.
    """
    count, longest = len(reach.gram), reach.gram.shape[1] // 2
    middle = longest
    best = np.full(count + 1, np.inf)
    best[0], before = lmbda * costs.intra, np.zeros(count + 1, int)
    for last in range(1, count + 1):
        for first in range(max(0, last - (longest if last < count else count)), last):
            if last < count and last - first > longest:
                continue
            errors = _one_sided(reach, first, last) if low_delay else interval_errors(
                reach, first, last
            )  # fmt: skip
            cost = best[first] + scale * float(errors.sum())
            if last < count:
                into = middle - (last - first)
                cost += lmbda * costs.predicted(scale * float(reach.gram[last, into, into]))
            if cost < best[last]:
                best[last], before[last] = cost, first
    keys, at = [], count
    while at > 0:
        at = int(before[at])
        keys.append(at)
    return keys[::-1]


def _one_sided(reach: Reach, first: int, last: int) -> np.ndarray:
    middle = reach.gram.shape[1] // 2
    at = [(t, middle - (t - first)) for t in range(first + 1, last)]
    return np.array([reach.gram[t, p, p] if p >= 0 else np.inf for t, p in at], np.float32)
