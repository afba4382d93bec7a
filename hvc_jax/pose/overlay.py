"""The body's mesh drawn over the frames it was fitted to, so that anyone can judge the fit."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.assets import Body, load_body
from hvc_jax.body.lbs import screen_vertices
from hvc_jax.body.raster import rasterize
from hvc_jax.ops.batching import padded

_BATCH = 4
_STRENGTH = 0.55  # 0 shows the frame alone, 1 the mesh alone
# One colour a body part (as in Body.part_names), far apart so that a swapped limb shows.
_COLOURS = np.array(
    [
        [200, 200, 200],
        [255, 220, 120],
        [255, 60, 60],
        [60, 120, 255],
        [255, 160, 0],
        [0, 220, 255],
        [180, 60, 220],
        [60, 200, 60],
        [255, 0, 200],
        [0, 255, 120],
        [255, 255, 255],
        [120, 0, 0],
    ],
    np.float32,
)


@functools.partial(jax.jit, static_argnums=(2,))
def _draw(body: Body, vectors: jax.Array, side: int) -> tuple[jax.Array, jax.Array]:
    """Returns the triangle [B, side, side] seen at each pixel (-1: none) and its shade [B, F]."""
    vertices, screen = screen_vertices(body, vectors)
    corners = vertices[:, body.faces]
    normal = jnp.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    length = jnp.linalg.norm(normal, axis=-1)
    shade = 0.3 + 0.7 * jnp.abs(normal[..., 2]) / jnp.maximum(length, 1e-12)
    return rasterize(screen, body.faces, side, side).triangle, shade


def overlay(frames: np.ndarray, bodies: np.ndarray) -> Iterator[np.ndarray]:
    """Yields frames [H, H, 3] uint8 with the mesh of bodies [T, 188] on them, coloured by part."""
    body = load_body()
    part = np.asarray(body.part_ids)[np.asarray(body.faces)[:, 0]]
    colours = _COLOURS[part % len(_COLOURS)]
    for first in range(0, len(frames), _BATCH):
        vectors = bodies[first : first + _BATCH]
        triangles, shades = _draw(body, jnp.asarray(padded(vectors, _BATCH)), frames.shape[1])
        for frame, triangle, shade in zip(
            frames[first : first + _BATCH], np.asarray(triangles), np.asarray(shades), strict=False
        ):
            seen = triangle >= 0
            paint = colours[triangle[seen]] * shade[triangle[seen], None]
            drawn = frame.astype(np.float32)
            drawn[seen] = drawn[seen] * (1 - _STRENGTH) + paint * _STRENGTH
            yield np.clip(np.round(drawn), 0, 255).astype(np.uint8)
