"""Quantisation in training: noise in the place of rounding, and bounds that gradients can leave."""

import jax
import jax.numpy as jnp


def add_uniform_noise(rng: jax.Array, x: jax.Array, step: jax.Array | float = 1.0) -> jax.Array:
    """`x` plus noise uniform in [-step/2, step/2), the differentiable stand-in for rounding.

    Gradients reach the step: a larger one means more noise. Ballé et al., "End-to-end optimized
    image compression", eq. 6. https://arxiv.org/abs/1611.01704
    """
    return x + step * jax.random.uniform(rng, x.shape, x.dtype, -0.5, 0.5)


@jax.custom_vjp
def lower_limit(x: jax.Array, limit: float) -> jax.Array:
    """max(x, limit), with a gradient that passes wherever a descent step would raise `x`.

    A plain maximum has no gradient below the limit, so a parameter that once falls under it stays
    there. Here the gradient also passes below the limit when it is negative (descent raises x).
    """
    return jnp.maximum(x, limit)


def _forward(x: jax.Array, limit: float) -> tuple[jax.Array, tuple[jax.Array, float]]:
    return jnp.maximum(x, limit), (x, limit)


def _backward(residuals: tuple[jax.Array, float], g: jax.Array) -> tuple[jax.Array, None]:
    x, limit = residuals
    return jnp.where((x >= limit) | (g < 0), g, 0.0), None


lower_limit.defvjp(_forward, _backward)
