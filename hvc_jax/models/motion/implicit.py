"""Implicit motion: compact features of a frame guide attention over the key picture."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from hvc_jax.models.layers import Conv, Down, ResBlock, TransformerBlock
from hvc_jax.models.motion.attention import CrossAttention
from hvc_jax.models.motion.matching import MatchingEncoder
from hvc_jax.models.motion.patches import adaptive_convolution, blend_picture, cut_picture
from hvc_jax.models.motion.token_decoder import TokenDecoder
from hvc_jax.models.reference import Pyramid
from hvc_jax.models.token import TokenMotion
from hvc_jax.ops.warp import average_pool, bilinear_upsample, repeat_upsample

CELLS = (32, 16, 8, 4)
"""Pixels along the side of a cell, by scale, coarsest first."""
HALO = 2
"""Pixels that patches at the two finest scales reach beyond their cells."""
TAPS = 5
"""Of each pixel's own kernels, down and across."""


class ImplicitMotion(TokenMotion):
    """Compare a frame with its key picture; align the key's features by attention alone.

        token ─► TokenDecoder ─► motion features at 1/32 ... 1/4 of the picture ─(+ coarser)─► Q ─────┐
        key's features, positions ────────────────────────────────────────────────────────────► K ────┤
        key's features; at 1/8 and 1/4 its pixels, as patches of 12x12 and 8x8 that overlap ──► V ────┴─► moved
        moved, motion ─► transformer blocks at 1/32 and 1/16 ─► aligned; the finer scale's motion sees it
        picture = softmax of {patches at 1/4 blended, at 1/8 blended, key picture}, by pixel
        pixels = picture under kernels of 5x5 taps, of each pixel's own

    After Implicit Motion Function (Gao et al., CVPR 2024, sec. 3), the nearest specified relative of
    IMT (Chen et al., arXiv 2506.10453), which publishes no layers. There is no sampling grid: every
    cell is a mean of cells of the key picture, of all of them but at 1/4 of the picture. Unlike IMF's,
    the token says how the frame differs from the key picture, since the encoder has both; keys show
    the key picture's features; and the finest values are pixels, since the generator here works on
    pixels.
    """  # noqa: E501

    def setup(self) -> None:
        """Submodules, one of each for a scale, coarsest first."""
        c = self.config
        fine, middle, coarse = self.widths
        size = c.map_channels if c.map_side else c.token_size
        self.token_encoder = MatchingEncoder(size, c.map_side, c.token_width, c.side)
        self.token_decoder = TokenDecoder(tuple(c.motion_widths), c.style, c.map_side)
        self.coarsest = Down(coarse)
        out = (coarse, coarse, middle, fine)
        self.from_coarser = [Conv(n, 1) for n in c.motion_widths[1:]]
        self.look = [ResBlock(n) for n in c.motion_widths[:2]]
        self.attention = [
            CrossAttention(c.match_width, c.null_keys, c.key_dropout, side)
            for side in (0, 0, 0, c.window)
        ]
        self.from_moved = [Conv(n, 1) for n in out]
        self.from_motion = [Conv(n, 1) for n in out]
        self.blocks = [
            [TransformerBlock(c.heads) for _ in range(count)] for count in c.transformer_blocks
        ]
        self.mixing = Conv(16)
        self.mix = Conv(3 + 2 * TAPS, 1, zero=True)

    relative: ClassVar[bool] = True
    """Latents say how frames differ from their key picture; the key frame's is zero."""

    def analyse(self, frames: jax.Array, key: jax.Array, body: jax.Array) -> jax.Array:
        """The token [B, D] of frames [B, H, W, 3] beside their key pictures; no body is needed."""
        del body
        token, look = self.token_encoder(frames, key)
        self.sow("looks", "analysis", look)
        return token

    def align(
        self, features: Pyramid, key_latent: jax.Array, latent: jax.Array
    ) -> tuple[Pyramid, dict[str, jax.Array]]:
        """The key picture's features, moved to the frame of `latent`.

        Args:
          features: Pyramid of the key picture.
          key_latent: [B, D] of the key frame, zero; tokens are relative to the key picture.
          latent: [B, D] token of the target frame.

        Returns:
          Aligned Pyramid, and by scale, coarsest first: {"warped": [B, H, W, 3] its pixels,
          "attended_i": [B, h, w, 3] the key picture's colours as attention moves them, "look_i":
          [B, h, w, 2] and "found_i": [B, h, w, 1] of `Attended`}.
        """
        del key_latent
        height, width = features.pixels.shape[1:3]
        motions = self.token_decoder(latent, height // 32, width // 32)
        sources = [self.coarsest(features.coarse), features.coarse, features.middle, features.fine]
        aux: dict[str, jax.Array] = {}
        aligned: list[jax.Array] = []
        candidates = [features.pixels]
        for i, (cell, source, motion) in enumerate(zip(CELLS, sources, motions, strict=True)):
            values = source if i < 2 else cut_picture(features.pixels, cell, HALO)
            if aligned:
                motion += self.from_coarser[i - 1](repeat_upsample(aligned[-1], 2))  # noqa: PLW2901
            if i < 2:
                motion = self.look[i](motion)  # noqa: PLW2901
            colours = average_pool(features.pixels, cell)
            found = self.attention[i](motion, source, jnp.concatenate([colours, values], -1))
            moved = found.values[..., 3:]
            aux |= {f"attended_{i}": found.values[..., :3]}
            aux |= {f"look_{i}": found.look, f"found_{i}": found.found}
            if i > 1:
                candidates.append(blend_picture(moved, cell, HALO))
            x = self.from_moved[i](moved) + self.from_motion[i](motion)
            tokens = x.reshape(x.shape[0], -1, x.shape[-1])
            for block in self.blocks[i]:
                tokens = block(tokens)
            aligned.append(tokens.reshape(x.shape))
        mix = self.mix(nn.silu(self.mixing(aligned[3])))
        mix = bilinear_upsample(bilinear_upsample(mix))
        share = nn.softmax(mix[..., :3] + jnp.array([0.0, 0.0, 1.0]), -1)
        pixels = sum(share[..., i : i + 1] * x for i, x in enumerate(candidates))
        pixels = adaptive_convolution(pixels, mix[..., 3 : 3 + TAPS], mix[..., 3 + TAPS :])
        return Pyramid(pixels, aligned[3], aligned[2], aligned[1]), aux | {"warped": pixels}
