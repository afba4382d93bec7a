"""Keypoints of a person as heat maps (Simple Baselines, Xiao et al., ECCV 2018)."""

from __future__ import annotations

import flax.linen as nn
import jax

from hvc_jax.ops.warp import repeat_upsample

NUM_KEYPOINTS = 17


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
    """A small hourglass from pictures to keypoints; `widths` at 1/4, 1/8 and 1/16 of the size."""

    widths: tuple[int, int, int] = (32, 64, 128)

    @nn.compact
    def __call__(self, pictures: jax.Array) -> jax.Array:
        """Returns heat-map logits [B, H / 4, W / 4, 17] of pictures [B, H, W, 3] in [0, 1]."""
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
        x = repeat_upsample(nn.Dense(middle)(x), 2) + skip_middle
        x = ResidualBlock()(x)
        x = repeat_upsample(nn.Dense(fine)(x), 2) + skip_fine
        x = ResidualBlock()(x)
        x = nn.relu(nn.GroupNorm(num_groups=8)(x))
        # One map more than keypoints, which nothing uses: shipped parameters have it.
        return nn.Conv(NUM_KEYPOINTS + 1, (1, 1))(x)[..., :NUM_KEYPOINTS]
