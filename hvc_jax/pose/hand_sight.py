"""The hands of a clip: 21 points of the hand landmark network for each, looked at twice.

The first window follows from the pose landmarks of wrist and knuckles, the second from a small
network that corrects it, as published.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

from hvc_jax.pose.crops import shifted, to_picture, upright, window_between
from hvc_jax.pose.networks import load_network, look_through
from hvc_jax.pose.sight import Sight
from hvc_jax.pose.skeleton import INDEX

NUM_HAND_POINTS = 21
"""The wrist, then four of the thumb, the index, the middle, the ring finger and the little one."""

SIDES = ("left", "right")

_UP, _ROOM = 0.1, 2.7  # by how much of its side the first window is moved, then enlarged
_LEAST_VISIBILITY = 0.1  # of the wrist, below which nothing is looked for


class HandSight(NamedTuple):
    """The two hands, left and right, in T frames."""

    points: np.ndarray  # [T, 2, 21, 2] in picture units
    # [T, 2, 21, 3] metres about the hand's middle, x to the right in the picture, y up, z to the
    # viewer
    world: np.ndarray
    presence: np.ndarray  # [T, 2] in [0, 1]: is there a hand in the window?


def _recrop(found: dict, windows: jax.Array, size: int) -> tuple[jax.Array]:
    return (to_picture(found["points"].reshape(-1, 2, 2) / size * 2 - 1, windows),)


def _hand(found: dict, windows: jax.Array, size: int) -> tuple[jax.Array, ...]:
    rows = found["landmarks"].reshape(-1, NUM_HAND_POINTS, 3)[..., :2] / size * 2 - 1
    world = upright(found["world"].reshape(-1, NUM_HAND_POINTS, 3), windows)
    return to_picture(rows, windows), world, found["presence"].reshape(-1)


def first_windows(sight: Sight, side: str) -> np.ndarray:
    """Returns windows [T, 4] of the "left" or "right" hand as pose landmarks tell them."""
    wrist, index, pinky = (
        sight.points[:, INDEX[f"{side}_{name}"]] for name in ("wrist", "index", "pinky")
    )
    middle = (2 * index + pinky) / 3
    towards = window_between(middle, 2 * middle - wrist, 1.0)
    return shifted(towards, _UP, _ROOM)


def see_hands(pictures: np.ndarray, sight: Sight, folder: str | None = None) -> HandSight:
    """Returns the hands of the person seen in pictures [T, H, H, 3] uint8 of a clip."""
    recrop, hand = load_network("hand_recrop", folder), load_network("hand_landmark", folder)
    count = len(pictures)
    out = HandSight(
        np.zeros((count, 2, NUM_HAND_POINTS, 2), np.float32),
        np.zeros((count, 2, NUM_HAND_POINTS, 3), np.float32),
        np.zeros((count, 2), np.float32),
    )
    for k, side in enumerate(SIDES):
        visible = sight.visibility[:, INDEX[f"{side}_wrist"]] >= _LEAST_VISIBILITY
        at = np.flatnonzero(visible & (sight.presence >= _LEAST_VISIBILITY))
        if not len(at):
            continue
        first = first_windows(sight, side)[at]
        (found,) = look_through(pictures[at], first, recrop, _recrop)
        # The two points are the middle and one below it on the window's edge.
        windows = window_between(found[:, 0], 2 * found[:, 0] - found[:, 1], 1.0)
        rows = look_through(pictures[at], shifted(windows, _UP), hand, _hand)
        for column, row in zip(out, rows, strict=True):
            column[at, k] = row
    return out
