"""Parts of the frames that matter more than the rest: the person, and the face.

Both come from the *original* alone, so that every codec is judged on the same pixels. A region is
a square window a frame, of one side for the whole clip:

- body: one window around all masks of the clip; what counts is the mask.
- face: the window follows the face; everything in it counts.

Scores of pixels weigh the whole frame with what counts. Scores of networks and VMAF, which need
pictures, get the windows, the original's pixels pasted into the decoded ones off the mask, so that
only the person differs.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d

from hvc_jax.evaluation.keypoints import FOUND
from hvc_jax.evaluation.lite_networks import LiteNetwork, person_mask

STEP, SMALLEST = 16, 32
"""Sides of windows are multiples of 16 pixels, so that there are few to compile for, from 32 on."""

_FACE = slice(0, 5)  # nose, eyes and ears of the COCO keypoints
_CALM = 2  # frames; a window that trembles would look like motion
_FACE_SIDE = (
    1.6  # of the longest distance between them: ear to ear is two thirds of a head's height
)


class Region(NamedTuple):
    """A square window a frame."""

    corners: np.ndarray  # [T, 2] int, top and left of the window
    side: int  # of the window, pixels
    # [T, side, side] float32 in {0, 1} inside the window; None where all of it counts
    mask: np.ndarray | None = None

    def cut(self, frames: np.ndarray) -> np.ndarray:
        """Returns the windows [T, side, side, ...] of frames [T, H, W, ...]."""
        return np.stack(
            [
                frame[y : y + self.side, x : x + self.side]
                for frame, (y, x) in zip(frames, self.corners, strict=True)
            ]
        )

    def weights(self, height: int, width: int) -> np.ndarray:
        """Returns [T, height, width] float32 in {0, 1}: what counts of the whole frames."""
        whole = np.zeros((len(self.corners), height, width), np.float32)
        for i, (y, x) in enumerate(self.corners):
            inside = 1 if self.mask is None else self.mask[i]
            whole[i, y : y + self.side, x : x + self.side] = inside
        return whole

    def composite(self, original: np.ndarray, decoded: np.ndarray) -> np.ndarray:
        """Returns decoded windows [T, side, side, 3] with the original's pixels off the mask."""
        if self.mask is None:
            return decoded
        return np.where(self.mask[..., None] > 0, decoded, original)


def person_masks(network: LiteNetwork, frames: np.ndarray) -> np.ndarray:
    """Returns where a network of `person_mask` sees a person with more than 1/2, [T, S, S] bool."""
    side = frames.shape[1]
    return np.stack([person_mask(network, frame, side) > 127 for frame in frames])


def body_region(masks: np.ndarray) -> Region | None:
    """Returns the window around all masks [T, S, S] bool; None where they are as good as empty."""
    if masks.mean() < 0.001:
        return None
    rows, columns = (np.flatnonzero(masks.any(axis=(0, axis))) for axis in (2, 1))
    low = np.array([rows[0], columns[0]])
    high = np.array([rows[-1], columns[-1]]) + 1
    side = _side((high - low).max(), masks.shape[1])
    corner = np.clip((low + high - side) // 2, 0, masks.shape[1] - side)
    region = Region(np.repeat(corner[None], len(masks), 0), side)
    return region._replace(mask=region.cut(masks).astype(np.float32))


def face_region(points: np.ndarray, confidence: np.ndarray, size: int) -> Region | None:
    """Returns the window that follows the face; None where fewer than half the frames show one.

    `points` are COCO keypoints [T, 17, 2] (x, y) in pixels of frames with `size` a side, with
    confidence [T, 17].
    """
    seen = confidence[:, _FACE] > FOUND
    good = seen.sum(1) >= 3
    if good.mean() < 0.5:
        return None
    face = points[:, _FACE]
    weight = seen[good][..., None]
    centres = (face[good] * weight).sum(1) / weight.sum(1)
    apart = np.linalg.norm(face[good][:, :, None] - face[good][:, None], axis=-1)
    pairs = seen[good][:, :, None] & seen[good][:, None]
    width = np.quantile((apart * pairs).max((1, 2)), 0.75)
    side = _side(_FACE_SIDE * width, size)
    # Frames that do not show it take the place between those that do.
    times, known = np.arange(len(points)), np.flatnonzero(good)
    centre = np.stack([np.interp(times, known, centres[:, i]) for i in (1, 0)], -1)
    centre = gaussian_filter1d(centre, _CALM, axis=0, mode="nearest")
    corners = np.clip(np.rint(centre - side / 2), 0, size - side).astype(int)
    return Region(corners, side)


def _side(length: float, size: int) -> int:
    """Returns the side of a window for something of this length in a picture of this size."""
    return int(min(max(-(-length // STEP) * STEP, SMALLEST), size))
