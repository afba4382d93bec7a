"""Explicit 2D motion: a token with keypoints a frame, affine warps of the key frame around them."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from hvc_jax.models.layers import Conv, ResBlock, SpadeBlock, TransformerBlock
from hvc_jax.models.motion.keypoint_warp import (
    AffineMotion,
    LocalAffine,
    SoftMasks,
    warp_by_keypoints,
)
from hvc_jax.models.reference import Pyramid
from hvc_jax.models.token import TokenEncoder, TokenMotion
from hvc_jax.ops.fill import pull_push
from hvc_jax.ops.warp import average_pool, identity_grid


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

        masks, masks x offsets ─(cat sines)─► conv
                                                 │
        all numbers ─► dense ─► scale, shift ─► Res x n ─► motion features

    Sines of the position stand in the place of IMF's learned constant.
    """

    width: int  # channels of the motion features
    blocks: int  # modulated residual blocks

    @nn.compact
    def __call__(self, token: jax.Array, masks: jax.Array, offset: jax.Array) -> jax.Array:
        """Motion features [B, h, w, width] of `token` [B, D]; masks and offset of `SoftMasks`."""
        batch, rows, columns, count = masks.shape
        plane = jnp.broadcast_to(positional_features(rows, columns), (batch, rows, columns, 14))
        placed = (masks[..., None] * offset / 0.3).reshape(batch, rows, columns, 2 * count)
        h = Conv(self.width, 1)(jnp.concatenate([plane, masks, placed], -1))
        code = nn.silu(nn.Dense(2 * self.width)(token))
        for _ in range(self.blocks):
            scale, shift = jnp.split(nn.Dense(2 * self.width)(code)[:, None, None], 2, -1)
            h = ResBlock(self.width)(h * (1 + scale) + shift)
        return h


class Matching(nn.Module):
    """Features for attention: the masks, offsets from the keypoints, and `learned` channels."""

    learned: int

    @nn.compact
    def __call__(self, masks: jax.Array, offset: jax.Array, motion: jax.Array) -> jax.Array:
        """Features [B, h, w, M], near for cells that show the same; `motion` is [B, h, w, C]."""
        owner = jnp.exp(self.param("log_owner", nn.initializers.constant(1.8), (1,)))
        reach = jnp.exp(self.param("log_reach", nn.initializers.constant(-3.0), (1,)))
        root = jnp.sqrt(masks + 1e-6)  # so that squared differences are linear in the masks
        near = (root[..., None] * offset / reach).reshape(*masks.shape[:3], -1)
        learned = nn.Dense(self.learned, kernel_init=nn.initializers.normal(0.02))(motion)
        return jnp.concatenate([owner * root, near, learned], -1)


def attend(query: jax.Array, key: jax.Array, values: jax.Array) -> jax.Array:
    """Values [B, h, w, V] gathered from where matching features agree: softmax(-|q - k|^2) V.

    `query`: [B, h, w, M] of the target frame; `key`: [B, h, w, M] of the key frame.
    """
    batch, rows, columns, channels = query.shape
    q, k = query.reshape(batch, -1, channels), key.reshape(batch, -1, channels)
    # |q|^2 is the same for every key and falls out of the softmax.
    logits = 2 * jnp.einsum("bqc,bkc->bqk", q, k) - jnp.sum(k**2, -1)[:, None]
    values = values.reshape(batch, rows * columns, -1)
    moved = jnp.einsum("bqk,bkv->bqv", jax.nn.softmax(logits, -1), values)
    return moved.reshape(batch, rows, columns, -1)


class KeyParts(NamedTuple):
    """What depends on the key frame alone."""

    still: jax.Array  # [B, H/4, W/4, 1] the share of its background
    background: jax.Array  # [B, H, W, 3] its picture without the person, who is filled from around
    motion: jax.Array  # [B, H/8, W/8, C] motion features of its token
    matching: jax.Array  # [B, H/16, W/16, M] what attention compares with


class KeypointMotion(TokenMotion):
    """Analyse a frame to a token; warp the key frame's features by its keypoints.

        tokens ─► SoftMasks, LocalAffine ─► warp (pixels, fine, middle) ─► SPADE(motion) ─► pixels, fine, middle
           └────► TokenDecoder ─► motion features, of the key frame and of this one
        masks, motion ─► Matching ─► Q, K ─► attention over coarse ─► transformer blocks ──► coarse

    The explicit 2D codecs' motion (FOMM: Siarohin et al., NeurIPS 2019, sec. 3.1; MRAA; CFTE): an
    affine map a keypoint, mixed by soft masks. The linear parts follow from the keypoints instead of
    being sent. Where a keypoint has left, the background around is continued. Attention moves the
    coarse features alone; it is worth .01 dB in the shipped model, whose parameters it is part of.
    """  # noqa: E501

    def setup(self) -> None:
        """Submodules."""
        c = self.config
        _, middle, coarse = self.widths
        self.token_encoder = TokenEncoder(c.token_size, c.points, c.token_width, c.learn_positions)
        # Named as in the parameters of exported models.
        self.ownership = SoftMasks(c.points)
        self.turning = LocalAffine(c.points)
        self.token_decoder = TokenDecoder(c.width, c.blocks)
        self.matching = Matching(c.width // 2)
        self.modulate = SpadeBlock(middle)
        self.motion_to_coarse = Conv(coarse, 1)
        self.transformer = [TransformerBlock(c.heads) for _ in range(c.transformer_blocks)]

    def key_parts(self, features: Pyramid, key_latent: jax.Array) -> KeyParts:
        """What `align` needs of the key frame alone; arguments as there."""
        source = self._positions(key_latent)
        masks, _ = self.ownership(source, *features.fine.shape[1:3])
        behind = pull_push(average_pool(features.pixels, 4), masks[..., -1:] ** 2)
        behind = jax.image.resize(behind, features.pixels.shape, "bilinear")
        motion = self._motion(features, key_latent)
        matching = self._matching(features, source, average_pool(motion, 2))
        return KeyParts(masks[..., -1:], behind, motion, matching)

    def _positions(self, latent: jax.Array) -> jax.Array:
        """[B, K, 2] keypoints of tokens [B, D]."""
        points = self.config.points
        return latent[:, : 2 * points].reshape(len(latent), points, 2)

    def _motion(self, features: Pyramid, latent: jax.Array) -> jax.Array:
        """[B, H/8, W/8, C] motion features of tokens [B, D]."""
        masks = self.ownership(self._positions(latent), *features.middle.shape[1:3])
        return self.token_decoder(latent, *masks)

    def _matching(self, features: Pyramid, positions: jax.Array, motion: jax.Array) -> jax.Array:
        """[B, H/16, W/16, M] what attention compares."""
        return self.matching(*self.ownership(positions, *features.coarse.shape[1:3]), motion)

    def align(
        self,
        features: Pyramid,
        key_latent: jax.Array,
        latent: jax.Array,
        parts: KeyParts | None = None,
    ) -> tuple[Pyramid, dict[str, jax.Array]]:
        """The key frame's features, moved to the frame of `latent`, tokens [B, D] both.

        `parts`: from `key_parts`, where they are known. Returns the aligned Pyramid, and {"warped":
        [B, H, W, 3] its pixels, "background": [B, H/4, W/4, 1] the share of what stands still}.
        """
        parts = self.key_parts(features, key_latent) if parts is None else parts
        target, source = self._positions(latent), self._positions(key_latent)
        affine = AffineMotion(target, source, self.turning(target, source))

        masks, _ = self.ownership(target, *features.fine.shape[1:3])
        # Background that the person covers in the key frame, and no longer in the target.
        left = nn.relu(masks[..., -1:] - parts.still)
        shape = self.ownership.shape
        pixels = warp_by_keypoints(features.pixels, masks, affine, shape)
        shown = jax.image.resize(left, (*pixels.shape[:3], 1), "bilinear")
        pixels += shown * (parts.background - pixels)
        fine = warp_by_keypoints(features.fine, masks, affine, shape) * (1 - left)

        motion, half = self._motion(features, latent), average_pool(masks, 2)
        condition = jnp.concatenate([motion, parts.motion, half], -1)
        middle = warp_by_keypoints(features.middle, half, affine, shape)
        middle = self.modulate(middle, condition)

        motion = average_pool(motion, 2)
        query = self._matching(features, target, motion)
        coarse = attend(query, parts.matching, features.coarse) + self.motion_to_coarse(motion)
        tokens = coarse.reshape(len(coarse), -1, coarse.shape[-1])
        for block in self.transformer:
            tokens = block(tokens)
        aligned = Pyramid(pixels, fine, middle, tokens.reshape(coarse.shape))
        return aligned, {"warped": pixels, "background": masks[..., -1:]}
