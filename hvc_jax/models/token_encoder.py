"""Frame -> compact token: some numbers are soft positions in the picture, the others are free."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from hvc_jax.models.layers import Conv, Down, ResBlock
from hvc_jax.ops.warp import identity_grid, space_to_depth


def soft_argmax(logits: jax.Array) -> jax.Array:
    """Expected position under the softmax of each map.

    Args:
      logits: [B, h, w, K].

    Returns:
      [B, K, 2] positions (u, v) in [-1, 1].
    """
    batch, rows, columns, count = logits.shape
    weights = jax.nn.softmax(logits.reshape(batch, rows * columns, count), axis=1)
    grid = identity_grid(rows, columns).reshape(rows * columns, 2)
    return jnp.einsum("bnk,nd->bkd", weights, grid)


class TokenEncoder(nn.Module):
    """Frame -> token.

        frame ─► space-to-depth 4 ─► conv ─► Res ─► Down ─► Res ─┬─► maps ─► soft-argmax ─► 2 K numbers
                                                                  └─► Down ─► Res ─► mean ─► the rest

    The size is that of IMF (Gao et al., CVPR 2024: 16 to 64 numbers from a plain convolutional
    encoder). Its numbers are all free; making some of them positions is what keypoint codecs do
    (first-order motion model) and needs far fewer clips to learn. `points = 0` is plain IMF.

    Attributes:
      size: numbers in the token, D.
      points: soft positions K among them, 2 K <= D.
      width: channels at a quarter of the resolution.
    """  # noqa: E501

    size: int
    points: int
    width: int

    @nn.compact
    def __call__(self, frame: jax.Array) -> jax.Array:
        """The token [B, D] of `frame` [B, H, W, 3] in [0, 1]; positions (u, v) pairs come first."""
        x = Conv(self.width)(space_to_depth(frame, 4) - 0.5)
        x = Down(2 * self.width)(ResBlock(self.width)(x))
        x = ResBlock(2 * self.width)(ResBlock(2 * self.width)(x))
        parts = []
        if self.points:
            context = Down(3 * self.width)(x)
            context = ResBlock(3 * self.width)(ResBlock(3 * self.width)(context))
            up = jnp.repeat(jnp.repeat(Conv(2 * self.width, 1)(context), 2, 1), 2, 2)
            maps = Conv(self.points)(nn.silu(nn.RMSNorm()(x + up)))
            parts.append(soft_argmax(4.0 * maps).reshape(frame.shape[0], 2 * self.points))
        rest = self.size - 2 * self.points
        if rest:
            h = Down(3 * self.width)(x)
            h = Down(4 * self.width)(ResBlock(3 * self.width)(h))
            h = nn.silu(nn.RMSNorm()(h)).mean((1, 2))
            parts.append(nn.Dense(rest)(nn.silu(nn.Dense(4 * self.width)(h))))
        return jnp.concatenate(parts, -1)
