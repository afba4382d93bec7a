"""The generator that all variants share: aligned features in, frame out, in one pass."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from hvc_jax.models.layers import Conv, ResBlock, Up
from hvc_jax.models.reference import Pyramid
from hvc_jax.ops.warp import depth_to_space, repeat_upsample, space_to_depth


class Generator(nn.Module):
    """Aligned Pyramid -> frame.

        coarse ─► Res ─► Up ─(cat middle)─► Res ─► Up ─(cat fine, pixels)─► Res ─┬─► mask
                                                                                 └─► paint
        blocks = mask * pixels + paint
        blocks, features at 1/2 ─► conv3 ─► conv3 ─(+ blocks)─► frame

    An untrained decoder holds the aligned pixels: the mask starts at .993, the paint at zero.
    No convolution runs at full resolution: pixels enter as 4x4 blocks in the channels, where a CPU
    convolves several times faster than over a few channels at full size. Neighbouring blocks are
    painted independently of each other, which shows as a faint grid; two small convolutions over
    the assembled picture, as 2x2 blocks, take it away.
    """

    widths: tuple[int, int, int]  # channels (C0, C1, C2) of the pyramid
    blocks: int  # residual blocks per scale
    # share of the change to the aligned pixels that is shown. Models of format 1 were trained at 1
    # and are shown at .5; new ones are shown as they are trained.
    strength: float = 1.0

    @nn.compact
    def __call__(self, aligned: Pyramid) -> tuple[jax.Array, jax.Array]:
        """The frame [B, H, W, 3], around [0, 1] and not clipped, and the mask of what was copied.

        It is [B, H, W, 1] in [0, 1], 1 where the aligned pixels are copied.
        """
        fine, middle, coarse = self.widths
        pixels = space_to_depth(aligned.pixels, 4) - 0.5
        x = aligned.coarse
        for _ in range(self.blocks):
            x = ResBlock(coarse)(x)
        x = jnp.concatenate([Up(middle)(x), aligned.middle], -1)
        for _ in range(self.blocks):
            x = ResBlock(middle)(x)
        x = jnp.concatenate([Up(fine)(x), aligned.fine, pixels], -1)
        for _ in range(self.blocks):
            x = ResBlock(fine)(x)
        x = nn.silu(nn.RMSNorm()(x))
        # That began at 0, a mask of .88: after 900 steps LPIPS was still worse than of the pixels.
        mask = nn.sigmoid(Conv(16, zero=True, bias=3.0)(x) + 2.0)
        copied = pixels.reshape(*mask.shape, 3) * mask[..., None]
        frame = depth_to_space(copied.reshape(pixels.shape) + Conv(48, zero=True)(x), 4)
        blocks = space_to_depth(frame, 2)
        detail = jnp.concatenate([blocks, depth_to_space(Conv(4 * 16, 1)(x), 2)], -1)
        blocks += Conv(12, zero=True)(nn.silu(Conv(16)(detail)))
        frame = 0.5 + depth_to_space(blocks, 2)
        if self.strength != 1.0:
            frame = aligned.pixels + self.strength * (frame - aligned.pixels)
        return frame, repeat_upsample(mask.mean(-1, keepdims=True), 4)
