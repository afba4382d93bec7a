"""How far estimated bodies and keypoints are from the true ones; numpy only.

PCK: Yang and Ramanan, "Articulated human detection with flexible mixtures of parts", PAMI 2013,
with the torso as the unit as in FLIC (Sapp and Taskar, CVPR 2013). MPJPE and PA-MPJPE: Ionescu et
al., "Human3.6M", PAMI 2014. PVE: Pavlakos et al., CVPR 2018. Acceleration: Kanazawa et al., "Human
dynamics", CVPR 2019.
"""

from __future__ import annotations

import numpy as np

from hvc_jax.pose.procrustes import procrustes

_SHOULDERS, _HIPS = [5, 6], [12, 11]  # each shoulder with the hip across
_TORSO_PER_SHOULDERS = 1.6


def torso_size(points: np.ndarray, confidence: np.ndarray, least: float = 0.3) -> np.ndarray:
    """Returns [T]: the longer of the two diagonals from a shoulder to the hip across.

    Where no frame of a clip shows a diagonal, 1.6 widths of the shoulders (the median ratio of a
    person seen from the front). Turned people look narrow, so it is the median over the clip.

    Args:
      points: [T, 17, 2] COCO keypoints of one clip.
      confidence: [T, 17] in [0, 1].
      least: confidence of a keypoint that is seen.

    Returns:
      [T], the same value repeated, in the units of the points; NaN where no shoulders are seen.
    """
    seen = confidence > least
    across = np.linalg.norm(points[:, _SHOULDERS] - points[:, _HIPS], axis=-1)
    both = seen[:, _SHOULDERS] & seen[:, _HIPS]
    if both.any():
        longest = np.where(both, across, 0).max(1)
        size = float(np.median(longest[both.any(1)]))
    else:
        wide = np.linalg.norm(points[:, 5] - points[:, 6], axis=-1)
        shown = seen[:, _SHOULDERS].all(1)
        size = float(np.median(wide[shown])) * _TORSO_PER_SHOULDERS if shown.any() else np.nan
    return np.full(len(points), size)


def correct_keypoints(
    points: np.ndarray, truth: np.ndarray, torso: np.ndarray, fraction: float
) -> np.ndarray:
    """Returns [T, 17] bool: the keypoint is within a fraction of the torso of its true place.

    Args:
      points: [T, 17, 2] estimated.
      truth: [T, 17, 2] in the same units.
      torso: [T].
      fraction: 0.1 or 0.2.
    """
    return np.linalg.norm(points - truth, axis=-1) <= fraction * torso[:, None]


def mask_iou(mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns [T]: intersection over union of two bool masks [T, H, W]; 1 where both are empty."""
    both = (mask & truth).sum((1, 2))
    either = (mask | truth).sum((1, 2))
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def mpjpe(joints: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns [T]: mean distance of joints or vertices [T, N, 3], the first joints together.

    With vertices instead of joints, moved so that the pelvis is the origin, this is PVE.
    """
    return np.linalg.norm(joints - truth, axis=-1).mean(-1)


def pa_mpjpe(joints: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns [T]: mean distance of joints [T, N, 3] after the best similarity."""
    return mpjpe(procrustes(joints, truth), truth)


def acceleration(points: np.ndarray) -> np.ndarray:
    """Returns [T - 2, N]: length of the second difference of points [T, N, C], units a frame^2."""
    return np.linalg.norm(points[2:] - 2 * points[1:-1] + points[:-2], axis=-1)
