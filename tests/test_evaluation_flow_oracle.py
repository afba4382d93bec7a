"""Limits by optical flow: a translation is found, and what it costs is the key picture alone."""

import sys
from pathlib import Path

import numpy as np
import pytest

from hvc_jax.evaluation import anchors, flow_oracle
from hvc_jax.evaluation.metrics import psnr
from hvc_jax.evaluation.run import points_of
from hvc_jax.evaluation.settings import Settings
from hvc_jax.ops import flow

SIDE, SPEED, INSIDE = 64, (2, 1), np.s_[:, 16:48, 16:48]


def _translating(count=4):
    """A smooth grey texture [T, 64, 64, 3] uint8 that moves by (2, 1) pixels a frame."""
    noise = np.random.default_rng(0).normal(size=(SIDE + 32, SIDE + 32))
    for axis in (0, 1, 0, 1):
        noise = sum(np.roll(noise, i, axis) for i in range(-3, 4))
    texture = np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)
    at = [(20 - SPEED[1] * t, 20 - SPEED[0] * t) for t in range(count)]
    return np.stack([np.repeat(texture[y : y + SIDE, x : x + SIDE, None], 3, -1) for y, x in at])


def test_the_flow_of_a_translation_points_back_to_the_key():
    pytest.importorskip("cv2")
    frames = _translating()[..., 1]
    found = flow.dense_flow(frames[3], frames[0])[16:48, 16:48]
    np.testing.assert_allclose(found.mean((0, 1)), [-3 * SPEED[0], -3 * SPEED[1]], atol=0.2)


@pytest.mark.parametrize("name", flow_oracle.ORACLES["flow-oracle"])
def test_a_translation_is_restored_at_the_bytes_of_the_key(name):
    pytest.importorskip("cv2")
    frames = _translating()
    held, limit = anchors.hold(frames, 22), flow_oracle.flow_oracle(frames, name, 22)
    assert limit.bytes == held.bytes and limit.frames.shape == frames.shape
    np.testing.assert_array_equal(limit.frames[0], held.frames[0])
    still, moved = (psnr(frames[INSIDE], x.frames[INSIDE])[1:] for x in (held, limit))
    assert (moved > still + 6).all() and moved.min() > 26


def test_sparse_keys_stand_as_they_were_coded_and_cost_more_than_one():
    pytest.importorskip("cv2")
    frames = _translating(10)
    one, many = (
        flow_oracle.flow_oracle(frames, name, 32) for name in ("flow-dense", "flow-dense-sparse")
    )
    assert many.bytes > one.bytes
    assert psnr(frames, many.frames)[-1] > psnr(frames, one.frames)[-1]


def test_a_constant_flow_stays_what_it_is_when_averaged():
    flows = np.ones((2, 5, 50, 36), np.float32) * np.arange(5)[:, None, None]
    np.testing.assert_allclose(flow_oracle.averaged(flows), flows, rtol=1e-6)
    noise = np.random.default_rng(1).normal(size=(1, 1, 64, 64)).astype(np.float32)
    assert flow_oracle.averaged(noise).std() < 0.5 * noise.std()


def test_limits_are_points_at_every_key_qp():
    settings = Settings(Path("r"), (), (32, 42), limits=flow_oracle.ORACLES["flow-oracle"])
    limits = [(p.codec, p.qp) for p in points_of(settings) if p.kind == "limit"]
    assert limits == [(n, q) for q in (32, 42) for n in ("flow-dense", "flow-16x16")]


def test_without_opencv_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    flow._estimator.cache_clear()
    with pytest.raises(flow.MissingFlowError, match="pip install opencv-python-headless"):
        flow.require_opencv()
