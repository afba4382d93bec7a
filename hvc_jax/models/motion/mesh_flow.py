"""The flow between two posed meshes, and maps of both for the networks behind it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from hvc_jax.body import raster
from hvc_jax.body.assets import load_body
from hvc_jax.body.lbs import screen_vertices
from hvc_jax.ops.fill import pull_push, widen
from hvc_jax.ops.warp import identity_grid

MAP_CHANNELS = 14

# The mesh ends at the skin. Hair and clothes reach further, by about this part of the picture;
# there the flow of the nearest skin goes on.
_MARGIN = 1 / 32


class KeyMesh(NamedTuple):
    """What the posed mesh of the key frame says, whatever the target is."""

    screen: jax.Array  # [B, V, 3] (u, v, depth) of its vertices
    fragments: raster.Fragments  # what is seen of it at each pixel
    # [B, h, w, 5] rest-pose position of the surface point in metres 3, depth in metres 1, mask 1
    view: jax.Array
    near: jax.Array  # [B, h, w, 1] in {0, 1}, 1 on and around the body


class MeshMotion(NamedTuple):
    """What the two posed meshes say about a pair of frames, at a quarter of the resolution."""

    grid: jax.Array  # [B, h, w, 2] where in the key picture to look; identity away from the body
    # [B, h, w, 1] in [0, 1], 1 where the key picture shows the body and the target no longer
    left: jax.Array
    # [B, h, w, MAP_CHANNELS] displacement 2, visibility in the key view 1, left 1, then for the
    # target mesh and for the key mesh: rest-pose position of the surface point in metres 3, depth
    # in metres 1, mask 1
    maps: jax.Array


def key_mesh(body: jax.Array, height: int, width: int) -> KeyMesh:
    """The posed mesh of key frames, body vectors [B, 188], and maps [height, width] of it."""
    mesh = load_body()
    screen = screen_vertices(mesh, body)[1]
    fragments = raster.rasterize(screen, mesh.faces, height, width, cull=True)
    view = _view(fragments, screen)
    return KeyMesh(screen, fragments, view, _near(view))


def mesh_motion(key: KeyMesh, body: jax.Array) -> MeshMotion:
    """The motion field between two posed bodies, and maps of both.

    The rest-pose position tells the network which part of the body a pixel shows, continuously and
    for any mesh. `key` has maps of the size that is wanted; `body`: [B, 188] of the target frame.
    """
    mesh = load_body()
    height, width = key.view.shape[1:3]
    screen = screen_vertices(mesh, body)[1]
    field = raster.motion_field(
        key.screen, screen, mesh.faces, height, width, key_fragments=key.fragments
    )
    view = _view(field.target_fragments, screen)
    near = _near(view)
    place = identity_grid(height, width)
    displacement = pull_push(field.grid - place, view[..., -1:]) * near
    left = key.near * (1 - near)
    maps = [displacement, field.visible[..., None], left, view, key.view]
    return MeshMotion(place + displacement, left, jnp.concatenate(maps, -1))


def _view(fragments: raster.Fragments, screen: jax.Array) -> jax.Array:
    """[B, h, w, 5] rest-pose position, depth and mask of what is seen."""
    mesh = load_body()
    rest = jnp.broadcast_to(mesh.v_template, (*screen.shape[:-1], 3))
    attributes = jnp.concatenate([rest, screen[..., 2:]], -1)
    drawn = raster.interpolate(fragments, mesh.faces, attributes)
    mask = (fragments.triangle >= 0).astype(drawn.dtype)
    return jnp.concatenate([drawn, mask[..., None]], -1)


def _near(view: jax.Array) -> jax.Array:
    """[B, h, w, 1] in {0, 1}, 1 on and around the body of a view [B, h, w, 5]."""
    return widen(view[..., -1:], max(1, round(_MARGIN * view.shape[2])))
