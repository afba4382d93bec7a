"""Cameras: body space (y up, towards the viewer +z) to picture space (u, v, depth).

Picture space: u to the right and v down, both in [-1, 1] over the picture, (-1, -1) the outer
corner of the top left pixel; the centre of pixel column j is u = (j + 0.5) / width * 2 - 1. Smaller
depth is nearer.

What each source writes, and what makes it ours:

| source | camera | here |
|---|---|---|
| HMR and descendants (`pred_cam`: s, tx, ty) | weak perspective of the crop | `read_parameters` |
| estimators with `transl` or `cam_t` and focal length | OpenCV pinhole | `transl_from_opencv` |
| calibrated cameras (3x3 intrinsics, pixels) | OpenCV | `intrinsics_from_pixels` |
| AMASS .npz | none; world with z up | `read_parameters` turns the root |
| BVH | none; world with y up, as here | `hvc_jax.body.bvh` retargets the bones |

`read_parameters` is in `hvc_jax.body.parameter_files`, which says what it does to the rotations.
"""

import jax
import jax.numpy as jnp


def project(points: jax.Array, camera: jax.Array) -> jax.Array:
    """Returns picture coordinates [*, N, 3] (u, v, depth) under weak perspective.

    u = scale (X + x), v = -scale (Y + y), depth = -Z. The published estimators (HMR and its
    descendants: `[s, tx, ty]` after the crop) use u = s X + s tx with v down and a body turned
    by pi about x, so that scale = s, x = tx, y = -ty after turning the body back.

    Args:
      points: [*, N, 3] metres, body space.
      camera: [*, 3] scale (1 / metre), x and y (metres).
    """
    scale, x, y = (camera[..., None, k] for k in range(3))
    u = scale * (points[..., 0] + x)
    v = -scale * (points[..., 1] + y)
    return jnp.stack([u, v, -points[..., 2]], axis=-1)


def project_pinhole(points: jax.Array, intrinsics: jax.Array, transl: jax.Array) -> jax.Array:
    """Returns picture coordinates [*, N, 3] (u, v, distance) under a pinhole camera.

    The distance is along the optical axis, positive in front; rasterise with `perspective=True`.
    Points within a micrometre of the camera plane are moved off it.

    Args:
      points: [*, N, 3] metres, body space (y up, the camera looks along -z).
      intrinsics: [*, 4] (fu, fv, cu, cv) in picture coordinates, see `intrinsics_from_pixels`.
      transl: [*, 3] metres, added to the points; the camera is at the origin.
    """
    fu, fv, cu, cv = (intrinsics[..., None, k] for k in range(4))
    x, y, z = (points[..., k] + transl[..., None, k] for k in range(3))
    distance = jnp.where(jnp.abs(z) < 1e-6, 1e-6, -z)
    return jnp.stack([fu * x / distance + cu, -fv * y / distance + cv, distance], axis=-1)


def intrinsics_from_pixels(matrix: jax.Array, height: int, width: int) -> jax.Array:
    """Returns (fu, fv, cu, cv) [*, 4] of OpenCV intrinsics [*, 3, 3] in pixels.

    OpenCV puts integer coordinates at pixel centres, so pixel x is u = (2 x + 1) / width - 1.
    """
    fx, fy = matrix[..., 0, 0], matrix[..., 1, 1]
    cx, cy = matrix[..., 0, 2], matrix[..., 1, 2]
    return jnp.stack(
        [
            2 * fx / width,
            2 * fy / height,
            (2 * cx + 1) / width - 1,
            (2 * cy + 1) / height - 1,
        ],
        axis=-1,
    )


def transl_from_opencv(transl: jax.Array, pelvis: jax.Array) -> jax.Array:
    """Returns the translation [*, 3] for `project_pinhole` of an estimator's OpenCV camera.

    Estimators place the vertices of the smplx package, R (v - J) + J + transl with J the rest
    pelvis, in front of a camera that looks along +z with y down. Here the body is turned upright
    (`read_parameters` does that) and its pelvis is the origin.

    Args:
      transl: [*, 3] metres, x right, y down, z forward.
      pelvis: [*, 3] rest pelvis of their model, metres (`Body.J_template[0]` of the same file).
    """
    return (transl + pelvis) * jnp.array([1.0, -1.0, -1.0])


def weak_from_pinhole(intrinsics: jax.Array, transl: jax.Array) -> jax.Array:
    """Returns the weak-perspective camera [*, 3] that agrees with a pinhole at the pelvis.

    Args:
      intrinsics: [*, 4] (fu, fv, cu, cv); fu and fv are averaged.
      transl: [*, 3] pelvis in camera space, metres, body axes (z negative in front).
    """
    scale = 0.5 * (intrinsics[..., 0] + intrinsics[..., 1]) / -transl[..., 2]
    x = transl[..., 0] + intrinsics[..., 2] / scale
    y = transl[..., 1] - intrinsics[..., 3] / scale
    return jnp.stack([scale, x, y], axis=-1)
