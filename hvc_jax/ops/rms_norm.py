"""RMS normalisation over channels whose gradients are fast on a CPU.

Of the compiler's own gradients the one of the scale is the slow one, a sum over all places of what
takes several products: see ops/channel_sums.py.
"""

import jax
import jax.numpy as jnp

from hvc_jax.ops.channel_sums import channel_sums

_EPSILON = 1e-6


@jax.custom_vjp
def rms_norm(x: jax.Array, scale: jax.Array) -> jax.Array:
    """`x` divided by the root of its mean square over channels, times `scale`.

    Zhang and Sennrich, "Root mean square layer normalization", https://arxiv.org/abs/1910.07467.

    Args:
      x: [*, N, C], of any float type.
      scale: [C] float32.

    Returns:
      [*, N, C] float32.
    """
    return _save(x, scale)[0]


def _save(x: jax.Array, scale: jax.Array) -> tuple[jax.Array, tuple]:
    wide = x.astype(jnp.float32)
    inverse = jax.lax.rsqrt(jnp.square(wide).mean(-1, keepdims=True) + _EPSILON)
    return wide * (inverse * scale), (x, inverse, scale)


def _backward(saved: tuple, g: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, inverse, scale = saved
    unit = x.astype(jnp.float32) * inverse
    part = g * unit
    to_x = inverse * (g * scale - unit * (part * scale).mean(-1, keepdims=True))
    return to_x.astype(x.dtype), channel_sums(part)


rms_norm.defvjp(_save, _backward)
