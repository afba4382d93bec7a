"""Windows that stay: through which the landmarks ask for the same window again.

The detector can be wrong in one picture and right in the next, and landmarks seen through a wrong
window are sure of themselves all the same. But they ask for another window then, where those seen
through the right one ask for it again. The published pipeline, which takes every window from the
frame before, finds it so after some frames. Here the neighbours of a frame are asked, on both sides.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hvc_jax.pose.crops import window_between
from hvc_jax.pose.detect import PADDING

LEAST_PRESENCE = 0.5
_LEAP = 0.35  # as of `leap`, from the median of five: a window that is wrong
_APART = 0.25  # of neighbours: one of them may be wrong
_LOOSE = 0.2  # of what a window and the one it leads to: worth another look
_ROUNDS = 4


def leap(windows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns how far windows [N, 4] are from others, [N].

    It is the largest of the distance of their centres in halves of their sides, of the logarithm
    of their sizes' ratio, and of half the angle between them.
    """
    off = np.linalg.norm(windows[:, :2] - others[:, :2], axis=1) / others[:, 2]
    size = np.abs(np.log(windows[:, 2] / others[:, 2]))
    angle = np.abs((windows[:, 3] - others[:, 3] + np.pi) % (2 * np.pi) - np.pi) / 2
    return np.maximum(np.maximum(off, size), angle)


def pose_windows(points: np.ndarray) -> np.ndarray:
    """Returns the windows [T, 4] that landmarks [T, 39, 2] ask for."""
    return window_between(points[:, 33], points[:, 34], PADDING)


def settled(
    windows: np.ndarray, look: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]]
) -> np.ndarray:
    """Returns windows [N, 4] of one person that stay as they are, as far as they are found.

    Every window leads to the one that its landmarks ask for. Where neighbours are apart, each is
    looked at through the other's too, and what moves least stays.

    Args:
      windows: [N, 4] from the detector, in order of time.
      look: (indices [M] of pictures, windows [M, 4]) to landmarks [M, 39, 2] and presence [M].
    """

    def ask(which: np.ndarray, through: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points, presence = look(which, through)
        wanted, seen = pose_windows(points), presence >= LEAST_PRESENCE
        return (
            np.where(seen[:, None], wanted, through),
            np.where(seen, leap(wanted, through), np.inf),
        )

    every = np.arange(len(windows))
    wanted, moves = ask(every, windows)
    fresh = np.isfinite(moves)  # windows that nobody else has looked through
    for _ in range(_ROUNDS):
        itself = every[moves > _LOOSE]
        apart = every[:-1][leap(wanted[:-1], wanted[1:]) > _APART]
        # Who looks, and through the window of whom.
        pairs = [(itself, itself), (apart, apart + 1), (apart + 1, apart)]
        who, whose = (np.concatenate(column) for column in zip(*pairs, strict=True))
        who, whose = who[fresh[whose]], whose[fresh[whose]]
        if not len(who):
            break
        found, moved = ask(who, wanted[whose])
        fresh = np.zeros_like(fresh)
        for k in np.argsort(-moved):  # the best one last
            if moved[k] < moves[who[k]]:
                wanted[who[k]], moves[who[k]], fresh[who[k]] = found[k], moved[k], True
    return wanted


def steadied(windows: np.ndarray) -> np.ndarray:
    """Returns windows [N, 4] in which those that leap away from the median of five are replaced."""
    if len(windows) < 3:
        return windows
    rows = np.array(windows)
    rows[:, 2], rows[:, 3] = np.log(rows[:, 2]), np.unwrap(rows[:, 3])
    rows = np.pad(rows, ((2, 2), (0, 0)), mode="reflect")
    middle = np.median(np.stack([rows[k : k + len(windows)] for k in range(5)]), axis=0)
    middle[:, 2] = np.exp(middle[:, 2])
    return np.where((leap(windows, middle) > _LEAP)[:, None], middle, windows)
