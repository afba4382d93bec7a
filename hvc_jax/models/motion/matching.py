"""Frame and key picture -> compact features of how they differ: the implicit variant's encoder."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from hvc_jax.models.layers import Conv, Down, ResBlock, Up
from hvc_jax.models.motion.attention import attend
from hvc_jax.models.token import at_analysis_size
from hvc_jax.ops.warp import identity_grid, space_to_depth

DESCRIPTOR = 48
"""Channels by which cells of 8x8 pixels are compared."""


class MatchingEncoder(nn.Module):
    """What a frame shows differently from its key picture, as a token.

        frame ─┐                                             ┌─► attention over the key's ─┐
               ├─► 128 px ─► features at 1/4, 1/8, 1/16 ─────┴─ descriptors at 1/8         ├─► Res ─► token
        key ───┘                                   └──── features of both, differences ────┘

    Every cell of the frame looks for itself in the key picture by a softmax over all of its cells
    (global matching; Xu et al., "GMFlow", CVPR 2022, sec. 3.1). What it found, where and how
    surely, is a start that a few convolutions turn into the token.

    Attributes:
      size: numbers of the token, or of a cell of the map.
      cells: along each side of the map that the token is; 0 = it has no places.
      width: channels at a quarter of the analysed size.
      side: shorter side of the analysed pictures, pixels.
    """  # noqa: E501

    size: int
    cells: int
    width: int
    side: int

    @nn.compact
    def __call__(self, frame: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Compare two pictures.

        Args:
          frame: [B, H, W, 3] in [0, 1].
          key: [B, H, W, 3] in [0, 1].

        Returns:
          The token [B, D], of a map by row, column, number; and where cells of the frame look,
          [B, h, w, 2] positions (u, v) in [-1, 1] of the key picture.
        """
        batch = frame.shape[0]
        width, broad = 2 * self.width, 3 * self.width
        pictures = at_analysis_size(jnp.concatenate([frame, key]), self.side)
        quarter = ResBlock(self.width)(Conv(self.width)(space_to_depth(pictures, 4) - 0.5))
        eighth = ResBlock(width)(Down(width)(quarter))
        sixteenth = ResBlock(broad)(Down(broad)(eighth))
        context = jnp.concatenate([eighth, Up(width)(sixteenth)], -1)
        descriptors = Conv(DESCRIPTOR, 1)(nn.silu(nn.RMSNorm()(ResBlock(broad)(context))))
        power = (descriptors**2).sum(-1, keepdims=True)
        descriptors = descriptors * jax.lax.rsqrt(power + 1e-6)
        here, there = descriptors[:batch], descriptors[batch:]
        grid = jnp.broadcast_to(identity_grid(*here.shape[1:3]), (*here.shape[:3], 2))
        sharpness = jnp.exp(self.param("log_sharpness", nn.initializers.constant(2.3), ()))
        nearness = jnp.exp(self.param("log_nearness", nn.initializers.constant(0.0), ()))
        # Of cells that look alike the nearer: the last channels sum up to -nearness * distance^2
        # and a constant.
        distance = (grid**2).sum(-1, keepdims=True)
        near = nearness * jnp.concatenate([2 * grid, -jnp.ones_like(distance)], -1)
        query = jnp.concatenate([sharpness * here, near], -1)
        found = attend(query, jnp.concatenate([there, grid, distance], -1), there)
        both = quarter[:batch], quarter[batch:]
        seen = [
            context[:batch],
            Down(width)(jnp.concatenate([*both, both[0] - both[1]], -1)),
            4 * (found.look - grid),
            (here * found.values).sum(-1, keepdims=True),
            (here * there).sum(-1, keepdims=True),
        ]
        x = ResBlock(broad)(Conv(broad)(jnp.concatenate(seen, -1)))
        x = ResBlock(broad)(Down(broad)(x))
        cells = self.cells or 4  # a token without places is made of so many
        x = jax.image.resize(x, (batch, cells, cells, broad), "linear")
        x = nn.silu(nn.RMSNorm()(ResBlock(broad)(x)))
        if self.cells:
            return Conv(self.size, 1)(x).reshape(batch, -1), found.look
        x = nn.silu(nn.Dense(2 * broad)(x.reshape(batch, -1)))
        return nn.Dense(self.size)(x), found.look
