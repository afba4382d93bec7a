"""Sums over all places of a picture, channel by channel, as gradients of biases and scales are."""

import jax
import jax.numpy as jnp


def channel_sums(x: jax.Array) -> jax.Array:
    """The sum of `x` over all axes but the last, row by row for exactness.

    XLA's CPU back end computes all that `x` is made of again inside a sum, and adds number by
    number, but not inside a product: there the rows are summed as products with ones.

    Args:
      x: [*, N, C].

    Returns:
      [C].
    """
    rows = x.reshape(-1, *x.shape[-2:])
    if jax.default_backend() != "cpu":
        return rows.sum((0, 1))
    return jnp.einsum("rn,rnc->rc", jnp.ones(rows.shape[:2], x.dtype), rows).sum(0)
