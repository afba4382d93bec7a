"""Implicit motion: a learned token per frame, attention over the key frame, no flow field."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from hvc_jax.models.layers import Conv, ResBlock, SpadeBlock, TransformerBlock
from hvc_jax.models.motion.keypoint_warp import Ownership, Placement, Turning, carry
from hvc_jax.models.reference import Pyramid
from hvc_jax.models.token import TokenEncoder
from hvc_jax.ops.fill import pull_push
from hvc_jax.ops.warp import average_pool, identity_grid
from hvc_jax.stream.schema import Schema, token_schema


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
    """Token -> motion features on a grid over the picture.

        shares, shares x offsets ─(cat sines)─► conv
                                                 │
        all numbers ─► dense ─► scale, shift ─► Res x n ─► motion features

    In the place of IMF's learned constant stand the sines of the position; where the token has no
    positions they alone carry the picture plane, as the constant does there.

    Attributes:
      width: channels of the motion features.
      blocks: modulated residual blocks.
    """

    width: int
    blocks: int

    @nn.compact
    def __call__(self, token: jax.Array, share: jax.Array, offset: jax.Array) -> jax.Array:
        """Motion features [B, h, w, width].

        Args:
          token: [B, D].
          share: [B, h, w, K + 1] of `Ownership`.
          offset: [B, h, w, K + 1, 2] of `Ownership`.
        """
        batch, rows, columns, owners = share.shape
        plane = jnp.broadcast_to(positional_features(rows, columns), (batch, rows, columns, 14))
        placed = (share[..., None] * offset / 0.3).reshape(batch, rows, columns, 2 * owners)
        h = Conv(self.width, 1)(jnp.concatenate([plane, share, placed], -1))
        code = nn.silu(nn.Dense(2 * self.width)(token))
        for _ in range(self.blocks):
            scale, shift = jnp.split(nn.Dense(2 * self.width)(code)[:, None, None], 2, -1)
            h = ResBlock(self.width)(h * (1 + scale) + shift)
        return h


class Matching(nn.Module):
    """What tells places apart: who owns them, where they lie from there, and what is learned.

    Attributes:
      learned: channels of the learned part.
    """

    learned: int

    @nn.compact
    def __call__(self, share: jax.Array, offset: jax.Array, motion: jax.Array) -> jax.Array:
        """Features [B, h, w, M], close for places that show the same.

        Args:
          share: [B, h, w, K + 1] of `Ownership`.
          offset: [B, h, w, K + 1, 2] of `Ownership`.
          motion: [B, h, w, C] motion features.
        """
        owner = jnp.exp(self.param("log_owner", nn.initializers.constant(1.8), (1,)))
        reach = jnp.exp(self.param("log_reach", nn.initializers.constant(-3.0), (1,)))
        root = jnp.sqrt(share + 1e-6)  # so that squared differences are linear in the shares
        near = (root[..., None] * offset / reach).reshape(*share.shape[:3], -1)
        learned = nn.Dense(self.learned, kernel_init=nn.initializers.normal(0.02))(motion)
        return jnp.concatenate([owner * root, near, learned], -1)


def attend(query: jax.Array, key: jax.Array, values: jax.Array) -> jax.Array:
    """Values gathered from where the matching features agree: softmax(-|q - k|^2) V.

    Args:
      query: [B, h, w, M] matching features of the target frame.
      key: [B, h, w, M] matching features of the key frame.
      values: [B, h, w, V] of the key frame.

    Returns:
      [B, h, w, V].
    """
    batch, rows, columns, channels = query.shape
    q, k = query.reshape(batch, -1, channels), key.reshape(batch, -1, channels)
    # |q|^2 is the same for every key and falls out of the softmax.
    logits = 2 * jnp.einsum("bqc,bkc->bqk", q, k) - jnp.sum(k**2, -1)[:, None]
    values = values.reshape(batch, rows * columns, -1)
    moved = jnp.einsum("bqk,bkv->bqv", jax.nn.softmax(logits, -1), values)
    return moved.reshape(batch, rows, columns, -1)


class KeypointMotion(nn.Module):
    """Analyse a frame to a token; align the key frame's features to it. There is no flow field.

        tokens ─► Ownership, Turning ─► carry(pixels, fine, middle) ─► SPADE(motion) ─► pixels, fine, middle
           └────► TokenDecoder ─► motion features, of the key frame and of this one
        shares, motion ─► Matching ─► Q, K ─► attention over coarse ─► transformer blocks ──► coarse

    Each position carries a copy of the key picture along, turned as its neighbours have turned, and
    what lies around it takes most of that copy; the coarse features move by attention, which can
    look anywhere. Places that a position has left show the background around them, continued.
    Chen et al. (IMT, arXiv 2506.10453) publish no layers; the structure follows Implicit Motion
    Function (Gao et al., CVPR 2024, sec. 3), its nearest specified relative. There attention moves
    every scale; at 1/8 it moves cells of 8 pixels, and a picture of such cells looks worse than one
    that stands still, so that training unlearns motion. Copies that turn about positions are how
    first-order motion models move pictures (Siarohin et al., NeurIPS 2019, sec. 3.1), which send
    the linear maps; here they follow from the positions.

    Attributes:
      config: motion block of the model config.
      widths: channels (C0, C1, C2) of the pyramid.
    """  # noqa: E501

    config: ml_collections.FrozenConfigDict
    widths: tuple[int, int, int]

    def setup(self) -> None:
        """Submodules."""
        c = self.config
        _, middle, coarse = self.widths
        self.token_encoder = TokenEncoder(c.token_size, c.points, c.token_width, c.learn_positions)
        self.ownership = Ownership(c.points)
        self.turning = Turning(c.points)
        self.token_decoder = TokenDecoder(c.width, c.blocks)
        self.matching = Matching(c.width // 2)
        self.modulate = SpadeBlock(middle)
        self.motion_to_coarse = Conv(coarse, 1)
        self.transformer = [TransformerBlock(c.heads) for _ in range(c.transformer_blocks)]

    @staticmethod
    def latent_schema(config: ml_collections.ConfigDict) -> Schema:
        """The schema of the token."""
        return token_schema(config.token_size, config.initial_step)

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
          Aligned Pyramid, and {"warped": [B, H, W, 3] its pixels, "background": [B, H/4, W/4, 1]
          the share of what stands still}.
        """
        batch, points = latent.shape[0], self.config.points
        here = latent[:, : 2 * points].reshape(batch, points, 2)
        there = key_latent[:, : 2 * points].reshape(batch, points, 2)
        placement = Placement(here, there, self.turning(here, there))

        share, _ = self.ownership(here, *features.fine.shape[1:3])
        key_share, _ = self.ownership(there, *features.fine.shape[1:3])
        # Where nobody is any longer the key frame shows somebody, and not what was behind.
        left = nn.relu(share[..., -1:] - key_share[..., -1:])
        behind = pull_push(average_pool(features.pixels, 4), key_share[..., -1:] ** 2)
        reach = self.ownership.reach
        pixels = carry(features.pixels, share, placement, reach)
        behind = jax.image.resize(behind, pixels.shape, "bilinear")
        pixels += jax.image.resize(left, (*pixels.shape[:3], 1), "bilinear") * (behind - pixels)
        fine = carry(features.fine, share, placement, reach) * (1 - left)

        rows, columns = features.middle.shape[1:3]
        motion, key_motion = (
            self.token_decoder(token, *self.ownership(positions, rows, columns))
            for token, positions in ((latent, here), (key_latent, there))
        )
        condition = jnp.concatenate([motion, key_motion, average_pool(share, 2)], -1)
        middle = carry(features.middle, average_pool(share, 2), placement, reach)
        middle = self.modulate(middle, condition)

        motion, key_motion = average_pool(motion, 2), average_pool(key_motion, 2)
        query, key = (
            self.matching(*self.ownership(positions, rows // 2, columns // 2), of)
            for positions, of in ((here, motion), (there, key_motion))
        )
        coarse = attend(query, key, features.coarse) + self.motion_to_coarse(motion)
        tokens = coarse.reshape(batch, -1, coarse.shape[-1])
        for block in self.transformer:
            tokens = block(tokens)
        aligned = Pyramid(pixels, fine, middle, tokens.reshape(coarse.shape))
        return aligned, {"warped": pixels, "background": share[..., -1:]}
