"""Where motion makes a frame worse, the encoder says so by sending none.

Estimated motion is sometimes wrong: a back view, a body that the picture hides. The encoder has the
decoder, so it looks. A frame whose latent is that of the key frame is decoded as the key picture
itself and costs next to nothing.
"""

import numpy as np

WINDOW = 13
"""Frames over which errors are compared, so that the choice does not flicker."""

AT_MOST = 0.9
"""Share of the error of holding that motion may have. What is synthesised is less sharp than what
is held, which squared errors see too little of."""


def better_held(frames: np.ndarray, made: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Which frames of a run are shown better by the key picture than by what motion makes.

    Args:
      frames: [T, H, W, 3] uint8, consecutive frames of the clip.
      made: [T, H, W, 3] uint8, as decoded with their motion.
      key: [H, W, 3] uint8, the key picture as decoded.

    Returns:
      [T] bool.
    """
    moved = np.array([_squared_error(f, m) for f, m in zip(frames, made, strict=True)])
    held = np.array([_squared_error(f, key) for f in frames])
    return _windowed(moved) > AT_MOST * _windowed(held)


def _squared_error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.square(a.astype(np.float32) - b).mean())


def _windowed(errors: np.ndarray) -> np.ndarray:
    """Means over `WINDOW` frames around each, fewer at the ends."""
    total = np.concatenate([[0.0], np.cumsum(errors)])
    at = np.arange(len(errors))
    first = np.maximum(at - WINDOW // 2, 0)
    last = np.minimum(at + WINDOW // 2 + 1, len(errors))
    return (total[last] - total[first]) / (last - first)
