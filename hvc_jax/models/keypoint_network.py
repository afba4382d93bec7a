"""Keypoints of a person as heat maps (Simple Baselines, Xiao et al., ECCV 2018)."""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

NUM_KEYPOINTS = 17
INPUT_SIZE = 128
HEATMAP_SIZE = 32
UNSEEN = 0.1
"""Keypoints of less confidence count as not seen."""


class Keypoints(NamedTuple):
    """What the picture half finds.

    Attributes:
      points: [B, 17, 2] (u, v) in [-1, 1] over the picture, v down.
      confidence: [B, 17] in [0, 1], about how far to trust each point.
      heat: [B, 32, 32, 17] logits of where each keypoint is.
      visibility: [B, 17] logits of the confidence.
      mask: [B, 32, 32] logits of "person here".
    """

    points: jax.Array
    confidence: jax.Array
    heat: jax.Array
    visibility: jax.Array
    mask: jax.Array


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with group normalisation around an identity; shape unchanged."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, H, W, C] to the same shape."""
        channels = x.shape[-1]
        y = nn.relu(nn.GroupNorm(num_groups=8)(x))
        y = nn.Conv(channels, (3, 3), use_bias=False)(y)
        y = nn.relu(nn.GroupNorm(num_groups=8)(y))
        y = nn.Conv(channels, (3, 3), use_bias=False, kernel_init=nn.initializers.zeros)(y)
        return x + y


class KeypointNet(nn.Module):
    """A small hourglass from pictures to keypoints.

    Attributes:
      widths: channels at 1/4, 1/8 and 1/16 of the input size.
      judge: whether to find out how far to trust each keypoint; without it the confidence is 1.
    """

    widths: tuple[int, int, int] = (32, 64, 128)
    judge: bool = True

    @nn.compact
    def __call__(self, pictures: jax.Array) -> Keypoints:
        """Returns the keypoints of pictures [B, 128, 128, 3] in [0, 1]."""
        fine, middle, coarse = self.widths
        x = (pictures - 0.45) * 4.0
        x = nn.relu(nn.Conv(24, (5, 5), strides=2)(x))
        x = nn.Conv(fine, (3, 3), strides=2)(x)
        skip_fine = ResidualBlock()(x)
        x = nn.Conv(middle, (3, 3), strides=2)(skip_fine)
        skip_middle = ResidualBlock()(ResidualBlock()(x))
        x = nn.Conv(coarse, (3, 3), strides=2)(skip_middle)
        for _ in range(3):
            x = ResidualBlock()(x)
        # The whole picture tells left from right, and front from back.
        x = x + nn.Dense(coarse)(nn.relu(nn.Dense(64)(x.mean((1, 2)))))[:, None, None]
        x = _double(nn.Dense(middle)(x)) + skip_middle
        x = ResidualBlock()(x)
        x = _double(nn.Dense(fine)(x)) + skip_fine
        x = ResidualBlock()(x)
        x = nn.relu(nn.GroupNorm(num_groups=8)(x))
        maps = nn.Conv(NUM_KEYPOINTS + 1, (1, 1))(x)
        heat, mask = maps[..., :NUM_KEYPOINTS], maps[..., NUM_KEYPOINTS]

        mask = mask.astype(jnp.float32)
        batch = heat.shape[0]
        if not self.judge:
            sure = jnp.ones((batch, NUM_KEYPOINTS))
            return Keypoints(decode_heat(heat), sure, heat, jnp.inf * sure, mask)
        flat = heat.reshape(batch, -1, NUM_KEYPOINTS)
        attention = jax.nn.softmax(flat, axis=1)
        seen = jnp.einsum("bpk,bpc->bkc", attention, x.reshape(batch, -1, fine))
        peak = jnp.max(flat, 1) - jnp.mean(flat, 1)
        seen = jnp.concatenate([seen, peak[..., None], jnp.log(attention.max(1))[..., None]], -1)
        seen = nn.relu(nn.Dense(32)(seen))
        names = self.param("names", nn.initializers.normal(0.1), (NUM_KEYPOINTS, 32))
        bias = self.param("bias", nn.initializers.zeros, (NUM_KEYPOINTS,))
        visibility = jnp.einsum("bkc,kc->bk", seen, names) + bias
        return Keypoints(decode_heat(heat), nn.sigmoid(visibility), heat, visibility, mask)


def _double(x: jax.Array) -> jax.Array:
    """Repeats pixels to twice the size (XLA's transposed convolution is far slower)."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def cell_centres(size: int = HEATMAP_SIZE) -> jax.Array:
    """Returns [size, size, 2], the (u, v) in [-1, 1] of every heat-map cell's centre."""
    line = (jnp.arange(size) + 0.5) / size * 2 - 1
    return jnp.stack(jnp.meshgrid(line, line, indexing="xy"), -1)


def decode_heat(heat: jax.Array, radius: float = 2.5) -> jax.Array:
    """Returns keypoints [B, K, 2] from heat-map logits [B, S, S, K], to a fraction of a cell.

    The expectation is taken near the highest cell only, so a second mode does not pull the point.

    Args:
      heat: [B, S, S, K] logits.
      radius: how far from the highest cell, in cells.
    """
    batch, size, _, keypoints = heat.shape
    flat = heat.reshape(batch, size * size, keypoints)
    centres = cell_centres(size).reshape(-1, 2)
    best = centres[jnp.argmax(flat, 1)]
    distance2 = jnp.sum((centres[None, :, None] - best[:, None]) ** 2, -1)
    near = distance2 <= (radius * 2 / size) ** 2
    weight = jax.nn.softmax(jnp.where(near, flat, -jnp.inf), axis=1)
    return jnp.einsum("bpk,pc->bkc", weight, centres)
