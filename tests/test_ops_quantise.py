"""Quantisation noise, and limits that push back."""

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.ops.quantise import add_uniform_noise, lower_limit


def test_noise_is_uniform_over_one_step(key):
    noise = add_uniform_noise(key, jnp.zeros(20000), 0.5)
    assert noise.min() >= -0.25 and noise.max() < 0.25
    np.testing.assert_allclose(noise.var(), 0.5**2 / 12, rtol=0.03)


def test_noise_carries_a_gradient_to_the_step(key):
    grad = jax.grad(lambda s: jnp.sum(add_uniform_noise(key, jnp.zeros(5), s) ** 2))(1.0)
    unit = add_uniform_noise(key, jnp.zeros(5), 1.0)
    np.testing.assert_allclose(grad, 2 * jnp.sum(unit**2), rtol=1e-5)


def test_lower_limit_only_blocks_gradients_that_lead_further_down():
    grad = jax.grad(lambda x, sign: sign * lower_limit(x, 1.0))
    assert lower_limit(jnp.float32(0.3), 1.0) == 1.0
    assert grad(0.3, 1.0) == 0.0  # descent would lower x: blocked
    assert grad(0.3, -1.0) == -1.0  # descent raises x back to the limit: passes
    assert grad(2.0, 1.0) == 1.0
