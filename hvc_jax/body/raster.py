"""Triangle meshes to pictures: fragments, interpolation, normals and the dense motion field.

    screen [B, V, 3] ─ coverage (no gradient) ─► triangle ids
    triangle ids + vertices ─ differentiable ─► barycentrics, depth ─► attributes at pixels

Ids are constants to the gradient; barycentrics, depth and interpolated attributes have exact
gradients with respect to vertex positions and attributes away from silhouettes.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hvc_jax.body.coverage import frame_by_frame, nearest_triangle, pick, pixel_coordinates


class Fragments(NamedTuple):
    """What is seen at each pixel centre."""

    triangle: jax.Array  # [B, H, W] int32 triangle id, -1 where nothing is seen
    # [B, H, W, 3] weights of the triangle's corners, sum 1; 0 where nothing is seen
    barycentric: jax.Array
    depth: jax.Array  # [B, H, W] depth; +inf where nothing is seen


class MotionField(NamedTuple):
    """Where to look in the key picture for each pixel of the target picture."""

    grid: jax.Array  # [B, H, W, 2] (u, v) in the key picture; identity outside the target body
    mask: jax.Array  # [B, H, W] 1 on the target body, 0 outside
    # [B, H, W] in [0, 1], how far that point of the body is seen in the key picture; 0 outside the
    # target body
    visible: jax.Array
    target_fragments: Fragments  # fragments of the target mesh


def pixel_grid(height: int, width: int) -> jax.Array:
    """Returns the picture coordinates (u, v) [H, W, 2] of pixel centres."""
    u = (jnp.arange(width, dtype=jnp.float32) + 0.5) * (2 / width) - 1
    v = (jnp.arange(height, dtype=jnp.float32) + 0.5) * (2 / height) - 1
    return jnp.stack(jnp.meshgrid(u, v), axis=-1)


@functools.partial(jax.jit, static_argnames=("height", "width", "cull"))
def rasterize(
    screen: jax.Array, faces: jax.Array, height: int, width: int, *, cull: bool = False
) -> Fragments:
    """Returns the `Fragments` of meshes [B, V, 3] (u, v, depth); see `nearest_triangle`."""
    draw = functools.partial(_fragments, faces=faces, height=height, width=width, cull=cull)
    return frame_by_frame(draw, screen)


def _fragments(screen, faces, height, width, cull):
    triangle = nearest_triangle(screen, faces, height, width, cull=cull)
    seen = triangle >= 0
    corners = _corners(triangle, faces)
    columns, rows = jnp.arange(width, dtype=jnp.float32), jnp.arange(height, dtype=jnp.float32)
    x, y = pixel_coordinates(screen, height, width)
    # Relative to the pixel, where products are small and cancel little.
    rx = [at - columns for at in _take(x, corners)]
    ry = [at - rows[:, None] for at in _take(y, corners)]
    rz = _take(screen[..., 2], corners)
    weights = [rx[j] * ry[k] - rx[k] * ry[j] for j, k in ((1, 2), (2, 0), (0, 1))]
    total = weights[0] + weights[1] + weights[2]
    usable = seen & (total != 0)
    inverse = jnp.where(usable, 1 / jnp.where(usable, total, 1.0), 0.0)
    weights = [w * inverse for w in weights]
    depth = jnp.where(seen, sum(w * z for w, z in zip(weights, rz, strict=True)), jnp.inf)
    return Fragments(triangle, jnp.stack(weights, axis=-1), depth)


@jax.jit
def interpolate(fragments: Fragments, faces: jax.Array, attributes: jax.Array) -> jax.Array:
    """Returns vertex attributes [(B,) V, C] at pixels: [B, H, W, C], 0 where nothing is seen."""
    if attributes.ndim == 2:
        attributes = jnp.broadcast_to(attributes, (fragments.triangle.shape[0], *attributes.shape))
    corners = _corners(fragments.triangle, faces)
    channels = [
        _blend(_take(attributes[..., c], corners), fragments.barycentric)
        for c in range(attributes.shape[-1])
    ]
    return jnp.stack(channels, axis=-1)


def labels(fragments: Fragments, faces: jax.Array, vertex_labels: jax.Array) -> jax.Array:
    """Returns the label [V] int32 of the nearest corner at each pixel, [B, H, W]; -1 outside."""
    corner = jnp.argmax(fragments.barycentric, axis=-1)
    ids = faces[jnp.maximum(fragments.triangle, 0), corner]
    return jnp.where(fragments.triangle >= 0, vertex_labels[ids], -1)


def vertex_normals(vertices: jax.Array, faces: jax.Array) -> jax.Array:
    """Returns outward unit normals [*, V, 3]: means over triangles, weighted by their area."""
    a, b, c = (vertices[..., faces[:, k], :] for k in range(3))
    normal = jnp.cross(b - a, c - a)
    total = jnp.zeros_like(vertices)
    for k in range(3):
        total = total.at[..., faces[:, k], :].add(normal)
    square = jnp.sum(total * total, axis=-1, keepdims=True)
    return total * jax.lax.rsqrt(jnp.maximum(square, 1e-20))


@functools.partial(jax.jit, static_argnames=("height", "width"))
def motion_field(
    key_screen: jax.Array,  # [B, V, 3] (u, v, depth) of the key mesh, weak perspective
    target_screen: jax.Array,  # [B, V, 3] of the target mesh
    faces: jax.Array,  # [F, 3] int32 of a closed surface
    height: int,  # rows of pixels
    width: int,  # columns of pixels
    *,
    # metres; less than the thickness of a forearm, more than the depth of one pixel
    bias: float = 0.03,
    # fragments of the key mesh at this size, when already known
    key_fragments: Fragments | None = None,
) -> MotionField:
    """Returns the backward motion field between two posed meshes and its occlusion.

    A target pixel on the body is carried by its triangle to the key picture. It is visible there
    when its triangle faces the viewer and no other surface lies more than `bias` in front (depth
    compared with the four nearest key pixels, weighted bilinearly).
    """
    field = functools.partial(_field, faces=faces, height=height, width=width, bias=bias)
    if key_fragments is None:
        return frame_by_frame(field, key_screen, target_screen)
    return frame_by_frame(field, key_screen, target_screen, key_fragments)


def _field(key_screen, target_screen, key_fragments=None, *, faces, height, width, bias):
    if key_fragments is None:
        key_fragments = rasterize(key_screen, faces, height, width, cull=True)
    target = rasterize(target_screen, faces, height, width, cull=True)
    seen = target.triangle >= 0
    corners = _corners(target.triangle, faces)
    at = [_take(key_screen[..., c], corners) for c in range(3)]
    u, v, depth = (_blend(values, target.barycentric) for values in at)
    area = (at[0][1] - at[0][0]) * (at[1][2] - at[1][0]) - (at[1][1] - at[1][0]) * (
        at[0][2] - at[0][0]
    )
    place = jnp.stack([u, v], axis=-1)
    grid = jnp.where(seen[..., None], place, pixel_grid(height, width))
    x, y = pixel_coordinates(place, height, width)
    lit = _lit(key_fragments.depth, x, y, depth, bias)
    inside = (jnp.abs(u) <= 1) & (jnp.abs(v) <= 1)
    visible = jnp.where(seen & inside & (area < 0), lit, 0.0)
    return MotionField(
        grid=grid,
        mask=seen.astype(jnp.float32),
        visible=jax.lax.stop_gradient(visible),
        target_fragments=target,
    )


def _lit(depth_map, x, y, depth, bias):
    """Returns [B, H, W] in [0, 1]: share of the four pixels around (x, y) not in front by bias."""
    depth_map, x, y, depth = jax.lax.stop_gradient((depth_map, x, y, depth))
    batch, height, width = depth_map.shape
    x, y = jnp.clip(x, -1, width), jnp.clip(y, -1, height)
    x0, y0 = jnp.floor(x), jnp.floor(y)
    fx, fy = x - x0, y - y0
    base = (jnp.arange(batch, dtype=jnp.int32) * height)[:, None, None]
    flat = depth_map.reshape(-1)
    total = jnp.zeros_like(x)
    for step_y, weight_y in ((0, 1 - fy), (1, fy)):
        row = jnp.clip(y0 + step_y, 0, height - 1).astype(jnp.int32)
        for step_x, weight_x in ((0, 1 - fx), (1, fx)):
            column = jnp.clip(x0 + step_x, 0, width - 1).astype(jnp.int32)
            front = pick(flat, (base + row) * width + column)
            # A ramp of one bias, not a step: half-hidden pixels near contours stay soft.
            total += weight_x * weight_y * jnp.clip(2 - (depth - front) / bias, 0, 1)
    return total


def _corners(triangle: jax.Array, faces: jax.Array) -> list[jax.Array]:
    """Returns the three vertex ids [B, H, W] of the triangle seen at each pixel (0 for none)."""
    flat = faces.reshape(-1)
    first = 3 * jnp.maximum(triangle, 0)
    return [pick(flat, first + k) for k in range(3)]


def _take(values: jax.Array, corners: list[jax.Array]) -> list[jax.Array]:
    """Returns one scalar per vertex, `values` [B, V], at three corners, each [B, H, W]."""
    batch, count = values.shape
    # Flat gathers of single numbers: gathers of batched or short rows are slow on a CPU.
    base = (jnp.arange(batch, dtype=jnp.int32) * count)[:, None, None]
    flat = values.reshape(-1)
    return [pick(flat, corner + base) for corner in corners]


def _blend(values: list[jax.Array], barycentric: jax.Array) -> jax.Array:
    return sum(value * barycentric[..., k] for k, value in enumerate(values))
