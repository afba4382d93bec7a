"""Quantisation for training: additive noise."""

import jax


def add_uniform_noise(rng: jax.Array, x: jax.Array, step: jax.Array | float = 1.0) -> jax.Array:
    """`x` plus noise uniform in [-step/2, step/2): the differentiable stand-in for rounding.

    Args:
      rng: PRNG key.
      x: [*] values in any unit.
      step: quantisation step, broadcastable to `x`, same unit. Gradients reach it: a larger step
        means more noise.

    Returns:
      [*] noisy values, same unit.

    Ballé et al., "End-to-end optimized image compression", eq. 6. https://arxiv.org/abs/1611.01704
    """
    return x + step * jax.random.uniform(rng, x.shape, x.dtype, -0.5, 0.5)
