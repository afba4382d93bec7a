"""Implicit motion: a learned token per frame, attention over the key frame, no flow field."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from hvc_jax.models.layers import Conv, ResBlock, SpadeBlock, TransformerBlock
from hvc_jax.models.reference_encoder import Pyramid
from hvc_jax.models.token_encoder import TokenEncoder
from hvc_jax.ops.warp import (
    average_pool,
    depth_to_space,
    identity_grid,
    repeat_upsample,
    space_to_depth,
)


def positional_features(height: int, width: int, octaves: int = 3) -> jax.Array:
    """Sines and cosines of pixel positions: [height, width, 4 * octaves + 2], in [-1, 1].

    Positions are relative to the picture, so that a model meets the same values at every size.
    """
    grid = identity_grid(height, width)
    waves = [grid]
    for octave in range(octaves):
        angle = grid * (jnp.pi * 2.0 ** (octave - 1))
        waves += [jnp.sin(angle), jnp.cos(angle)]
    return jnp.concatenate(waves, -1)


class TokenDecoder(nn.Module):
    """Token -> motion features at 1/8 and 1/16 of the picture.

        positions ─► Gaussians and offsets around each, on the grid ─(cat sines)─► conv
                                                                         │
        all numbers ─► dense ─► scale, shift at each block ──────► Res x n ─► middle ─► pool ─► coarse

    In the place of IMF's learned constant stand the sines of the position; where the token has no
    positions (`points = 0`) they alone carry the picture plane, as the constant does there.

    Attributes:
      points: soft positions at the head of the token.
      width: channels of the motion features.
      blocks: modulated residual blocks.
    """  # noqa: E501

    points: int
    width: int
    blocks: int

    @nn.compact
    def __call__(self, token: jax.Array, height: int, width: int) -> tuple[jax.Array, jax.Array]:
        """Motion features of `token` [B, D].

        Args:
          token: [B, D].
          height: rows at 1/8 of the picture, even.
          width: columns at 1/8 of the picture, even.

        Returns:
          [B, height, width, C] and [B, height/2, width/2, C].
        """
        batch = token.shape[0]
        plane = jnp.broadcast_to(positional_features(height, width), (batch, height, width, 14))
        parts = [plane]
        if self.points:
            points = token[:, : 2 * self.points].reshape(batch, 1, 1, self.points, 2)
            offset = identity_grid(height, width)[None, :, :, None] - points
            squared = jnp.sum(offset**2, -1)
            narrow, broad = jnp.exp(-squared / (2 * 0.1**2)), jnp.exp(-squared / (2 * 0.3**2))
            near = (broad[..., None] * offset / 0.3).reshape(batch, height, width, -1)
            parts += [narrow, broad, near]
        h = Conv(self.width, 1)(jnp.concatenate(parts, -1))
        code = nn.silu(nn.Dense(2 * self.width)(token))
        for _ in range(self.blocks):
            scale, shift = jnp.split(nn.Dense(2 * self.width)(code)[:, None, None], 2, -1)
            h = ResBlock(self.width)(h * (1 + scale) + shift)
        return h, Conv(self.width, 1)(average_pool(h, 2))


class CrossAttention(nn.Module):
    """Values of the key frame, gathered where its motion features match the current ones.

    softmax(Q K^T / sqrt(d) - tau |p - q|^2) V per head, with a learned locality tau per head.

    Attributes:
      heads: attention heads; divides the width of the motion features and of the values.
    """

    heads: int

    @nn.compact
    def __call__(self, current: jax.Array, key: jax.Array, values: jax.Array) -> jax.Array:
        """Attended values.

        Args:
          current: [B, h, w, C] motion features of the target frame (queries).
          key: [B, h, w, C] motion features of the key frame (keys).
          values: [B, h, w, V] appearance features of the key frame.

        Returns:
          [B, h, w, V].
        """
        batch, rows, columns, channels = current.shape
        tokens, depth = rows * columns, channels // self.heads
        plane = jnp.broadcast_to(positional_features(rows, columns), (batch, rows, columns, 14))

        def project(features: jax.Array, name: str) -> jax.Array:
            features = nn.RMSNorm(name=f"{name}_norm")(features)
            features = jnp.concatenate([features, plane], -1)
            projected = nn.Dense(channels, use_bias=False, name=name)(features)
            return projected.reshape(batch, tokens, self.heads, depth)

        q, k = project(current, "query"), project(key, "key")
        place = identity_grid(rows, columns).reshape(tokens, 2)
        squared = jnp.sum((place[:, None] - place[None]) ** 2, -1)
        tau = nn.softplus(self.param("locality", nn.initializers.constant(8.0), (self.heads,)))
        logits = jnp.einsum("bqhd,bkhd->bhqk", q, k) / jnp.sqrt(depth)
        weights = jax.nn.softmax(logits - tau[:, None, None] * squared, axis=-1)
        values = values.reshape(batch, tokens, self.heads, -1)
        return jnp.einsum("bhqk,bkhv->bqhv", weights, values).reshape(batch, rows, columns, -1)


class ImplicitMotion(nn.Module):
    """Analyse a frame to a token; align the key frame's features to it by attention.

        key token ─► TokenDecoder ─► K ┐
        token ─────► TokenDecoder ─► Q ├─► cross-attention over (middle, fine patches) ─► gate ─► SPADE ─► middle, fine
                     (shared weights)  └─► cross-attention over coarse ─► gate ─► transformer blocks ──► coarse

    Where the gate is open the key frame's features stay as they are, which keeps backgrounds.
    Chen et al. (IMT, arXiv 2506.10453) publish no layers; the structure follows the nearest
    specified relative, Implicit Motion Function (Gao et al., CVPR 2024, sec. 3), with attention
    weights of the 1/8 scale reused for the finer features.

    Attributes:
      config: motion block of the model config.
      widths: channels (C0, C1, C2) of the pyramid.
    """  # noqa: E501

    config: ml_collections.FrozenConfigDict
    widths: tuple[int, int, int]

    def setup(self) -> None:
        """Submodules."""
        c = self.config
        fine, middle, coarse = self.widths
        self.token_encoder = TokenEncoder(c.token_size, c.points, c.token_width)
        self.token_decoder = TokenDecoder(c.points, c.width, c.blocks)
        self.attend_middle, self.attend_coarse = CrossAttention(1), CrossAttention(c.heads)
        self.gate_in, self.gate_out = Conv(c.width), Conv(1, zero=True)
        self.modulate = SpadeBlock(middle)
        self.motion_to_coarse = Conv(coarse, 1)
        self.transformer = [TransformerBlock(c.heads) for _ in range(c.transformer_blocks)]

    def analyse(self, frames: jax.Array, body: jax.Array) -> jax.Array:
        """The token [B, D] of frames [B, H, W, 3]; the body is not looked at."""
        del body
        return self.token_encoder(frames)

    def align(
        self, features: Pyramid, key_latent: jax.Array, latent: jax.Array
    ) -> tuple[Pyramid, dict[str, jax.Array]]:
        """The key frame's features, moved to the frame of `latent`.

        Args:
          features: Pyramid of the key picture.
          key_latent: [B, D] token of the key frame.
          latent: [B, D] token of the target frame.

        Returns:
          Aligned Pyramid (its pixels are the key picture's own), and {"gate": [B, h, w, 1]}, 1
          where the key frame's features stay.
        """
        rows, columns = features.middle.shape[1:3]
        key_middle, key_coarse = self.token_decoder(key_latent, rows, columns)
        now_middle, now_coarse = self.token_decoder(latent, rows, columns)

        change = jnp.concatenate([now_middle, key_middle, now_middle - key_middle], -1)
        gate = nn.sigmoid(self.gate_out(nn.silu(self.gate_in(change))))

        patches = space_to_depth(features.fine, 2)
        split = features.middle.shape[-1]
        attended = self.attend_middle(
            now_middle, key_middle, jnp.concatenate([features.middle, patches], -1)
        )
        middle = gate * features.middle + (1 - gate) * attended[..., :split]
        fine_gate = repeat_upsample(gate, 2)
        fine = fine_gate * features.fine + (1 - fine_gate) * depth_to_space(
            attended[..., split:], 2
        )

        coarse_gate = average_pool(gate, 2)
        coarse = self.attend_coarse(now_coarse, key_coarse, features.coarse)
        coarse = coarse_gate * features.coarse + (1 - coarse_gate) * coarse
        shape = coarse.shape
        tokens = (coarse + self.motion_to_coarse(now_coarse)).reshape(shape[0], -1, shape[-1])
        for block in self.transformer:
            tokens = block(tokens)
        middle = self.modulate(middle, jnp.concatenate([now_middle, gate], -1))
        return Pyramid(features.pixels, fine, middle, tokens.reshape(shape)), {"gate": gate}
