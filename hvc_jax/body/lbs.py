"""Blend shapes, kinematic tree and linear blend skinning (SMPL, Loper et al., 2015).

    betas, expression ──► v_shaped ──► joints ─┐
    pose ──► rotations ──► world transforms ◄──┘──► skinned vertices

The tree is walked level by level (9 levels in SMPL-X), not joint by joint, which keeps the compiled
program short and its chain of dependent steps small.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.assets import Body
from hvc_jax.body.params import BodyParams
from hvc_jax.ops import rotation

_EXACT = jax.lax.Precision.HIGHEST


@functools.cache
def tree_levels(parents: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Returns the joints at each depth below the root, nearest first."""
    depth = [0] * len(parents)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            depth[joint] = depth[parent] + 1
    return tuple(np.flatnonzero(np.array(depth) == d) for d in range(1, max(depth) + 1))


def world_transforms(
    rotations: jax.Array, joints: jax.Array, parents: tuple[int, ...]
) -> tuple[jax.Array, jax.Array]:
    """Returns world rotations [*, J, 3, 3] and joint positions [*, J, 3] of a posed tree.

    Args:
      rotations: [*, J, 3, 3] of each joint relative to its parent.
      joints: [*, J, 3] rest positions, metres.
      parents: parent of each joint.
    """
    offsets = joints[..., 1:, :] - joints[..., np.array(parents[1:]), :]
    world, position = rotations, joints
    for level in tree_levels(parents):
        above = np.array(parents)[level]
        parent_world = world[..., above, :, :]
        turned = _product(parent_world, rotations[..., level, :, :])
        step = jnp.sum(parent_world * offsets[..., level - 1, None, :], axis=-1)
        world = world.at[..., level, :, :].set(turned)
        position = position.at[..., level, :].set(position[..., above, :] + step)
    return world, position


def shaped(body: Body, betas: jax.Array, expression: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns rest vertices [*, V, 3] and joints [*, J, 3], metres, of shape coefficients.

    Fewer coefficients than the body has directions are taken as the first ones.
    """
    count_s, count_e = betas.shape[-1], expression.shape[-1]
    if count_s > body.shapedirs.shape[0] or count_e > body.exprdirs.shape[0]:
        raise ValueError(
            f"{body.name} has {body.shapedirs.shape[0]} shape and {body.exprdirs.shape[0]} "
            f"expression directions, got {count_s} and {count_e} coefficients"
        )
    coefficients = jnp.concatenate([betas, expression], axis=-1)
    total = body.shapedirs.shape[0]
    directions = jnp.concatenate([body.shapedirs[:count_s], body.exprdirs[:count_e]])
    joint_directions = jnp.concatenate(
        [body.J_shapedirs[:count_s], body.J_shapedirs[total : total + count_e]]
    )
    vertices = body.v_template + _combine(coefficients, directions)
    joints = body.J_template + _combine(coefficients, joint_directions)
    return vertices, joints


def skin(
    body: Body, vertices: jax.Array, joints: jax.Array, rotations: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns posed vertices [*, V, 3] and joints [*, J, 3]: rest shape turned joint by joint.

    Args:
      body: the model.
      vertices: [*, V, 3] rest vertices, metres.
      joints: [*, J, 3] rest joints, metres.
      rotations: [*, J, 3, 3] of each joint relative to its parent.
    """
    if body.posedirs is not None:
        feature = rotations[..., 1:, :, :] - jnp.eye(3, dtype=rotations.dtype)
        feature = feature.reshape(*feature.shape[:-3], -1)
        vertices = vertices + _combine(feature, body.posedirs)
    world, position = world_transforms(rotations, joints, body.parents)
    shift = position - jnp.sum(world * joints[..., None, :], axis=-1)
    lead = world.shape[:-3]
    flat = jnp.concatenate([world, shift[..., None]], axis=-1)
    flat = jnp.moveaxis(flat.reshape(*lead, -1, 12), -2, -1)
    # One product for the whole batch: [B 12, J] x [J, V].
    blended = jnp.matmul(
        flat.reshape(-1, flat.shape[-1]), body.lbs_weights.T, precision=_EXACT
    ).reshape(*lead, 3, 4, -1)
    x, y, z = vertices[..., 0], vertices[..., 1], vertices[..., 2]
    rows = [
        blended[..., i, 0, :] * x + blended[..., i, 1, :] * y + blended[..., i, 2, :] * z
        + blended[..., i, 3, :]
        for i in range(3)
    ]  # fmt: skip
    return jnp.stack(rows, axis=-1), position


def posed_vertices(body: Body, params: BodyParams) -> tuple[jax.Array, jax.Array]:
    """Returns vertices [*, V, 3] and joints [*, J, 3], metres, with the pelvis at the origin.

    The joints of the open body and of SMPL-X are the 55 of `BodyParams`; SMPL-H lacks jaw and
    eyes, SMPL has two rigid hands instead of fingers (`Body.pose_index`). A body without
    expression directions ignores the expression.
    """
    pose = jnp.concatenate([params.global_orient[..., None, :], params.body_pose], axis=-2)
    expression = params.expression[..., : body.exprdirs.shape[0]]
    if body.pose_index != tuple(range(pose.shape[-2])):
        index = np.array(body.pose_index)
        pose = jnp.where((index >= 0)[:, None], pose[..., np.maximum(index, 0), :], 0.0)
    rotations = rotation.axis_angle_to_matrix(pose)
    vertices, joints = forward(body, params.betas, expression, rotations)
    pelvis = joints[..., :1, :]
    return vertices - pelvis, joints - pelvis


def forward(
    body: Body,
    betas: jax.Array,
    expression: jax.Array,
    rotations: jax.Array,
    transl: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Returns vertices [*, V, 3] and joints [*, J, 3], metres, as the smplx package places them.

    Leading dimensions broadcast against each other.

    Args:
      body: the model.
      betas: [*, S] shape coefficients, S at most what the body has.
      expression: [*, E] expression coefficients, E at most what the body has (may be 0).
      rotations: [*, J, 3, 3] of every joint relative to its parent, see `hvc_jax.ops.rotation`
        for axis-angle and 6D input; the first is the global orientation.
      transl: [*, 3] added to everything, metres.
    """
    lead = jnp.broadcast_shapes(betas.shape[:-1], expression.shape[:-1], rotations.shape[:-3])
    betas = jnp.broadcast_to(betas, (*lead, betas.shape[-1]))
    expression = jnp.broadcast_to(expression, (*lead, expression.shape[-1]))
    vertices, joints = shaped(body, betas, expression)
    vertices, joints = skin(
        body, vertices, joints, jnp.broadcast_to(rotations, (*lead, *rotations.shape[-3:]))
    )
    if transl is not None:
        vertices, joints = vertices + transl[..., None, :], joints + transl[..., None, :]
    return vertices, joints


def hand_pose(body: Body, coefficients: jax.Array, side: str, *, flat: bool = False) -> jax.Array:
    """Returns the axis-angle [*, 15, 3] of a hand from its principal components.

    Args:
      body: an SMPL-H or SMPL-X model with hand components.
      coefficients: [*, K], K up to 45.
      side: "left" or "right".
      flat: leave out the mean pose, so that zero is a flat hand (smplx: flat_hand_mean).
    """
    if body.hands_components is None or body.hands_mean is None:
        raise ValueError(f"{body.name} has no hand components; use an SMPL-H or SMPL-X file")
    k = ("left", "right").index(side)
    components = body.hands_components[k, : coefficients.shape[-1]]
    pose = jnp.matmul(coefficients, components, precision=_EXACT)
    pose = pose if flat else pose + body.hands_mean[k]
    return pose.reshape(*pose.shape[:-1], 15, 3)


def landmarks(body: Body, vertices: jax.Array) -> jax.Array:
    """Returns the face landmarks [*, L, 3] that the model file defines on its triangles."""
    if body.landmark_faces is None or body.landmark_barycentric is None:
        raise ValueError(f"{body.name} defines no landmarks; use an SMPL-X file")
    corners = vertices[..., body.faces[body.landmark_faces], :]
    return jnp.sum(corners * body.landmark_barycentric[..., None], axis=-2)


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns the matrix products of [*, 3, 3] and [*, 3, 3].

    Written out: the XLA of jax 0.10 refuses some batched 3x3 dots with two leading dimensions
    ("hlo verifier ... shape"), and small dots do not fuse with what surrounds them.
    """
    return sum(a[..., :, k, None] * b[..., None, k, :] for k in range(3))


def _combine(coefficients: jax.Array, directions: jax.Array) -> jax.Array:
    """Returns sum_k coefficients[*, k] directions[k, N, 3] as [*, N, 3]."""
    flat = directions.reshape(directions.shape[0], -1)
    out = jnp.matmul(coefficients, flat, precision=_EXACT)
    return out.reshape(*coefficients.shape[:-1], *directions.shape[1:])
