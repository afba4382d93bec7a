import numpy as np
import pytest

from hvc_jax.evaluation.vmaf import vmaf
from hvc_jax.ops.ssim import MetricError


def _clip():
    y, x = np.mgrid[:64, :96]
    frames = [np.stack([(x * 5 + 3 * t) % 256, y * 4, x + y], -1) for t in range(4)]
    return np.stack(frames).astype(np.uint8)


def test_equal_frames_score_high_and_noise_lowers_it():
    clip = _clip()
    noise = np.random.default_rng(0).normal(0, 30, clip.shape)
    noisy = np.clip(clip + noise, 0, 255).astype(np.uint8)
    same, worse = vmaf(clip, clip), vmaf(clip, noisy)
    assert same.shape == (4,) and same.min() > 90
    assert worse.max() < same.min() - 20


def test_bad_requests_are_refused():
    clip = _clip()
    with pytest.raises(MetricError, match="shape"):
        vmaf(clip, clip[:2])
