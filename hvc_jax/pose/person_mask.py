"""Where a clip shows a person, as the body regressor sees it."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from hvc_jax.pose.estimator import RegressorExport, look


def place_window(values: np.ndarray, box: np.ndarray, size: int, beyond: float = 0.0) -> np.ndarray:
    """Returns pictures [T, size, size] that show values [T, S, S] in a window, bilinear.

    Args:
      values: [T, S, S], of the window.
      box: (u, v, half side) of the window in the picture, in units of [-1, 1].
      size: side of the pictures in pixels.
      beyond: what lies outside of the window.
    """
    cells = values.shape[1]

    def weights(centre: float) -> tuple[np.ndarray, np.ndarray]:
        line = (np.arange(size) + 0.5) / size * 2 - 1
        at = ((line - centre) / box[2] + 1) / 2 * cells - 0.5
        inside = (at >= -0.5) & (at <= cells - 0.5)
        at = np.clip(at, 0, cells - 1)
        return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(cells))), inside

    (rows, inside_rows), (columns, inside_columns) = weights(box[1]), weights(box[0])
    placed = rows @ values @ columns.T
    inside = inside_rows[:, None] & inside_columns[None]
    return np.where(inside, placed, beyond).astype(np.float32)


def find_masks(
    frames: np.ndarray, export: RegressorExport, box: np.ndarray | None = None, size: int = 64
) -> np.ndarray:
    """Returns the probability [T, size, size] that a pixel shows the person.

    The network sees 32 x 32 cells of its window, so edges are soft; outside of the window it is 0.

    Args:
      frames: [T, H, W, 3] uint8, H = W.
      export: the regressor.
      box: (u, v, half side) of the window to look through, as `clip_box` gives it; None for the
        whole picture.
      size: side of the masks in pixels.
    """
    window = np.array([0.0, 0.0, 1.0] if box is None else box, np.float32)
    logits = np.clip(look(frames, export, box).mask, -20, 20)
    return expit(place_window(logits, window, size, beyond=-20.0))
