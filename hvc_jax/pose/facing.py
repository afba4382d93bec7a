"""Does a person show the back? Told by the head and shoulders alone, which the whole picture hides.

The keypoint network learns left and right as of people who face the camera: of whoever shows the
back it exchanges them. Here a small network looks at the head and shoulders, enlarged, and says on
which side of the picture the left shoulder lies; the keypoints are ordered by that.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import numpy as np
from PIL import Image
from scipy.special import expit

from hvc_jax.body.landmarks import COCO_MIRROR

WINDOW = 48
"""Side of the window in pixels."""
_ALIKE = 16  # frames whose evidence of front or back counts as one frame's
_TURNS = (0.1, 1e-3)  # probability that a person turns between two frames: seen narrow, seen wide
_WIDE = 0.5  # shoulders as far apart as this, in torsos, are seen wide; below its half, narrow
_NARROW = 0.15  # shoulders nearer than this to each other, in torsos, are in no order


class FacingNet(nn.Module):
    """From windows around head and shoulders to the logit of "shows the back"."""

    @nn.compact
    def __call__(self, windows: jax.Array) -> jax.Array:
        """Returns logits [B] of windows [B, 48, 48, 3] in [0, 1]."""
        x = (windows - 0.45) * 4.0
        for channels, twice in ((16, False), (32, True), (64, True)):
            x = nn.relu(nn.GroupNorm(8)(nn.Conv(channels, (3, 3), strides=2)(x)))
            if twice:
                x = nn.relu(nn.GroupNorm(8)(nn.Conv(channels, (3, 3))(x)))
        x = nn.relu(nn.Dense(64)(x.reshape(len(x), -1)))
        return nn.Dense(1)(x)[:, 0]


def head_box(points: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Returns (u, v, half side) [N, 3] of windows that hold head and shoulders.

    The same with left and right exchanged.

    Args:
      points: [N, 17, 2] COCO keypoints in [-1, 1].
      confidence: [N, 17] in [0, 1].
    """
    weight = confidence[:, :5, None] + 0.05
    head = (points[:, :5] * weight).sum(1) / weight.sum(1)
    shoulders = points[:, 5:7].mean(1)
    width = np.linalg.norm(points[:, 5] - points[:, 6], axis=-1)
    size = np.maximum(np.linalg.norm(head - shoulders, axis=-1), np.maximum(width / 2, 0.03))
    return np.concatenate([0.6 * head + 0.4 * shoulders, 1.3 * size[:, None]], 1)


def head_windows(
    frames: np.ndarray, points: np.ndarray, confidence: np.ndarray, size: int = WINDOW
) -> np.ndarray:
    """Returns windows uint8 [N, size, size, 3] of square frames, black beyond the edge.

    Args:
      frames: [N, H, H, 3] uint8.
      points: [N, 17, 2] COCO keypoints in [-1, 1].
      confidence: [N, 17] in [0, 1].
      size: side in pixels; the window is as much wider as this is more than 48.
    """
    windows, side = [], frames.shape[1]
    for frame, (u, v, half) in zip(frames, head_box(points, confidence), strict=True):
        half = half * size / WINDOW * side / 2
        x, y = (u + 1) / 2 * side, (v + 1) / 2 * side
        step = 2 * half / size
        # Far fewer pixels than the frame has: shrink first, so that none is passed over.
        image = Image.fromarray(frame)
        how = (step, 0, x - half, 0, step, y - half)
        if step > 2:
            fewer = max(1, int(side * 1.5 / step))
            image = image.resize((fewer, fewer), Image.Resampling.BOX)
            how = tuple(value * fewer / side for value in how)
        windows.append(
            np.asarray(image.transform((size, size), Image.Transform.AFFINE, how, Image.BILINEAR))
        )
    return np.stack(windows)


def shoulder_order(points: np.ndarray) -> np.ndarray:
    """Returns [N] how far the left shoulder lies to the right in the picture, in torsos.

    Positive of people who face the camera, negative of those who show the back.

    Args:
      points: [N, 17, 2] COCO keypoints.
    """
    across = np.linalg.norm(points[:, [5, 6]] - points[:, [12, 11]], axis=-1).max(1)
    return (points[:, 5, 0] - points[:, 6, 0]) / np.maximum(across, 1e-3)


def turning(points: np.ndarray) -> np.ndarray:
    """Returns the probability [N - 1] that front and back change between frames.

    Whoever turns is seen from the side in between, shoulders one behind the other.

    Args:
      points: [N, 17, 2] COCO keypoints of consecutive frames.
    """
    width = np.abs(shoulder_order(points))
    width = np.minimum(width[1:], width[:-1])
    return np.exp(np.interp(width, (_WIDE / 2, _WIDE), np.log(_TURNS)))


def shown_over_time(
    logits: np.ndarray, weight: np.ndarray, turns: np.ndarray, alike: int = _ALIKE
) -> np.ndarray:
    """Returns logits [T] of "back" given the whole clip.

    The posterior of a hidden Markov chain of two states by the forward-backward algorithm
    (Rabiner, Proc. IEEE 1989). Frames near each other look alike, and so do the errors in them: the
    evidence of `alike` frames counts as one; in shorter clips all of it together does.

    Args:
      logits: [T] of each frame alone.
      weight: [T] in [0, 1], how well it is seen.
      turns: [T - 1] probability of a change between frames, in (0, 0.5].
      alike: frames.
    """
    each = weight * logits / max(1, min(alike, len(logits)))
    ratio = np.log(turns) - np.log1p(-turns)

    def carried(logit: float, t: int) -> float:
        """The logit of the frame after t, or of t from the one after it."""
        return np.logaddexp(logit, ratio[t]) - np.logaddexp(0.0, logit + ratio[t])

    before, after = np.zeros(len(each)), np.zeros(len(each))  # what the other frames say of each
    for t in range(len(ratio)):
        before[t + 1] = carried(before[t] + each[t], t)
        after[-2 - t] = carried(after[-1 - t] + each[-1 - t], -1 - t)
    return before + each + after


def ordered(
    points: np.ndarray, confidence: np.ndarray, logits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns keypoints and confidence with left and right as the logits of "back" say.

    Nose and eyes of a back are not seen.

    Args:
      points: [N, 17, 2] COCO keypoints in [-1, 1].
      confidence: [N, 17] in [0, 1].
      logits: [N] of `FacingNet`.
    """
    back = expit(logits)
    order = shoulder_order(points)
    wrong = (np.abs(order) > _NARROW) & ((order < 0) != (back > 0.5))
    points = np.where(wrong[:, None, None], points[:, COCO_MIRROR], points)
    confidence = np.where(wrong[:, None], confidence[:, COCO_MIRROR], confidence)
    seen = np.where(np.arange(confidence.shape[1]) < 3, 1 - back[:, None], 1.0)
    return points.astype(np.float32), (confidence * seen).astype(np.float32)


def doubted(confidence: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Returns confidence [N, 17] of `ordered` keypoints that allows for a wrong order.

    For judging bodies. A fit does better with keypoints as surely seen as they are: at half their
    weight other terms take over, and bodies become wild.

    Args:
      confidence: [N, 17] in [0, 1] of `ordered`.
      logits: [N] of "back".
    """
    sure = np.where(np.arange(confidence.shape[1]) < 3, 1.0, expit(np.abs(logits))[:, None])
    return (confidence * sure).astype(np.float32)
