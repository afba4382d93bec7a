"""Where people are: MediaPipe's pose detector, its anchors and the suppression of doubles.

Each candidate has two points that matter: the middle of the hips and one on the circle around the
whole person, above. They make the window that the landmark network looks through, padding included:
without it the landmarks of people of whom only the upper half is seen are wrong.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import expit

from hvc_jax.ops.compile import fast_jit
from hvc_jax.pose.crops import crop, window_between
from hvc_jax.pose.networks import Network, in_batches

PADDING = 1.25
"""By what the circle around a person is enlarged."""

_FARTHER = 1.6
"""Side, in pictures, of a second look where nobody is sure: with no margin about them the detector
hardly sees people who fill a picture's height (.15 there, .95 with it; experiments/041_bodies)."""

_LEAST_SCORE = 0.5
_IF_NOBODY_ELSE = 0.3  # rendered pictures that show nobody stay below .2 (experiments/041_bodies)
_SAME = 0.3  # intersection over union from which two boxes are of one person
_MOST = 32  # boxes that are looked at
_STRIDES = (8, 16, 32, 32, 32)


class Detection(NamedTuple):
    """One person in one picture: `window` [4] as in `crops`, padded, `score` in [0, 1]."""

    window: np.ndarray
    score: float


def anchors(size: int = 224) -> np.ndarray:
    """Returns the anchors' centres [2254, 2] in [0, 1], as the network's rows: two a cell."""
    rows = []
    for stride in dict.fromkeys(_STRIDES):
        cells = size // stride
        line = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
        rows.append(np.repeat(grid, 2 * _STRIDES.count(stride), axis=0))
    return np.concatenate(rows).astype(np.float32)


@functools.lru_cache(maxsize=2)
def _detector(network: Network):  # noqa: ANN202
    def look(weights: dict, half: jax.Array, pictures: jax.Array) -> tuple[jax.Array, ...]:
        windows = jnp.tile(jnp.array([0.0, 0.0, 1.0, 0.0]), (len(pictures), 1)) * half
        found = network.apply(weights, crop(pictures, windows, network.size) * 2 - 1)
        scores, best = jax.lax.top_k(found["scores"][..., 0], _MOST)
        return jnp.take_along_axis(found["boxes"], best[..., None], 1), scores, best

    return fast_jit(look)


def merged(boxes: np.ndarray, scores: np.ndarray) -> list[Detection]:
    """Returns the people among candidates, the surest first: overlapping ones are averaged.

    Where nobody is sure, who is likely counts: the landmark network has the last word.

    `boxes`: [N, 12] (x, y, width, height, four points) in [0, 1]; `scores`: [N] in [0, 1], falling.
    """
    low, high = boxes[:, :2] - boxes[:, 2:4] / 2, boxes[:, :2] + boxes[:, 2:4] / 2
    area = np.prod(boxes[:, 2:4], axis=1)
    left = scores >= (_LEAST_SCORE if scores[0] >= _LEAST_SCORE else _IF_NOBODY_ELSE)
    people = []
    while left.any():
        first = int(np.argmax(left))
        inner = np.minimum(high, high[first]) - np.maximum(low, low[first])
        both = np.prod(np.maximum(inner, 0), axis=1)
        same = left & (both > _SAME * (area + area[first] - both))
        same[first] = True
        weight = scores[same] / scores[same].sum()
        points = (weight[:, None] * boxes[same]).sum(0)[4:8] * 2 - 1
        people.append(Detection(window_between(points[:2], points[2:], PADDING), scores[first]))
        left &= ~same
    return people


def detect(pictures: np.ndarray, network: Network) -> list[list[Detection]]:
    """Returns the people in each picture [B, H, H, 3] uint8, by the network pose_detection."""
    boxes, scores = candidates(pictures, network, 1.0)
    unsure = np.flatnonzero(scores[:, 0] < _LEAST_SCORE)
    if len(unsure):
        far_boxes, far_scores = candidates(pictures[unsure], network, _FARTHER)
        sure = far_scores[:, 0] >= _LEAST_SCORE
        boxes[unsure[sure]], scores[unsure[sure]] = far_boxes[sure], far_scores[sure]
    return [merged(*each) for each in zip(boxes, scores, strict=True)]


def candidates(
    pictures: np.ndarray, network: Network, half: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns boxes [B, N, 12] as of `merged` and scores [B, N], the surest first.

    `pictures`: [B, H, H, 3] uint8; `network`: pose_detection; `half`: half the side of what is
    looked at, around the middle; 1 is the picture.
    """
    run = functools.partial(_detector(network), network.weights, np.float32(half))
    raw, logits, best = in_batches(run, pictures)
    boxes = raw / network.size
    centres = anchors(network.size)[best]
    for first in (0, 4, 6, 8, 10):
        places = boxes[..., first : first + 2] + centres
        boxes[..., first : first + 2] = (places - 0.5) * half + 0.5
    boxes[..., 2:4] *= half
    return boxes, expit(np.clip(logits, -100, 100))


def followed(people: list[list[Detection]], person: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Returns the windows [N, 4] of one person and in which of the T pictures they are, [N].

    The first is the `person`-th largest of the picture that shows the most people; forwards and
    backwards from there whoever lies nearest, in units of the size, is the same one.

    `people`: of T pictures in a row; `person`: 1 for the largest.
    """
    enough = [t for t, found in enumerate(people) if len(found) >= person]
    if not enough:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    start = enough[0]
    by_size = sorted(people[start], key=lambda each: -each.window[2])
    chosen = {start: by_size[person - 1].window}
    for steps in (range(start + 1, len(people)), range(start - 1, -1, -1)):
        last = chosen[start]
        for t in steps:
            if not people[t]:
                continue
            windows = np.stack([each.window for each in people[t]])
            far = np.linalg.norm(windows[:, :2] - last[:2], axis=1) / last[2]
            far += np.abs(np.log(windows[:, 2] / last[2]))
            last = windows[int(np.argmin(far))]
            chosen[t] = last
    at = np.array(sorted(chosen))
    return np.stack([chosen[t] for t in at]), at
