"""Soft masks, warps mixed against a slow reference, and affine maps from neighbours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.models.motion.keypoint_warp import (
    AffineMotion,
    LocalAffine,
    MaskShape,
    SoftMasks,
    largest,
    warp_by_keypoints,
)
from hvc_jax.ops.warp import identity_grid, warp


def test_masks_sum_to_one_and_the_nearest_keypoint_has_the_largest():
    positions = jnp.array([[[-0.5, -0.5], [0.5, 0.5]]])
    module = SoftMasks(2)
    params = module.init(jax.random.key(0), positions, 8, 8)
    share, offset = module.apply(params, positions, 8, 8)
    np.testing.assert_allclose(share.sum(-1), 1, rtol=1e-6)
    owner = share[0].argmax(-1)
    assert owner[2, 2] == 0 and owner[5, 5] == 1 and owner[0, 7] == 2  # the last is background
    np.testing.assert_allclose(offset[0, 2, 2, 0], jnp.array([-0.375, -0.375]) + 0.5, atol=1e-6)


def _shape(points: int, size: float = 0.2) -> MaskShape:
    return MaskShape(jnp.full(points, size), jnp.zeros(points), jnp.full(1, -60.0))


def _unturned(here: np.ndarray, there: np.ndarray) -> AffineMotion:
    linear = np.broadcast_to(np.eye(2, dtype=np.float32), (*here.shape, 2))
    return AffineMotion(*map(jnp.asarray, (here, there, linear)))


def test_one_keypoint_shifts_the_picture():
    rng = np.random.default_rng(1)
    x = rng.random((2, 8, 8, 3)).astype(np.float32)
    here, there = np.zeros((2, 2, 1, 2), np.float32)
    there[0, 0, 0] = 2 * 2 / 8  # two pixels to the right
    share = np.tile(np.array([1, 0], np.float32), (2, 8, 8, 1))
    moved = np.asarray(warp_by_keypoints(x, share, _unturned(here, there), _shape(1)))
    np.testing.assert_allclose(moved[0, :, :6], x[0, :, 2:], atol=1e-5)
    np.testing.assert_allclose(moved[1], x[1], atol=1e-5)


def test_warps_are_mixed_by_the_masks():
    # Against a mixture of every copy, where as many own a place as are mixed.
    rng = np.random.default_rng(2)
    x = rng.random((1, 8, 8, 2)).astype(np.float32)
    here, there = rng.uniform(-0.6, 0.6, (2, 1, 3, 2)).astype(np.float32)
    module = SoftMasks(3)
    params = module.init(jax.random.key(0), here, 8, 8)
    params = jax.tree.map(lambda p: p + 1.5, params)
    share, _ = module.apply(params, here, 8, 8)
    shape = module.bind(params).shape
    motion = _unturned(here, there)
    expected = share[..., 3:] * x
    for k in range(3):
        grid = identity_grid(8, 8) + (there - here)[:, k]
        expected += share[..., k : k + 1] * warp(x, grid)
    np.testing.assert_allclose(warp_by_keypoints(x, share, motion, shape), expected, atol=1e-5)
    # On a coarser grid of owners the mixture of the same three is the same.
    coarse, _ = module.apply(params, here, 4, 4)
    np.testing.assert_allclose(warp_by_keypoints(x, coarse, motion, shape), expected, atol=1e-5)


def test_largest_gives_the_order_of_a_sort():
    shares = np.random.default_rng(3).random((4, 5, 7)).astype(np.float32)
    order = np.argsort(-shares, -1)
    for n, index in enumerate(largest(jnp.asarray(shares), 3)):
        np.testing.assert_array_equal(index[..., 0], order[..., n])


def _turned(here: jax.Array, there: jax.Array, log_reach: float | None = None) -> jax.Array:
    module = LocalAffine(here.shape[1])
    params = module.init(jax.random.key(0), here, there)["params"]
    if log_reach is not None:
        params = params | {"log_reach": jnp.full(1, log_reach)}
    return module.apply({"params": params}, here, there)


@pytest.mark.parametrize("angle", [0.0, 0.7, -2.5])
def test_positions_that_turn_together_turn_every_copy(angle):
    here = np.random.default_rng(4).uniform(-0.8, 0.8, (3, 13, 2)).astype(np.float32)
    c, s = np.cos(angle), np.sin(angle)
    rotation = np.array([[c, -s], [s, c]], np.float32)
    linear = _turned(here, here @ rotation.T + 0.1, log_reach=-6.0)
    np.testing.assert_allclose(linear, np.broadcast_to(rotation, linear.shape), atol=5e-3)


def test_a_stretched_torso_stretches_and_a_folded_limb_stays_finite():
    here = np.random.default_rng(5).uniform(-0.8, 0.8, (1, 13, 2)).astype(np.float32)
    there = here * np.array([0.5, 1.0], np.float32)
    torso = np.asarray(_turned(here, there))[0, [1, 2, 7, 8]]  # neighbours on all sides
    np.testing.assert_allclose(torso[:, 0, 0], 0.5, atol=0.1)
    np.testing.assert_allclose(torso[:, 1, 1], 1.0, atol=0.1)
    folded = np.zeros_like(here)  # all positions in one place
    assert np.abs(_turned(folded, there)).max() < 15
    gradient = jax.grad(lambda h: jnp.sum(_turned(h, there) ** 2))(folded)
    assert np.isfinite(gradient).all()
