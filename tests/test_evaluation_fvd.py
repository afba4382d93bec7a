"""The Fréchet distance on Gaussians, and I3D against an independent network in torch."""

import numpy as np
import pytest

from hvc_jax.evaluation import fvd
from hvc_jax.evaluation.report import video_distances
from hvc_jax.ops.ssim import MetricError

_MIXED = [f"Mixed_{name}" for name in ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")]


def _state(seed=0):
    """A narrow I3D with random weights, named as in pytorch-i3d."""
    rng, state = np.random.default_rng(seed), {}

    def unit(name, into, out, size, norm=True):
        kernel = rng.normal(0, (2 / (into * size**3)) ** 0.5, (out, into, size, size, size))
        state[f"{name}.conv3d.weight"] = kernel.astype(np.float32)
        if not norm:
            state[f"{name}.conv3d.bias"] = rng.normal(0, 1, out).astype(np.float32)
            return
        for part, low, high in (("weight", 0.5, 1.5), ("running_var", 0.5, 2)):
            state[f"{name}.bn.{part}"] = rng.uniform(low, high, out).astype(np.float32)
        for part in ("bias", "running_mean"):
            state[f"{name}.bn.{part}"] = rng.normal(0, 0.2, out).astype(np.float32)

    unit("Conv3d_1a_7x7", 3, 4, 7)
    unit("Conv3d_2b_1x1", 4, 4, 1)
    unit("Conv3d_2c_3x3", 4, 8, 3)
    for name in _MIXED:
        for branch, into, size in (("b0", 8, 1), ("b1a", 8, 1), ("b2a", 8, 1), ("b3b", 8, 1)):
            unit(f"{name}.{branch}", into, 2, size)
        unit(f"{name}.b1b", 2, 2, 3)
        unit(f"{name}.b2b", 2, 2, 3)
    unit("logits", 8, 5, 1, norm=False)
    return state


def test_distance_of_gaussians_has_its_closed_form():
    rng = np.random.default_rng(0)
    a = rng.normal(0, 1, (20000, 3))
    b = rng.normal(0, 1, (20000, 3)) * (1, 2, 3) + (1, 0, 0)
    expected = 1 + sum((s - 1) ** 2 for s in (1, 2, 3))
    assert fvd.frechet_distance(a, b) == pytest.approx(expected, rel=0.03)
    assert fvd.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    few = rng.normal(0, 1, (4, 50))  # singular covariances
    assert fvd.frechet_distance(few, few + 2) == pytest.approx(50 * 4)
    with pytest.raises(MetricError, match="two windows"):
        fvd.frechet_distance(few[:1], few)


def test_the_table_pools_all_clips(tmp_path):
    rng = np.random.default_rng(1)
    for clip in "ab":
        (tmp_path / clip).mkdir()
        np.save(tmp_path / clip / "source.npy", rng.normal(0, 1, (4, 6)))
        real = np.load(tmp_path / clip / "source.npy")
        np.save(tmp_path / clip / "m.qp32.npy", real + 1)
    point = {"kind": "model", "codec": "m", "qp": 32, "kbps": 5.0}
    (row,) = video_distances(tmp_path, [point, point | {"qp": 42}])
    assert row["clips"] == 2 and row["windows"] == 8 and row["fvd"] == pytest.approx(6)


def test_other_files_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(fvd, "load_torch", lambda _: {"layer.weight": np.zeros(3)})
    with pytest.raises(MetricError, match="rgb_imagenet"):
        fvd.load_i3d(tmp_path / "x.pt")
    with pytest.raises(MetricError, match="16 frames"):
        fvd.i3d_features({}, np.zeros((15, 8, 8, 3), np.uint8))


@pytest.mark.slow
def test_i3d_equals_torch(monkeypatch):
    torch = pytest.importorskip("torch")
    functional, state = torch.nn.functional, _state()
    monkeypatch.setattr(fvd, "load_torch", lambda _: state)
    frames = np.random.default_rng(2).integers(0, 256, (17, 224, 224, 3), dtype=np.uint8)
    ours = fvd.i3d_features(fvd.load_i3d("x.pt"), frames)
    tensors = {key: torch.from_numpy(value) for key, value in state.items()}

    def padded(x, window, strides):
        pads = []
        for size, width, stride in zip(x.shape[2:], window, strides, strict=True):
            total = max(width - (stride if size % stride == 0 else size % stride), 0)
            pads = [total // 2, total - total // 2, *pads]
        return functional.pad(x, pads)

    def unit(name, x, stride=1):
        kernel = tensors[f"{name}.conv3d.weight"]
        x = padded(x, kernel.shape[2:], (stride,) * 3)
        x = functional.conv3d(x, kernel, tensors.get(f"{name}.conv3d.bias"), stride)
        if f"{name}.bn.weight" not in tensors:
            return x
        parts = ("running_mean", "running_var", "weight", "bias")
        x = functional.batch_norm(x, *(tensors[f"{name}.bn.{p}"] for p in parts), eps=1e-3)
        return functional.relu(x)

    def pool(x, window, strides):
        return functional.max_pool3d(padded(x, window, strides), window, strides)

    def mixed(name, x):
        b1 = unit(f"{name}.b1b", unit(f"{name}.b1a", x))
        b2 = unit(f"{name}.b2b", unit(f"{name}.b2a", x))
        b3 = unit(f"{name}.b3b", pool(x, (3, 3, 3), (1, 1, 1)))
        return torch.cat([unit(f"{name}.b0", x), b1, b2, b3], 1)

    x = torch.from_numpy(frames[None, :16].transpose(0, 4, 1, 2, 3) / 127.5 - 1).float()
    x = pool(unit("Conv3d_1a_7x7", x, 2), (1, 3, 3), (1, 2, 2))
    x = unit("Conv3d_2c_3x3", unit("Conv3d_2b_1x1", x))
    x = pool(x, (1, 3, 3), (1, 2, 2))
    for name in _MIXED:
        if name in ("Mixed_4b", "Mixed_5b"):
            window = (3, 3, 3) if name == "Mixed_4b" else (2, 2, 2)
            x = pool(x, window, (2, 2, 2))
        x = mixed(name, x)
    x = unit("logits", functional.avg_pool3d(x, (2, 7, 7), 1))
    np.testing.assert_allclose(ours, x.mean((2, 3, 4)).numpy(), rtol=1e-4, atol=1e-4)
