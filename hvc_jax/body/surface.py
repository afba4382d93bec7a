"""The landmarks of the face, points that ride on the skin."""

import jax
import jax.numpy as jnp

from hvc_jax.body.assets import Body
from hvc_jax.body.lbs import world_transforms
from hvc_jax.body.params import JOINT_INDEX

_LARGEST_TURN = 39  # degrees of the head for which SMPL-X has a row of contour points, either way


def landmarks(body: Body, vertices: jax.Array, rotations: jax.Array | None = None) -> jax.Array:
    """Returns the face landmarks [*, L, 3] that the model file defines on its triangles.

    Args:
      body: an SMPL-X model.
      vertices: [*, V, 3] its posed vertices.
      rotations: [*, J, 3, 3] of the pose; when given, the 17 points of the face's contour, which
        slide over the skin as the head turns, follow the others (smplx: use_face_contour).

    Raises:
      ValueError: the file has no such points.
    """
    if body.landmark_faces is None or body.landmark_barycentric is None:
        raise ValueError(f"{body.name} defines no landmarks; use an SMPL-X file")
    points = _on_triangles(body, vertices, body.landmark_faces, body.landmark_barycentric)
    if rotations is None:
        return points
    if body.contour_faces is None or body.contour_barycentric is None:
        raise ValueError(f"{body.name} defines no face contour; use an SMPL-X file")
    row = _contour_row(body, rotations)
    contour = _on_triangles(body, vertices, body.contour_faces[row], body.contour_barycentric[row])
    return jnp.concatenate([points, contour], axis=-2)


def _contour_row(body: Body, rotations: jax.Array) -> jax.Array:
    """Returns the row of the contour tables [*] int32: the neck's turn in whole degrees.

    Rows 0 to 39 are turns to one side, 40 to 78 those of 1 to 39 degrees to the other.
    """
    world, _ = world_transforms(rotations, jnp.zeros(rotations.shape[:-1]), body.parents)
    neck = world[..., JOINT_INDEX["neck"], :, :]
    level = jnp.sqrt(neck[..., 0, 0] ** 2 + neck[..., 1, 0] ** 2)
    turn = jnp.rad2deg(jnp.arctan2(neck[..., 2, 0], level))
    turn = jnp.round(jnp.clip(turn, -_LARGEST_TURN, _LARGEST_TURN)).astype(jnp.int32)
    return jnp.where(turn < 0, _LARGEST_TURN - turn, turn)


def _on_triangles(body, vertices, faces, barycentric):
    """Returns points [*, N, 3] at barycentric [*, N, 3] of triangles [*, N]."""
    ids = body.faces[faces]
    lead = jnp.broadcast_shapes(vertices.shape[:-2], ids.shape[:-2])
    vertices = jnp.broadcast_to(vertices, (*lead, *vertices.shape[-2:]))
    ids = jnp.broadcast_to(ids, (*lead, *ids.shape[-2:])).reshape(*lead, -1, 1)
    corners = jnp.take_along_axis(vertices, ids, axis=-2).reshape(*lead, -1, 3, 3)
    return jnp.sum(corners * barycentric[..., None], axis=-2)
