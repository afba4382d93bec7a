"""The generator that all variants share: aligned features in, frame out, in one pass."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from hvc_jax.models.layers import Conv, ResBlock, Up
from hvc_jax.models.reference_encoder import Pyramid
from hvc_jax.ops.warp import depth_to_space


class Generator(nn.Module):
    """Aligned Pyramid -> frame.

        coarse ─► Res ─► Up ─(cat middle)─► Res ─► Up ─(cat fine)─► Res ─► depth-to-space 4
                                                                     │
                 pixels ──────────────────────────► blend by mask ◄──┘─► two thin convs ─► frame

    The blend starts as a copy of the aligned pixels, so an untrained decoder holds the key frame.
    Only a few channels ever exist at full resolution.

    Attributes:
      widths: channels (C0, C1, C2) of the pyramid.
      blocks: residual blocks per scale.
      thin: channels at full resolution.
    """

    widths: tuple[int, int, int]
    blocks: int
    thin: int

    @nn.compact
    def __call__(self, aligned: Pyramid) -> tuple[jax.Array, jax.Array]:
        """The frame and the mask of what was copied.

        Args:
          aligned: features moved to the target frame.

        Returns:
          frame [B, H, W, 3] in [0, 1] (straight-through at the bounds is the loss's concern: the
          values are not clipped here), and mask [B, H, W, 1] in [0, 1], 1 where pixels are copied.
        """
        fine, middle, coarse = self.widths
        x = aligned.coarse
        for _ in range(self.blocks):
            x = ResBlock(coarse)(x)
        x = jnp.concatenate([Up(middle)(x), aligned.middle], -1)
        for _ in range(self.blocks):
            x = ResBlock(middle)(x)
        x = jnp.concatenate([Up(fine)(x), aligned.fine], -1)
        for _ in range(self.blocks):
            x = ResBlock(fine)(x)
        x = nn.silu(nn.RMSNorm()(x))
        painted = depth_to_space(Conv(16 * 3)(x), 4) + 0.5
        mask = nn.sigmoid(depth_to_space(Conv(16, zero=True)(x), 4) + 3.0)
        detail = depth_to_space(Conv(16 * self.thin, 1)(x), 4)
        frame = mask * aligned.pixels + (1 - mask) * painted
        h = nn.silu(Conv(self.thin)(jnp.concatenate([frame - 0.5, detail], -1)))
        return frame + Conv(3, zero=True)(h), mask
