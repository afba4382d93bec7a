"""Grids, bilinear sampling and exact rearrangements."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.ops import warp


def _slow_bilinear(image, u, v):
    height, width = image.shape[:2]
    x = min(max((u + 1) * width / 2 - 0.5, 0), width - 1)
    y = min(max((v + 1) * height / 2 - 0.5, 0), height - 1)
    x0, y0 = int(np.floor(x)), int(np.floor(y))
    x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
    fx, fy = x - x0, y - y0
    top = image[y0, x0] * (1 - fx) + image[y0, x1] * fx
    bottom = image[y1, x0] * (1 - fx) + image[y1, x1] * fx
    return top * (1 - fy) + bottom * fy


def test_identity_grid_reproduces_the_image(key):
    image = jax.random.uniform(key, (2, 6, 8, 3))
    grid = jnp.broadcast_to(warp.identity_grid(6, 8), (2, 6, 8, 2))
    np.testing.assert_allclose(warp.warp(image, grid), image, atol=1e-6)


def test_warp_matches_a_slow_reference_also_outside(key):
    image = np.asarray(jax.random.uniform(key, (1, 5, 7, 2)))
    grid = np.asarray(jax.random.uniform(jax.random.key(1), (1, 4, 3, 2), minval=-1.5, maxval=1.5))
    expected = [[_slow_bilinear(image[0], *grid[0, i, j]) for j in range(3)] for i in range(4)]
    np.testing.assert_allclose(warp.warp(image, grid)[0], expected, atol=1e-6)


def test_one_pixel_of_displacement_shifts_by_one_pixel():
    image = jnp.arange(8.0).reshape(1, 1, 8, 1)
    grid = warp.identity_grid(1, 8)[None] + jnp.array([2 / 8, 0.0])
    np.testing.assert_allclose(warp.warp(image, grid)[0, 0, :, 0], [1, 2, 3, 4, 5, 6, 7, 7])


def test_gradient_of_the_grid_matches_finite_differences(key):
    image = jax.random.uniform(key, (1, 6, 6, 1))
    grid = warp.identity_grid(6, 6)[None] * 0.7 + 0.013
    direction = jax.random.normal(jax.random.key(2), grid.shape)

    def loss(t):
        return jnp.sum(warp.warp(image, grid + t * direction) ** 2)

    numeric = (loss(1e-3) - loss(-1e-3)) / 2e-3
    assert jax.grad(loss)(0.0) == pytest.approx(float(numeric), rel=2e-2)


def test_depth_to_space_inverts_space_to_depth(key):
    x = jax.random.normal(key, (2, 8, 12, 5))
    y = warp.space_to_depth(x, 4)
    assert y.shape == (2, 2, 3, 80)
    np.testing.assert_array_equal(warp.depth_to_space(y, 4), x)
    np.testing.assert_array_equal(y[1, 1, 2].reshape(4, 4, 5), x[1, 4:8, 8:12])


def test_average_pool_inverts_repeat(key):
    x = jax.random.normal(key, (1, 3, 4, 2))
    np.testing.assert_allclose(warp.average_pool(warp.repeat_upsample(x, 3), 3), x, atol=1e-6)


def test_resizing_the_identity_grid_is_exact():
    grid = jnp.broadcast_to(warp.identity_grid(4, 6), (1, 4, 6, 2))
    np.testing.assert_allclose(
        warp.resize_grid(grid, 16, 12)[0], warp.identity_grid(16, 12), atol=1e-6
    )
