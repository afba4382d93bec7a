"""Blend shapes, kinematic tree and linear blend skinning (SMPL, Loper et al., 2015).

    betas, expression ──► v_shaped ──► joints ─┐
    pose ──► rotations ──► world transforms ◄──┘──► skinned vertices

The tree is walked level by level (9 levels in SMPL-X), not joint by joint, which keeps the compiled
program short and its chain of dependent steps small. Matrix products dominate; see
`hvc_jax.body.skinning` for what is done about the rest.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.assets import Body
from hvc_jax.body.camera import project
from hvc_jax.body.params import BodyParams, unpack
from hvc_jax.body.skinning import combine, skin_vertices
from hvc_jax.ops import rotation


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
    """Returns world rotations [*, J, 3, 3] and joint positions [*, J, 3], metres, of a posed tree.

    `rotations` [*, J, 3, 3] are relative to the parent, `joints` [*, J, 3] rest positions, metres.
    """
    table = np.array(parents)
    levels = (np.array([0]), *tree_levels(parents))
    worlds, positions = [rotations[..., :1, :, :]], [joints[..., :1, :]]
    # Levels are put together at the end: scatters into the whole tree have slow gradients.
    for above, level in zip(levels[:-1], levels[1:], strict=True):
        rows = np.searchsorted(above, table[level])
        turn = worlds[-1][..., rows, :, :]
        offset = joints[..., level, :] - joints[..., table[level], :]
        worlds.append(_product(turn, rotations[..., level, :, :]))
        positions.append(positions[-1][..., rows, :] + jnp.sum(turn * offset[..., None, :], -1))
    order = np.argsort(np.concatenate(levels))
    return (
        jnp.concatenate(worlds, axis=-3)[..., order, :, :],
        jnp.concatenate(positions, axis=-2)[..., order, :],
    )


def shaped(body: Body, betas: jax.Array, expression: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns rest vertices [*, V, 3] and joints [*, J, 3], metres, of (the first) coefficients."""
    coefficients = _coefficients(body, betas, expression)
    count = coefficients.shape[-1]
    vertices = body.v_template + combine(coefficients, body.directions[:count])
    return vertices, body.J_template + combine(coefficients, body.J_shapedirs)


def _coefficients(body: Body, betas: jax.Array, expression: jax.Array) -> jax.Array:
    """Returns [*, S + E], with zeros for the coefficients that are not given."""
    missing = body.num_betas - betas.shape[-1], body.num_expression - expression.shape[-1]
    if min(missing) < 0:
        raise ValueError(
            f"{body.name} has {body.num_betas} shape and {body.num_expression} "
            f"expression directions, got {betas.shape[-1]} and {expression.shape[-1]} coefficients"
        )
    lead = jnp.broadcast_shapes(betas.shape[:-1], expression.shape[:-1])
    parts = [
        jnp.broadcast_to(jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, k)]), (*lead, x.shape[-1] + k))
        for x, k in zip((betas, expression), missing, strict=True)
    ]
    return jnp.concatenate(parts, axis=-1)


def posed_vertices(body: Body, params: BodyParams) -> tuple[jax.Array, jax.Array]:
    """Returns vertices [*, V, 3] and joints [*, J, 3], metres, with the pelvis at the origin.

    The joints of the open body and of SMPL-X are the 55 of `BodyParams`; SMPL-H lacks jaw and
    eyes, SMPL has two rigid hands instead of fingers (`Body.pose_index`). A body without
    expression directions ignores the expression.
    """
    pose = jnp.concatenate([params.global_orient[..., None, :], params.body_pose], axis=-2)
    expression = params.expression[..., : body.num_expression]
    if body.pose_index != tuple(range(pose.shape[-2])):
        index = np.array(body.pose_index)
        pose = jnp.where((index >= 0)[:, None], pose[..., np.maximum(index, 0), :], 0.0)
    rotations = rotation.axis_angle_to_matrix(pose)
    vertices, joints = forward(body, params.betas, expression, rotations)
    pelvis = joints[..., :1, :]
    return vertices - pelvis, joints - pelvis


def screen_vertices(body: Body, vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns vertices [*, V, 3], metres, and their picture coordinates, of body vectors [*, 188].

    Picture coordinates [*, V, 3] are those of `hvc_jax.body.camera.project`.
    """
    params = unpack(vectors)
    vertices, _ = posed_vertices(body, params)
    return vertices, project(vertices, params.camera)


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
      rotations: [*, J, 3, 3] of every joint relative to its parent; the first is the orientation.
      transl: [*, 3] added to everything, metres.
    """
    coefficients = _coefficients(body, betas, expression)
    joints = body.J_template + combine(coefficients, body.J_shapedirs)
    lead = jnp.broadcast_shapes(coefficients.shape[:-1], rotations.shape[:-3])
    if len(body.directions) > coefficients.shape[-1]:
        feature = rotations[..., 1:, :, :] - jnp.eye(3, dtype=rotations.dtype)
        parts = coefficients, feature.reshape(*feature.shape[:-3], -1)
        parts = [jnp.broadcast_to(x, (*lead, x.shape[-1])) for x in parts]
        coefficients = jnp.concatenate(parts, axis=-1)
    offsets = combine(coefficients, body.directions)
    joints = jnp.broadcast_to(joints, (*lead, *joints.shape[-2:]))
    rotations = jnp.broadcast_to(rotations, (*lead, *rotations.shape[-3:]))
    world, position = world_transforms(rotations, joints, body.parents)
    shift = position - jnp.sum(world * joints[..., None, :], axis=-1)
    transforms = jnp.concatenate([world, shift[..., None]], axis=-1)
    vertices = skin_vertices(body.v_template, offsets, transforms, body.lbs_weights)
    if transl is not None:
        vertices, position = vertices + transl[..., None, :], position + transl[..., None, :]
    return vertices, position


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns the matrix products of [*, 3, 3] and [*, 3, 3].

    Written out: the XLA of jax 0.10 refuses some batched 3x3 dots with two leading dimensions
    ("hlo verifier ... shape"), and small dots do not fuse with what surrounds them.
    """
    return sum(a[..., :, k, None] * b[..., None, k, :] for k in range(3))
