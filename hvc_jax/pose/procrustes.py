"""Least-squares alignment of points: rotation (Kabsch, 1976), similarity (Umeyama, 1991)."""

import numpy as np


def best_rotation(points: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rotations [T, 3, 3] that turn points onto a target, and what they agree by [T].

    `points`: [T, N, 3] or [N, 3], of mean 0; `target`: [T, N, 3] or [N, 3], of mean 0.
    """
    u, s, vt = np.linalg.svd(np.swapaxes(points, -1, -2) @ target)
    sign = np.ones_like(s)
    sign[..., -1] = np.sign(np.linalg.det(u @ vt))
    return np.swapaxes((u * sign[..., None, :]) @ vt, -1, -2), (s * sign).sum(-1)


def procrustes(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Returns points [T, N, 3] moved, turned and scaled, each set as one, to lie best on a target.

    Umeyama, "Least-squares estimation of transformation parameters", PAMI 1991.

    `points`: [T, N, 3]; `target`: [T, N, 3] or [N, 3].
    """
    goal = target.mean(-2, keepdims=True)
    a = points - points.mean(1, keepdims=True)
    turn, agreement = best_rotation(a, target - goal)
    scale = agreement / np.maximum(np.square(a).sum((1, 2)), 1e-12)
    return scale[:, None, None] * (a @ np.swapaxes(turn, 1, 2)) + goal
