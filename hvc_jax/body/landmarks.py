"""The 17 COCO keypoints as points that ride on the body's joints.

Fitting asks for these points a thousand times, the skinned surface only once: each point is a fixed
offset from a joint's rest position, turned with that joint, so that no vertex is skinned.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.assets import Body
from hvc_jax.body.lbs import world_transforms
from hvc_jax.body.params import JOINT_INDEX, NUM_BODY_JOINTS, PARENTS

COCO_MIRROR = np.array([0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15])
"""Which keypoint each becomes in a mirror. Their order: nose, then left and right eye, ear,
shoulder, elbow, wrist, hip, knee, ankle."""

_RIDES_ON = (
    *("head",) * 5,
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
)
COCO_JOINTS = np.array([JOINT_INDEX[name] for name in _RIDES_ON])
"""The joint that each of the 17 keypoints rides on."""


class Skeleton(NamedTuple):
    """The rest skeleton with K points that ride on it, linear in the shape coefficients."""

    joints: jax.Array  # [22, 3] rest joints of the mean shape, metres
    joint_directions: jax.Array  # [10, 22, 3] metres per unit of each shape coefficient
    points: jax.Array  # [K, 3] rest points of the mean shape, metres
    point_directions: jax.Array  # [10, K, 3] metres per unit of each shape coefficient


def _face_vertices(
    vertices: np.ndarray, eyes: np.ndarray, head: np.ndarray
) -> tuple[int, int, int]:
    """Returns the vertices of the nose's tip, the left and the right ear of a T-pose [V, 3]."""
    # The head is what lies around its joint, within the size of a head.
    ids = np.flatnonzero((np.abs(vertices - head) < np.array([0.12, 0.2, 0.2])).all(-1))
    eye_level = eyes[:, 1].mean()
    below_eyes = ids[(np.abs(vertices[ids, 0]) < 0.012) & (vertices[ids, 1] < eye_level - 0.015)]
    nose = below_eyes[np.argmax(vertices[below_eyes, 2])]
    level = ids[np.abs(vertices[ids, 1] - eye_level) < 0.03]
    across = vertices[level, 0]
    return int(nose), int(level[across.argmax()]), int(level[across.argmin()])


def landmarks_of(body: Body) -> Skeleton:
    """Returns the 17 keypoints of a body model in T-pose, found by the shape of its head."""
    joints, directions = body.J_template, body.J_shapedirs[: body.shapedirs.shape[0]]
    eyes = [JOINT_INDEX["left_eye_smplhf"], JOINT_INDEX["right_eye_smplhf"]]
    rest = np.asarray(joints)
    nose, left_ear, right_ear = _face_vertices(
        np.asarray(body.v_template), rest[eyes], rest[JOINT_INDEX["head"]]
    )
    vertex = np.array([nose, left_ear, right_ear])
    on_skin, skin_directions = body.v_template[vertex], body.shapedirs[:, vertex]
    face = jnp.stack([on_skin[0], joints[eyes[0]], joints[eyes[1]], on_skin[1], on_skin[2]])
    face_directions = jnp.stack(
        [
            skin_directions[:, 0],
            directions[:, eyes[0]],
            directions[:, eyes[1]],
            skin_directions[:, 1],
            skin_directions[:, 2],
        ],
        axis=1,
    )
    limbs = COCO_JOINTS[5:]
    return Skeleton(
        joints[:NUM_BODY_JOINTS],
        directions[:, :NUM_BODY_JOINTS],
        jnp.concatenate([face, joints[limbs]]),
        jnp.concatenate([face_directions, directions[:, limbs]], axis=1),
    )


def pose_points(
    skeleton: Skeleton, rides_on: np.ndarray, betas: jax.Array, rotations: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns points [*, K, 3] and joints [*, 22, 3], metres, pelvis at the origin.

    Points ride on joints `rides_on` [K]; `betas` [*, 10]; `rotations` [*, 22, 3, 3] are relative.
    """
    joints = skeleton.joints + jnp.einsum("...s,sjc->...jc", betas, skeleton.joint_directions)
    points = skeleton.points + jnp.einsum("...s,sjc->...jc", betas, skeleton.point_directions)
    joints = jnp.broadcast_to(joints, (*rotations.shape[:-3], *joints.shape[-2:]))
    world, position = world_transforms(rotations, joints, PARENTS[:NUM_BODY_JOINTS])
    offset = points - joints[..., rides_on, :]
    moved = jnp.sum(world[..., rides_on, :, :] * offset[..., None, :], -1)
    pelvis = position[..., :1, :]
    return position[..., rides_on, :] + moved - pelvis, position - pelvis
