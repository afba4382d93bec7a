"""Filling what is unknown in a picture from what is known around it."""

import jax
import jax.numpy as jnp

from hvc_jax.ops.warp import average_pool


def pull_push(values: jax.Array, weight: jax.Array) -> jax.Array:
    """`values` where the weight is one, and a smooth continuation of them where it is zero.

    The weighted picture is averaged down to a few pixels, then each level fills the holes of the
    finer one. Holes of any size cost the same, and everything is differentiable.

    `values`: [B, H, W, C]; `weight`: [B, H, W, 1] in [0, 1], how far each pixel is known.

    Returns [B, H, W, C]; a picture without any known pixel becomes 0.

    Gortler et al., "The lumigraph", SIGGRAPH 1996, sec. 3.4.
    """
    _, height, width, _ = values.shape
    if height % 2 or width % 2 or min(height, width) < 4:
        total = jnp.sum(weight, (1, 2), keepdims=True)
        mean = jnp.sum(values * weight, (1, 2), keepdims=True) / jnp.maximum(total, 1e-6)
        return weight * values + (1 - weight) * mean
    share = average_pool(weight, 2)
    coarse = average_pool(values * weight, 2) / jnp.maximum(share, 1e-6)
    # Where a quarter is known the coarse value is trusted: its own continuation is only for holes.
    coarse = pull_push(coarse, jnp.minimum(4 * share, 1.0))
    filled = jax.image.resize(coarse, values.shape, "bilinear")
    return weight * values + (1 - weight) * filled


def widen(mask: jax.Array, radius: int) -> jax.Array:
    """`mask` with its ones grown by `radius` pixels: the maximum over a square window.

    `mask`: [B, H, W, C]; `radius`: pixels, >= 0.

    Returns [B, H, W, C].
    """
    for axis in (1, 2):
        size = mask.shape[axis]
        pad = [(0, 0)] * mask.ndim
        pad[axis] = (radius, radius)
        padded = jnp.pad(mask, pad, mode="edge")
        shifted = [
            jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(2 * radius + 1)
        ]
        mask = jnp.stack(shifted).max(0)
    return mask
