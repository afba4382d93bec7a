"""What is done to training pictures: limits at which nothing changes, and ranges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.pose.train.augment import random_camera
from hvc_jax.pose.train.degrade import blur, compress, dress, random_tint, tinted


@pytest.fixture(scope="module")
def picture():
    return jnp.asarray(np.random.default_rng(0).uniform(0.05, 0.95, (32, 32, 3)), jnp.float32)


def test_no_strength_changes_nothing(picture):
    tint = random_tint(jax.random.key(0), 0.0)
    np.testing.assert_allclose(tinted(picture, tint), picture, atol=1e-5)


def test_grey_stays_grey_but_for_the_gain():
    grey = jnp.full((4, 4, 3), 0.4)
    tint = random_tint(jax.random.key(3), 1.0)._replace(offset=0.0, power=1.0)
    gains = tint.matrix.sum(1)
    np.testing.assert_allclose(tinted(grey, tint)[0, 0], jnp.clip(0.4 * gains, 0, 1), rtol=1e-4)


def test_colours_stay_in_range_and_rows_may_differ(picture):
    dressed = jax.jit(jax.vmap(dress, (0, None)))(jax.random.split(jax.random.key(0), 16), picture)
    assert float(dressed.min()) >= 0 and float(dressed.max()) <= 1
    assert float(jnp.abs(dressed[0] - dressed[1]).max()) > 0.02


def test_blur_keeps_flat_pictures_and_compression_at_fine_steps_is_exact(picture):
    flat = jnp.full((32, 32, 3), 0.3)
    for seed in range(4):
        np.testing.assert_allclose(blur(jax.random.key(seed), flat), flat, atol=1e-5)
        near = compress(jax.random.key(seed), picture, coarsest=0.0101)
        np.testing.assert_allclose(near, picture, atol=0.06)
    coarse = [compress(jax.random.key(seed), picture, coarsest=0.9) for seed in range(8)]
    assert max(float(jnp.abs(c - picture).mean()) for c in coarse) > 0.02


def test_views_end_at_the_hips_or_above_a_third_of_the_time():
    points = np.zeros((17, 2), np.float32)
    points[:5, 1] = -0.7
    points[5:7] = [[0.2, -0.4], [-0.2, -0.4]]
    points[11:13] = [[0.1, 0.2], [-0.1, 0.2]]
    points[13:] = [0.0, 0.8]
    keys = jax.random.split(jax.random.key(0), 200)
    cameras = jax.jit(jax.vmap(random_camera, (0, None, None)))(
        keys, jnp.asarray(points), jnp.ones(17)
    )
    bottom = cameras.matrix[:, 1, 1] + cameras.shift[:, 1]  # where v = 1 of the view looks
    centred = jnp.abs(cameras.matrix[:, 1, 1]) < 0.65
    cut = np.asarray(centred & (bottom < 0.55) & (bottom > -0.4))
    assert 0.15 < cut.mean() < 0.6
    assert set(np.asarray(cameras.mirror)) == {-1.0, 1.0}
