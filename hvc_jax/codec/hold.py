"""Where motion makes a frame worse, the encoder says so by sending none.

Estimated motion is sometimes wrong: a back view, a body that the picture hides. The encoder has the
decoder, so it looks. A frame whose latent is that of the key frame is decoded as the key picture
itself and costs next to nothing.
"""

import numpy as np

from hvc_jax.ops.ssim import ssim
from hvc_jax.ops.warp import average_pool

WINDOW = 13
"""Frames over which errors are compared, so that the choice does not flicker."""

AT_MOST = 0.9
"""Share of the squared error of holding that motion may have. What is synthesised is less sharp
than what is held, which squared errors see too little of."""

UNLIKE_AT_MOST = 1.2
"""Times that motion may be as unlike the frame as the key picture is, by 1 - SSIM at half size. A
person torn to shreds has less squared error than one who stands where nobody is any more."""


def better_held(frames: np.ndarray, made: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Which frames of a run are shown better by the key picture than by what motion makes.

    Args:
      frames: [T, H, W, 3] uint8, consecutive frames of the clip; sides even and at least 22.
      made: [T, H, W, 3] uint8, as decoded with their motion.
      key: [H, W, 3] uint8, the key picture as decoded.

    Returns [T] bool.
    """
    still = np.broadcast_to(key, frames.shape)
    farther = _squared_error(frames, made) > AT_MOST * _squared_error(frames, still)
    return farther | (_unlike(frames, made) > UNLIKE_AT_MOST * _unlike(frames, still))


def _squared_error(frames: np.ndarray, shown: np.ndarray) -> np.ndarray:
    pairs = zip(frames, shown, strict=True)
    return _windowed(np.array([np.square(a.astype(np.float32) - b).mean() for a, b in pairs]))


def _unlike(frames: np.ndarray, shown: np.ndarray) -> np.ndarray:
    return _windowed(1 - ssim(_halved(frames), _halved(shown)))


def _halved(frames: np.ndarray) -> np.ndarray:
    return np.rint(average_pool(frames.astype(np.float32), 2)).astype(np.uint8)


def _windowed(errors: np.ndarray) -> np.ndarray:
    """Means over `WINDOW` frames around each, fewer at the ends."""
    total = np.concatenate([[0.0], np.cumsum(errors)])
    at = np.arange(len(errors))
    first = np.maximum(at - WINDOW // 2, 0)
    last = np.minimum(at + WINDOW // 2 + 1, len(errors))
    return (total[last] - total[first]) / (last - first)
