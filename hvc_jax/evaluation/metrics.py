"""How near decoded frames are to the originals, on uint8 RGB, one value a frame.

Every function takes two stacks [T, H, W, 3] uint8 (original, decoded) and returns [T] float64;
means over a clip are the caller's. LPIPS and DISTS, which need weights, are in `learned_metrics`.
"""

import numpy as np

from hvc_jax.ops.ssim import check_frames


def psnr(original: np.ndarray, decoded: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Returns 10 log10(255^2 / MSE) of frames [T, H, W, 3] uint8 RGB, [T] dB; inf where equal.

    `mask`: [T, H, W] weights; only pixels with weight count, a frame without any gives NaN.
    """
    check_frames(original, decoded)
    values = np.empty(len(original))
    for i, (a, b) in enumerate(zip(original, decoded, strict=True)):
        error = np.square(a.astype(np.int32) - b).mean(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            mse = error.mean() if mask is None else (error * mask[i]).sum() / mask[i].sum()
            values[i] = 10 * np.log10(255**2 / mse)
    return values


def flicker(
    original: np.ndarray, decoded: np.ndarray, mask: np.ndarray | None = None
) -> np.ndarray:
    """Returns how much the error changes from frame to frame, in grey levels; [T - 1].

    The mean absolute difference between the decoded and the original change of a pixel,
    (d_t - d_t-1) - (o_t - o_t-1)|: zero for a constant error however large, and for holding the
    key frame it is the motion that is missing. Frames are [T, H, W, 3] uint8; of `mask` [T, H, W]
    the weights of the later frame count; without any it is NaN.
    """
    check_frames(original, decoded)
    values = []
    previous = None
    for i, (a, b) in enumerate(zip(original, decoded, strict=True)):
        error = b.astype(np.int16) - a
        if previous is not None:
            change = np.abs(error - previous).mean(axis=-1)
            with np.errstate(invalid="ignore"):
                whole = mask is None
                values.append(change.mean() if whole else (change * mask[i]).sum() / mask[i].sum())
        previous = error
    return np.asarray(values, np.float64)
