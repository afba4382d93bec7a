"""Bounds whose gradients still push back inside."""

import jax
import jax.numpy as jnp


@jax.custom_vjp
def lower_limit(x: jax.Array, limit: float) -> jax.Array:
    """max(x, limit), with a gradient that passes wherever a descent step would raise `x`.

    A plain maximum has no gradient below the limit, so a parameter that once falls under it stays
    there. Here the gradient also passes below the limit when it is negative (descent raises x).

    Args:
      x: [*] values.
      limit: scalar lower bound.

    Returns:
      [*] values >= limit.
    """
    return jnp.maximum(x, limit)


def _forward(x: jax.Array, limit: float) -> tuple[jax.Array, tuple[jax.Array, float]]:
    return jnp.maximum(x, limit), (x, limit)


def _backward(residuals: tuple[jax.Array, float], g: jax.Array) -> tuple[jax.Array, None]:
    x, limit = residuals
    return jnp.where((x >= limit) | (g < 0), g, 0.0), None


lower_limit.defvjp(_forward, _backward)
