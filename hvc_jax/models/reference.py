"""Features of the key picture, computed once per key frame and cached."""

from typing import NamedTuple

import flax.linen as nn
import jax

from hvc_jax.models.layers import Conv, Down, ResBlock
from hvc_jax.ops.warp import space_to_depth


class Pyramid(NamedTuple):
    """A picture and features of it at three scales; also what a motion model hands on, aligned."""

    pixels: jax.Array  # [B, H, W, 3] in [0, 1]
    fine: jax.Array  # [B, H/4, W/4, C0]
    middle: jax.Array  # [B, H/8, W/8, C1]
    coarse: jax.Array  # [B, H/16, W/16, C2]


class ReferenceEncoder(nn.Module):
    """Key picture -> Pyramid.

        key ─► space-to-depth 4 ─► conv ─► Res ─► fine ─► Down ─► Res ─► middle ─► Down ─► Res ─► coarse

    No convolution runs at full resolution: pixels move to channels first.

    `widths`: channels (C0, C1, C2); `blocks`: residual blocks per scale.
    """  # noqa: E501

    widths: tuple[int, int, int]
    blocks: int

    @nn.compact
    def __call__(self, key: jax.Array) -> Pyramid:
        """Features of `key` [B, H, W, 3] in [0, 1], H and W multiples of 32."""
        x = Conv(self.widths[0])(space_to_depth(key, 4) - 0.5)
        scales = []
        for i, width in enumerate(self.widths):
            if i:
                x = Down(width)(x)
            for _ in range(self.blocks):
                x = ResBlock(width)(x)
            scales.append(x)
        return Pyramid(key, *scales)
