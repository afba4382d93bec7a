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
        turned = jnp.matmul(parent_world, rotations[..., level, :, :], precision=_EXACT)
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
    blended = jnp.matmul(flat, body.lbs_weights.T, precision=_EXACT)
    blended = blended.reshape(*lead, 3, 4, -1)
    x, y, z = vertices[..., 0], vertices[..., 1], vertices[..., 2]
    rows = [
        blended[..., i, 0, :] * x + blended[..., i, 1, :] * y + blended[..., i, 2, :] * z
        + blended[..., i, 3, :]
        for i in range(3)
    ]  # fmt: skip
    return jnp.stack(rows, axis=-1), position


def posed_vertices(body: Body, params: BodyParams) -> tuple[jax.Array, jax.Array]:
    """Returns vertices [*, V, 3] and joints [*, 55, 3], metres, with the pelvis at the origin."""
    vertices, joints = shaped(body, params.betas, params.expression)
    pose = jnp.concatenate([params.global_orient[..., None, :], params.body_pose], axis=-2)
    rotations = rotation.axis_angle_to_matrix(pose[..., : body.num_joints, :])
    vertices, joints = skin(body, vertices, joints, rotations)
    pelvis = joints[..., :1, :]
    return vertices - pelvis, joints - pelvis


def _combine(coefficients: jax.Array, directions: jax.Array) -> jax.Array:
    """Returns sum_k coefficients[*, k] directions[k, N, 3] as [*, N, 3]."""
    flat = directions.reshape(directions.shape[0], -1)
    out = jnp.matmul(coefficients, flat, precision=_EXACT)
    return out.reshape(*coefficients.shape[:-1], *directions.shape[1:])
