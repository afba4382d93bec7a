"""Cameras: body space (y up, towards the viewer +z) to picture space (u, v, depth).

Picture space: u to the right and v down, both in [-1, 1] over the picture, (-1, -1) the outer
corner of the top left pixel; the centre of pixel column j is u = (j + 0.5) / width * 2 - 1. Smaller
depth is nearer.

What other cameras become is in `hvc_jax.body.parameter_cameras`.
"""

import jax
import jax.numpy as jnp


def project(points: jax.Array, camera: jax.Array) -> jax.Array:
    """Returns picture coordinates (u, v, depth) of points [*, N, 3] in metres, weak perspective.

    u = scale (X + x), v = -scale (Y + y), depth = -Z, with `camera` [*, 3]: scale (1 / metre), x
    and y (metres). The published estimators (HMR and its descendants: `[s, tx, ty]` after the crop)
    use u = s X + s tx with v down and a body turned by pi about x, so that scale = s, x = tx, y =
    -ty after turning the body back.
    """
    scale, x, y = (camera[..., None, k] for k in range(3))
    u = scale * (points[..., 0] + x)
    v = -scale * (points[..., 1] + y)
    return jnp.stack([u, v, -points[..., 2]], axis=-1)
