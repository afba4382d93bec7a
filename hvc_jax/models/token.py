"""Frame -> compact token: some numbers are soft positions in the picture, the others are free."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from hvc_jax.models.keypoint_network import KeypointNet
from hvc_jax.models.layers import Conv, Down, ResBlock
from hvc_jax.ops.warp import identity_grid, space_to_depth
from hvc_jax.stream.schema import Schema, token_schema

ANALYSIS_SIDE = 128

# Of the 17 COCO keypoints, those that a token carries first: the nose, shoulders, elbows, wrists,
# hips, knees and ankles; then eyes and ears.
POSITIONS = np.array([0, *range(5, 17), 1, 2, 3, 4])


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


def at_analysis_size(frames: jax.Array, side: int = ANALYSIS_SIDE) -> jax.Array:
    """Frames [B, H, W, 3] with the shorter side scaled to about `side`, both multiples of 32.

    Positions need no more, and the encoder meets people of the same size in pixels at every
    resolution.
    """
    height, width = frames.shape[1:3]
    scale = side / min(height, width) / 32
    size = [32 * max(1, round(n * scale)) for n in (height, width)]
    return jax.image.resize(frames, (frames.shape[0], *size, frames.shape[3]), "linear")


class TokenEncoder(nn.Module):
    """Frame -> token.

        frame ─► 128 px ─┬─► KeypointNet ─► heat maps ─► soft-argmax ─► 2 K numbers
                         └─► space-to-depth 4 ─► conv ─► (Down ─► Res) x 2 ─► Down ─► mean ─► the rest

    The size is that of IMF (Gao et al., CVPR 2024: 16 to 64 numbers from a plain convolutional
    encoder). Its numbers are all free; making some of them positions is what keypoint codecs do
    (first-order motion model) and needs far fewer clips to learn.

    Attributes:
      size: numbers in the token, D.
      points: soft positions K among them, 1 <= K <= 17 and 2 K <= D.
      width: channels at a quarter of the analysed size, for the free numbers.
      learn_positions: whether the positions' network learns; it costs as much as the decoder.
    """  # noqa: E501

    size: int
    points: int
    width: int
    learn_positions: bool

    @nn.compact
    def __call__(self, frame: jax.Array) -> jax.Array:
        """The token [B, D] of `frame` [B, H, W, 3] in [0, 1]; positions (u, v) pairs come first."""
        frame = at_analysis_size(frame)
        heat = KeypointNet(name="keypoints")(frame)
        heat = heat[..., POSITIONS[: self.points]]
        positions = soft_argmax(heat).reshape(frame.shape[0], 2 * self.points)
        parts = [positions if self.learn_positions else jax.lax.stop_gradient(positions)]
        rest = self.size - 2 * self.points
        if rest:
            h = Conv(self.width)(space_to_depth(frame, 4) - 0.5)
            h = ResBlock(2 * self.width)(Down(2 * self.width)(h))
            h = ResBlock(3 * self.width)(Down(3 * self.width)(h))
            h = nn.silu(nn.RMSNorm()(Down(4 * self.width)(h)))
            h = h.mean((1, 2))  # beside positions the rest says what, not where
            parts.append(nn.Dense(rest)(nn.silu(nn.Dense(4 * self.width)(h))))
        return jnp.concatenate(parts, -1)


class TokenMotion(nn.Module):
    """What motion models that send a token have in common; they have a `token_encoder`.

    Attributes:
      config: motion block of the model config.
      widths: channels (C0, C1, C2) of the pyramid.
    """

    config: ml_collections.FrozenConfigDict
    widths: tuple[int, int, int]

    @staticmethod
    def latent_schema(config: ml_collections.ConfigDict) -> Schema:
        """The schema of the token: so many numbers, or a map of cells."""
        side = config.get("map_side", 0)
        size = side**2 * config.map_channels if side else config.token_size
        return token_schema(size, config.initial_step)

    def analyse(self, frames: jax.Array, key: jax.Array, body: jax.Array) -> jax.Array:
        """The token [B, D] of frames [B, H, W, 3] in [0, 1]; nothing else is looked at."""
        del key, body
        return self.token_encoder(frames)
