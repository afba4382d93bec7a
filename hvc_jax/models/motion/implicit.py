"""Implicit motion: compact features of a frame guide attention over the key picture."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from hvc_jax.models.layers import Conv, Down, ResBlock, TransformerBlock
from hvc_jax.models.motion.attention import CrossAttention
from hvc_jax.models.motion.matching import MatchingEncoder
from hvc_jax.models.motion.token_decoder import TokenDecoder
from hvc_jax.models.reference import Pyramid
from hvc_jax.models.token import TokenMotion
from hvc_jax.ops.warp import average_pool, depth_to_space, repeat_upsample, space_to_depth


class ImplicitMotion(TokenMotion):
    """Compare a frame with its key picture; align the key's features by attention alone.

        token ─► TokenDecoder ─► motion features at 1/32 ... 1/4 of the picture ─(cat coarser)─► Res ─► Q ─┐
        key's features, positions ──────────────────────────────────────────────────────────────► K ─┤
        key's features, colours; at 1/8 and 1/4 its pixels as blocks of 8x8, 4x4 ──────────────► V ─┴─► moved
        moved, motion ─► transformer blocks ─► Res ─► aligned; the finer scale's motion sees it
        pixels = softmax of {moved blocks of 4x4, moved blocks of 8x8, key picture}, by cell

    After Implicit Motion Function (Gao et al., CVPR 2024, sec. 3), the nearest specified relative of
    IMT (Chen et al., arXiv 2506.10453), which publishes no layers. There is no sampling grid: every
    cell is a mean of cells of the key picture, of all of them but at 1/4 of the picture. Unlike IMF's,
    the token says how the frame differs from the key picture, since the encoder has both; keys show
    the key picture's features; and values hold the pixels of their cells too, since the generator
    here works on pixels.
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
        self.look = [ResBlock(n) for n in c.motion_widths]
        self.attention = [
            CrossAttention(c.match_width, c.null_keys, c.key_dropout, side)
            for side in (0, 0, 0, c.window)
        ]
        self.from_moved = [Conv(n, 1) for n in out]
        self.from_motion = [Conv(n, 1) for n in out]
        self.blocks = [
            [TransformerBlock(c.heads) for _ in range(count)] for count in c.transformer_blocks
        ]
        self.refine = [ResBlock(n) for n in out]
        self.choice = Conv(3, 1, zero=True)

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
        blocks: list[jax.Array] = []
        for i, (source, motion) in enumerate(zip(sources, motions, strict=True)):
            cell = 32 >> i
            values = [source, average_pool(features.pixels, cell)]
            if i > 1:
                values.append(space_to_depth(features.pixels, cell) - 0.5)
            if aligned:
                motion = jnp.concatenate([motion, repeat_upsample(aligned[-1], 2)], -1)  # noqa: PLW2901
            motion = self.look[i](motion)  # noqa: PLW2901
            found = self.attention[i](motion, source, jnp.concatenate(values, -1))
            depth = source.shape[-1]
            moved = found.values[..., :depth]
            aux |= {f"attended_{i}": found.values[..., depth : depth + 3]}
            aux |= {f"look_{i}": found.look, f"found_{i}": found.found}
            blocks.append(found.values[..., depth + 3 :])
            x = self.from_moved[i](moved) + self.from_motion[i](motion)
            tokens = x.reshape(x.shape[0], -1, x.shape[-1])
            for block in self.blocks[i]:
                tokens = block(tokens)
            aligned.append(self.refine[i](tokens.reshape(x.shape)))
        share = nn.softmax(self.choice(aligned[3]) + jnp.array([1.0, 0.0, 0.0]), -1)
        share = repeat_upsample(share, 4)
        fine, middle = (depth_to_space(blocks[3 - i] + 0.5, 4 << i) for i in (0, 1))
        pixels = share[..., :1] * fine + share[..., 1:2] * middle + share[..., 2:] * features.pixels
        return Pyramid(pixels, aligned[3], aligned[2], aligned[1]), aux | {"warped": pixels}
