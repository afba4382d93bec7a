"""Filling holes and growing masks."""

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.ops import fill

pull_push = jax.jit(fill.pull_push)


def test_known_pixels_stay(key):
    values = jax.random.uniform(key, (2, 16, 16, 3))
    weight = (jax.random.uniform(jax.random.key(1), (2, 16, 16, 1)) > 0.5).astype(jnp.float32)
    filled = pull_push(values, weight)
    np.testing.assert_array_equal(jnp.where(weight > 0, filled - values, 0), 0)


def test_a_constant_is_continued_exactly_and_holes_stay_in_range(key):
    weight = jnp.ones((1, 32, 24, 1)).at[:, 4:28, 3:20].set(0)
    np.testing.assert_allclose(pull_push(jnp.full((1, 32, 24, 1), 0.7), weight), 0.7, atol=1e-6)
    values = jax.random.uniform(key, (1, 32, 24, 2))
    filled = pull_push(values, weight)
    assert filled.min() >= 0 and filled.max() <= 1


def test_a_ramp_is_continued_in_order():
    values = jnp.broadcast_to(jnp.linspace(0.0, 1.0, 32)[None, None, :, None], (1, 32, 32, 1))
    weight = jnp.ones_like(values).at[:, 8:24, 8:24].set(0)
    row = pull_push(values, weight)[0, 16, :, 0]
    assert jnp.all(jnp.diff(row) > -1e-3)


def test_nothing_known_gives_zero_and_a_finite_gradient():
    values, weight = jnp.ones((1, 8, 8, 1)), jnp.zeros((1, 8, 8, 1))
    value, grad = jax.jit(jax.value_and_grad(lambda v: pull_push(v, weight).sum()))(values)
    assert value == 0 and jnp.all(grad == 0)


def test_widen_is_the_maximum_over_the_window():
    mask = np.zeros((1, 9, 11, 1), np.float32)
    mask[0, 4, 2] = mask[0, 0, 10] = 1
    expected = np.zeros_like(mask)
    for y, x in ((4, 2), (0, 10)):
        expected[0, max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = 1
    np.testing.assert_array_equal(fill.widen(jnp.asarray(mask), 2), expected)
