"""Implicit motion: compact features of a frame guide attention over the key picture."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from hvc_jax.models.layers import Conv, Down, ResBlock, TransformerBlock, Up
from hvc_jax.models.motion.attention import CrossAttention
from hvc_jax.models.motion.token_decoder import TokenDecoder
from hvc_jax.models.reference import Pyramid
from hvc_jax.models.token import MapEncoder, TokenEncoder, TokenMotion
from hvc_jax.ops.warp import average_pool, depth_to_space, repeat_upsample, space_to_depth


class ImplicitMotion(TokenMotion):
    """Analyse a frame to a token; align the key picture's features to it by attention alone.

        token ─► TokenDecoder ─► motion features at 1/32 ... 1/4 of the picture ──► Q ─┐
        key's token ─► the same ────────────────────────────────────────────────► K ─┤
        key's features, colours; at 1/4 its pixels as 4x4 blocks ───────────────► V ─┴─► moved
        moved, motion, (coarser scale) ─► transformer blocks or a residual block ─► aligned

    After Implicit Motion Function (Gao et al., CVPR 2024, sec. 3), the nearest specified relative of
    IMT (Chen et al., arXiv 2506.10453), which publishes no layers. There is no sampling grid: every
    cell is a mean of all cells of the key picture, weighted by how motion features agree. Unlike
    IMF's, values hold the pixels of their cells too, since the generator here works on pixels, and
    a gate, which begins half open, lets the unmoved key picture through.
    """  # noqa: E501

    def setup(self) -> None:
        """Submodules, one of each for a scale, coarsest first."""
        c = self.config
        fine, middle, coarse = self.widths
        if c.map_side:
            self.token_encoder = MapEncoder(c.map_side, c.map_channels, c.token_width, c.side)
        else:
            self.token_encoder = TokenEncoder(c.token_size, 0, c.token_width, True, c.side)
        self.token_decoder = TokenDecoder(tuple(c.motion_widths), c.style, c.map_side)
        self.coarsest = Down(coarse)
        out = (coarse, coarse, middle, fine)
        window = (0, 0, 0, c.window)
        self.attention = [
            CrossAttention(c.match_width, c.null_keys, c.key_dropout, side) for side in window
        ]
        self.from_moved = [Conv(n, 1) for n in out]
        self.from_motion = [Conv(n, 1) for n in out]
        self.from_coarsest = Up(coarse)
        self.blocks = [
            [TransformerBlock(c.heads) for _ in range(count)] for count in c.transformer_blocks
        ]
        self.refine = [ResBlock(n) for n in out]
        self.gate = Conv(1, 1, zero=True)

    def align(
        self, features: Pyramid, key_latent: jax.Array, latent: jax.Array
    ) -> tuple[Pyramid, dict[str, jax.Array]]:
        """The key picture's features, moved to the frame of `latent`.

        Args:
          features: Pyramid of the key picture.
          key_latent: [B, D] token of the key frame.
          latent: [B, D] token of the target frame.

        Returns:
          Aligned Pyramid, and by scale, coarsest first: {"warped": [B, H, W, 3] its pixels,
          "attended_i": [B, h, w, 3] the key picture's colours as attention moves them, "look_i":
          [B, h, w, 2] and "found_i": [B, h, w, 1] of `Attended`}.
        """
        height, width = features.pixels.shape[1:3]
        rows, columns = height // 32, width // 32
        motions = self.token_decoder(latent, rows, columns)
        key_motions = self.token_decoder(key_latent, rows, columns)
        blocks = space_to_depth(features.pixels, 4) - 0.5
        fine = jnp.concatenate([features.fine, blocks], -1)
        values = [self.coarsest(features.coarse), features.coarse, features.middle, fine]
        aux: dict[str, jax.Array] = {}
        aligned: list[jax.Array] = []
        moved = values[0]
        for i, value in enumerate(values):
            colours = average_pool(features.pixels, 32 >> i)
            found = self.attention[i](
                motions[i], key_motions[i], jnp.concatenate([value, colours], -1)
            )
            moved = found.values[..., :-3]
            aux |= {f"attended_{i}": found.values[..., -3:]}
            aux |= {f"look_{i}": found.look, f"found_{i}": found.found}
            x = self.from_moved[i](moved) + self.from_motion[i](motions[i])
            if i == 1:
                x = x + self.from_coarsest(aligned[0])
            tokens = x.reshape(x.shape[0], -1, x.shape[-1])
            for block in self.blocks[i]:
                tokens = block(tokens)
            aligned.append(self.refine[i](tokens.reshape(x.shape)))
        pixels = depth_to_space(moved[..., -48:] + 0.5, 4)
        gate = nn.sigmoid(self.gate(jnp.concatenate([motions[3], key_motions[3]], -1)))
        aux["gate"] = gate
        pixels = pixels + repeat_upsample(gate, 4) * (features.pixels - pixels)
        return Pyramid(pixels, aligned[3], aligned[2], aligned[1]), aux | {"warped": pixels}
