"""Triangle meshes to pictures: fragments, interpolation, normals and the dense motion field.

    screen [B, V, 3] ─ coverage (no gradient) ─► triangle ids
    triangle ids + vertices ─ differentiable ─► barycentrics, depth ─► attributes at pixels

Ids are constants to the gradient; barycentrics, depth and interpolated attributes have exact
gradients with respect to vertex positions and attributes away from silhouettes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from hvc_jax.body.coverage import nearest_triangle, pixel_coordinates


class Fragments(NamedTuple):
    """What is seen at each pixel centre.

    Attributes:
      triangle: [B, H, W] int32 triangle id, -1 where nothing is seen.
      barycentric: [B, H, W, 3] weights of the triangle's corners, sum 1; 0 where nothing is seen.
      depth: [B, H, W] depth; +inf where nothing is seen.
    """

    triangle: jax.Array
    barycentric: jax.Array
    depth: jax.Array


class MotionField(NamedTuple):
    """Where to look in the key picture for each pixel of the target picture.

    Attributes:
      grid: [B, H, W, 2] (u, v) in the key picture; identity outside the target body.
      mask: [B, H, W] 1 on the target body, 0 outside.
      visible: [B, H, W] in [0, 1], how far that point of the body is seen in the key picture;
        0 outside the target body.
      key_fragments: fragments of the key mesh.
      target_fragments: fragments of the target mesh.
    """

    grid: jax.Array
    mask: jax.Array
    visible: jax.Array
    key_fragments: Fragments
    target_fragments: Fragments


def pixel_grid(height: int, width: int) -> jax.Array:
    """Returns the picture coordinates (u, v) [H, W, 2] of pixel centres."""
    u = (jnp.arange(width, dtype=jnp.float32) + 0.5) * (2 / width) - 1
    v = (jnp.arange(height, dtype=jnp.float32) + 0.5) * (2 / height) - 1
    return jnp.stack(jnp.meshgrid(u, v), axis=-1)


def rasterize(
    screen: jax.Array,
    faces: jax.Array,
    height: int,
    width: int,
    *,
    perspective: bool = False,
    near: float = 0.0,
    cull: bool = False,
) -> Fragments:
    """Returns the `Fragments` of meshes; arguments as in `coverage.nearest_triangle`.

    Args:
      screen: [B, V, 3] (u, v, depth) of the vertices.
      faces: [F, 3] int32.
      height: rows.
      width: columns.
      perspective: (u, v) were divided by depth; barycentrics are perspective-correct.
      near: nearest visible depth, with `perspective`.
      cull: leave out triangles that show their back.
    """
    triangle = nearest_triangle(
        screen, faces, height, width, perspective=perspective, near=near, cull=cull
    )
    seen = triangle >= 0
    corners = faces[jnp.maximum(triangle, 0)]
    at = _take(screen, corners)
    x, y = pixel_coordinates(at, height, width)
    z = at[..., 2]
    px = jnp.arange(width, dtype=jnp.float32)
    py = jnp.arange(height, dtype=jnp.float32)[:, None]
    # Relative to the pixel, where products are small and cancel little.
    rx, ry = x - px[..., None], y - py[..., None]
    w = z if perspective else jnp.ones_like(z)
    weights = jnp.stack(
        [
            (rx[..., j] * ry[..., k] - rx[..., k] * ry[..., j]) * w[..., j] * w[..., k]
            for j, k in ((1, 2), (2, 0), (0, 1))
        ],
        axis=-1,
    )
    total = weights.sum(-1, keepdims=True)
    usable = seen[..., None] & (total != 0)
    barycentric = jnp.where(usable, weights / jnp.where(usable, total, 1.0), 0.0)
    depth = jnp.where(seen, jnp.sum(barycentric * z, axis=-1), jnp.inf)
    return Fragments(triangle, barycentric, depth)


def interpolate(fragments: Fragments, faces: jax.Array, attributes: jax.Array) -> jax.Array:
    """Returns vertex attributes at pixels, [B, H, W, C]; 0 where nothing is seen.

    Args:
      fragments: of B pictures.
      faces: [F, 3] int32.
      attributes: [B, V, C], or [V, C] shared by the batch.
    """
    corners = faces[jnp.maximum(fragments.triangle, 0)]
    if attributes.ndim == 2:
        values = attributes[corners]
    else:
        values = _take(attributes, corners)
    return jnp.sum(values * fragments.barycentric[..., None], axis=-2)


def labels(fragments: Fragments, faces: jax.Array, vertex_labels: jax.Array) -> jax.Array:
    """Returns the label of the nearest corner at each pixel, int32 [B, H, W]; -1 outside.

    Args:
      fragments: of B pictures.
      faces: [F, 3] int32.
      vertex_labels: [V] int32, e.g. `Body.part_ids`.
    """
    corner = jnp.argmax(fragments.barycentric, axis=-1)
    ids = faces[jnp.maximum(fragments.triangle, 0), corner]
    return jnp.where(fragments.triangle >= 0, vertex_labels[ids], -1)


def vertex_normals(vertices: jax.Array, faces: jax.Array) -> jax.Array:
    """Returns outward unit normals [*, V, 3]: area-weighted means over the triangles at a vertex.

    Args:
      vertices: [*, V, 3].
      faces: [F, 3] int32, counter-clockwise seen from outside.
    """
    a, b, c = (vertices[..., faces[:, k], :] for k in range(3))
    normal = jnp.cross(b - a, c - a)
    total = jnp.zeros_like(vertices)
    for k in range(3):
        total = total.at[..., faces[:, k], :].add(normal)
    square = jnp.sum(total * total, axis=-1, keepdims=True)
    return total * jax.lax.rsqrt(jnp.maximum(square, 1e-20))


def motion_field(
    key_screen: jax.Array,
    target_screen: jax.Array,
    faces: jax.Array,
    height: int,
    width: int,
    *,
    bias: float = 0.03,
    key_fragments: Fragments | None = None,
) -> MotionField:
    """Returns the backward motion field between two posed meshes and its occlusion.

    A target pixel on the body is carried by its triangle to the key picture. It is visible there
    when its triangle faces the viewer and no other surface lies more than `bias` in front (depth
    compared with the four nearest key pixels, weighted bilinearly).

    Args:
      key_screen: [B, V, 3] (u, v, depth) of the key mesh, weak perspective.
      target_screen: [B, V, 3] of the target mesh.
      faces: [F, 3] int32 of a closed surface.
      height: rows.
      width: columns.
      bias: metres; less than the thickness of a forearm, more than the depth of one pixel.
      key_fragments: fragments of the key mesh at this size, when already known.
    """
    if key_fragments is None:
        key_fragments = rasterize(key_screen, faces, height, width, cull=True)
    target = rasterize(target_screen, faces, height, width, cull=True)
    seen = target.triangle >= 0
    corners = faces[jnp.maximum(target.triangle, 0)]
    at = _take(key_screen, corners)
    place = jnp.sum(at * target.barycentric[..., None], axis=-2)
    grid = jnp.where(seen[..., None], place[..., :2], pixel_grid(height, width))
    edge_a, edge_b = at[..., 1, :2] - at[..., 0, :2], at[..., 2, :2] - at[..., 0, :2]
    area = edge_a[..., 0] * edge_b[..., 1] - edge_a[..., 1] * edge_b[..., 0]
    x, y = pixel_coordinates(jax.lax.stop_gradient(place), height, width)
    lit = _lit(jax.lax.stop_gradient(key_fragments.depth), x, y, place[..., 2], bias)
    inside = (jnp.abs(place[..., :2]) <= 1).all(-1)
    visible = jnp.where(seen & inside & (area < 0), lit, 0.0)
    return MotionField(
        grid=grid,
        mask=seen.astype(jnp.float32),
        visible=jax.lax.stop_gradient(visible),
        key_fragments=key_fragments,
        target_fragments=target,
    )


def _lit(depth_map, x, y, depth, bias):
    """Returns [B, H, W] in [0, 1]: share of the four pixels around (x, y) not in front by bias."""
    height, width = depth_map.shape[1:]
    x0, y0 = jnp.floor(x), jnp.floor(y)
    fx, fy = x - x0, y - y0
    flat = depth_map.reshape(depth_map.shape[0], -1)
    total = jnp.zeros_like(x)
    for step_y, weight_y in ((0, 1 - fy), (1, fy)):
        for step_x, weight_x in ((0, 1 - fx), (1, fx)):
            column = jnp.clip(x0 + step_x, 0, width - 1).astype(jnp.int32)
            row = jnp.clip(y0 + step_y, 0, height - 1).astype(jnp.int32)
            index = (row * width + column).reshape(flat.shape)
            front = jnp.take_along_axis(flat, index, axis=1).reshape(x.shape)
            # A ramp of one bias, not a step: half-hidden pixels near contours stay soft.
            total += weight_x * weight_y * jnp.clip(2 - (depth - front) / bias, 0, 1)
    return total


def _take(values: jax.Array, index: jax.Array) -> jax.Array:
    """Returns rows of `values` [B, V, C] at `index` [B, ...] as [B, ..., C]."""
    batch, count = values.shape[:2]
    # One flat gather: batched gathers are slow on a CPU.
    base = (jnp.arange(batch, dtype=index.dtype) * count).reshape(-1, *[1] * (index.ndim - 1))
    return values.reshape(batch * count, -1)[index + base]
