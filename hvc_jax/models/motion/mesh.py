"""Semantic motion: two posed meshes, the flow between them, and its refinement."""

from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from hvc_jax.models.layers import Conv, Down, ResBlock, SpadeBlock, Up
from hvc_jax.models.motion.mesh_flow import KeyMesh, MeshMotion, key_mesh, mesh_motion
from hvc_jax.models.reference import Pyramid
from hvc_jax.ops.fill import pull_push
from hvc_jax.ops.warp import average_pool, depth_to_space, resize_grid, space_to_depth, warp
from hvc_jax.stream.schema import Schema, semantic_schema


class FlowRefiner(nn.Module):
    """Mesh motion -> flow and occlusion, by a SPADE network conditioned on both meshes' maps.

        maps, key features, key features warped by the mesh flow
              └─► space-to-depth 2 ─► Res ─► Down ─► Res ─► Down ─► Res
                    maps ─► pool ─► SPADE ◄─ Up ◄─ SPADE ◄─ Up ◄───┘
                                      └─► depth-to-space 2 ─► flow residual, occlusion

    After IHVC's "SPADE-based motion estimation network for dense flow and occlusion fields"
    (arXiv 2505.16152); its layers are not published, those of the same author's IFVC are wider.
    `width`: channels at 1/8 of the picture.
    """

    width: int

    @nn.compact
    def __call__(self, motion: MeshMotion, fine: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Refined grid [B, H/4, W/4, 2], and occlusion [B, H/4, W/4, 1] in [0, 1].

        1 is where the key frame shows what is needed. `motion` is from `mesh_motion`, at the
        resolution of `fine` [B, H/4, W/4, C0], features of the key picture.
        """
        looks = Conv(self.width // 4, 1)(fine)
        seen = jnp.concatenate([motion.maps, looks, warp(looks, motion.grid)], -1)
        maps = Conv(self.width // 2, 1)(space_to_depth(motion.maps, 2))
        top = ResBlock(self.width)(Conv(self.width)(space_to_depth(seen, 2)))
        middle = ResBlock(2 * self.width)(Down(2 * self.width)(top))
        x = ResBlock(2 * self.width)(Down(2 * self.width)(middle))
        x = SpadeBlock(2 * self.width)(Up(2 * self.width)(x) + middle, average_pool(maps, 2))
        x = SpadeBlock(self.width)(Up(self.width)(x) + top, maps)
        heads = depth_to_space(Conv(4 * 3, zero=True)(nn.silu(nn.RMSNorm()(x))), 2)
        # Zero-initialised heads: training starts from the mesh's own flow, and from copying (the
        # +2 opens the occlusion gate), so the first steps already see useful frames.
        # What the body has left is closed: the key picture shows the body there, not what was
        # behind it.
        occlusion = nn.sigmoid(heads[..., 2:] + 2.0 - 4.0 * motion.left)
        return motion.grid + 0.5 * jnp.tanh(heads[..., :2]), occlusion


class KeyParts(NamedTuple):
    """What depends on the key frame alone."""

    mesh: KeyMesh  # its mesh, with maps at a quarter of the resolution
    # [B, H, W, 3] its picture without the body, which is filled from around it
    background: jax.Array


class SemanticMotion(nn.Module):
    """Body vectors -> mesh motion -> refined flow; warp, gate and modulate the key's features.

        body, key body ─► skinning ─► rasteriser ─► mesh flow, maps ─► FlowRefiner ─► flow, occlusion
        features ──────────────────────────► warp ─► x occlusion ─► SPADE(maps) ──► aligned features
        pixels ─► warp ─► where the body has left: the background, continued ─────► aligned pixels

    `config`: motion block of the model config; `widths`: channels (C0, C1, C2) of the pyramid.
    """  # noqa: E501

    config: ml_collections.FrozenConfigDict
    widths: tuple[int, int, int]

    def setup(self) -> None:
        """Submodules."""
        _, middle, coarse = self.widths
        self.refine = FlowRefiner(self.config.width)
        self.modulate_middle = SpadeBlock(middle)
        self.modulate_coarse = SpadeBlock(coarse)

    sends_bodies: ClassVar[bool] = True

    @staticmethod
    def latent_schema(config: ml_collections.ConfigDict) -> Schema:
        """The schema of the body vector."""
        return semantic_schema(config.schema, camera=config.camera)

    def analyse(self, frames: jax.Array, key: jax.Array, body: jax.Array) -> jax.Array:
        """The body vector [B, 188] itself; frames are not looked at."""
        del frames, key
        return body

    @staticmethod
    def key_parts(features: Pyramid, key_latent: jax.Array) -> KeyParts:
        """What `align` needs of the key frame alone; arguments as there."""
        height, width = features.pixels.shape[1:3]
        mesh = key_mesh(key_latent, height // 4, width // 4)
        background = pull_push(average_pool(features.pixels, 4), 1 - mesh.near)
        return KeyParts(mesh, jax.image.resize(background, features.pixels.shape, "bilinear"))

    def align(
        self,
        features: Pyramid,
        key_latent: jax.Array,
        latent: jax.Array,
        parts: KeyParts | None = None,
    ) -> tuple[Pyramid, dict[str, jax.Array]]:
        """The key frame's features, moved to the pose of `latent`, body vectors [B, 188] both.

        `parts`: from `key_parts`, where they are known. Returns the aligned Pyramid, and {"grid":
        [B, H/4, W/4, 2], "mesh_grid": same, "occlusion": [B, H/4, W/4, 1], "warped": [B, H, W, 3]}.
        """
        height, width = features.pixels.shape[1:3]
        parts = self.key_parts(features, key_latent) if parts is None else parts
        motion = mesh_motion(parts.mesh, latent)
        grid, occlusion = self.refine(motion, features.fine)

        def move(x: jax.Array, gate: jax.Array) -> jax.Array:
            return warp(x, resize_grid(grid, *x.shape[1:3])) * gate

        pixels = warp(features.pixels, resize_grid(grid, height, width))
        left = jax.image.resize(motion.left, (*pixels.shape[:3], 1), "bilinear")
        pixels += left * (parts.background - pixels)
        condition = jnp.concatenate([motion.maps, occlusion], -1)
        middle = move(features.middle, average_pool(occlusion, 2))
        middle = self.modulate_middle(middle, average_pool(condition, 2))
        coarse = move(features.coarse, average_pool(occlusion, 4))
        coarse = self.modulate_coarse(coarse, average_pool(condition, 4))
        aligned = Pyramid(pixels, move(features.fine, occlusion), middle, coarse)
        return aligned, {
            "grid": grid,
            "mesh_grid": motion.grid,
            "occlusion": occlusion,
            "warped": pixels,
        }
