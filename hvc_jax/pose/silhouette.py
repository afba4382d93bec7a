"""A soft silhouette with useful gradients outside the contour, for fitting."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.coverage import nearest_triangle, pixel_coordinates


@functools.partial(jax.jit, static_argnames=("height", "width", "reach"))
def soft_silhouette(
    screen: jax.Array,
    faces: jax.Array,
    height: int,
    width: int,
    *,
    softness: float = 1.0,
    reach: int = 4,
) -> jax.Array:
    """Returns [B, H, W] in (0, 1): 1 well inside the mesh, 1/2 on its contour, 0 far outside.

    A hard mask has no gradient. Here every pixel finds the nearest pixel of the other kind within
    `reach`; the triangle on the inner side of that step carries the gradient, through the mean of
    its corners:

        value = sigmoid(signed distance to the contour / softness)

    In the spirit of Soft Rasterizer (Liu et al., ICCV 2019), but with the work of one rasteriser
    pass and (2 reach + 1)^2 shifts of its mask instead of all triangles at all pixels.

    Args:
      screen: [B, V, 3] (u, v, depth), weak perspective.
      faces: [F, 3] int32.
      height: rows.
      width: columns.
      softness: width of the transition, pixels.
      reach: farthest distance looked at, pixels.
    """
    triangle = nearest_triangle(screen, faces, height, width)
    inside = triangle >= 0
    # Candidate steps by increasing length: the first that meets the other kind is the nearest.
    offsets = [(i, j) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1)]
    offsets = sorted((o for o in offsets if o != (0, 0)), key=lambda o: o[0] ** 2 + o[1] ** 2)
    offsets = [o for o in offsets if o[0] ** 2 + o[1] ** 2 <= reach**2]
    padded = jnp.pad(triangle, ((0, 0), (reach, reach), (reach, reach)), constant_values=-2)
    step = jnp.full(triangle.shape, len(offsets), jnp.int32)
    edge_triangle = jnp.where(inside, triangle, 0)
    for k, (dy, dx) in enumerate(offsets):
        other = padded[:, reach + dy : reach + dy + height, reach + dx : reach + dx + width]
        hit = ((other >= 0) != inside) & (other != -2) & (step == len(offsets))
        step = jnp.where(hit, k, step)
        edge_triangle = jnp.where(hit & ~inside, other, edge_triangle)
    found = step < len(offsets)
    table = np.array([*offsets, (reach, 0)], np.float32)
    dy, dx = jnp.asarray(table[:, 0])[step], jnp.asarray(table[:, 1])[step]
    distance = jnp.sqrt(dx * dx + dy * dy)
    # Unit vector from the inside to the outside of the contour.
    sign = jnp.where(inside, 1.0, -1.0)
    nx, ny = sign * dx / distance, sign * dy / distance
    signed = sign * (distance - 0.5)
    # A pixel outside moves with the triangle it found, a pixel inside with its own.
    x, y = pixel_coordinates(screen, height, width)
    batch = jnp.arange(screen.shape[0])[:, None, None]
    corners = faces[edge_triangle]
    cx, cy = x[batch[..., None], corners].mean(-1), y[batch[..., None], corners].mean(-1)
    # Zero in value, one in gradient: moving the triangle outwards moves the contour outwards.
    push = nx * (cx - jax.lax.stop_gradient(cx)) + ny * (cy - jax.lax.stop_gradient(cy))
    signed = jnp.where(found, signed + push, sign * 1e3)
    return jax.nn.sigmoid(signed / softness)
