"""Random bodies before random cameras, as the lifter is trained on them.

Poses come from motion capture (BVH files), with arms and heads exchanged between frames and a share
of procedural arms, because capture sessions have few people who talk, sign or hold things.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.bvh import read_bvh
from hvc_jax.body.bvh_retarget import retarget
from hvc_jax.body.landmarks import Landmarks, face_seen, pose_landmarks
from hvc_jax.body.params import JOINT_INDEX, NUM_BODY_JOINTS
from hvc_jax.ops import rotation

ARMS = np.array(
    [JOINT_INDEX[f"{s}_{j}"] for s in ("left", "right") for j in ("collar", "shoulder", "elbow")]
)
HEAD = np.array([JOINT_INDEX["neck"], JOINT_INDEX["head"]])
LEGS = np.array(
    [JOINT_INDEX[f"{s}_{j}"] for s in ("left", "right") for j in ("hip", "knee", "ankle")]
)
WRISTS = np.array([JOINT_INDEX["left_wrist"], JOINT_INDEX["right_wrist"]])


class Bodies(NamedTuple):
    """A batch of posed bodies and what a camera sees of them.

    Attributes:
      rotations: [B, 22, 3, 3] of each joint relative to its parent; the pelvis in camera space.
      betas: [B, 10].
      joints: [B, 22, 3] metres, pelvis at the origin.
      camera: [B, 3] weak-perspective (scale, x, y).
      points: [B, 17, 2] the keypoints as measured, noise included.
      confidence: [B, 17] in [0, 1]; 0 = not seen.
      exact: [B, 17, 2] the keypoints without noise.
    """

    rotations: jax.Array
    betas: jax.Array
    joints: jax.Array
    camera: jax.Array
    points: jax.Array
    confidence: jax.Array
    exact: jax.Array


def load_poses(paths: Sequence[str | Path], rest_joints: np.ndarray, stride: int = 3) -> np.ndarray:
    """Returns poses [N, 22, 3] axis-angle, radians, of BVH files, the pelvis' heading removed.

    Args:
      paths: BVH files.
      rest_joints: [55, 3] of the body they are carried over to.
      stride: take every stride-th frame.
    """
    poses = []
    for path in paths:
        try:
            pose = retarget(read_bvh(path), np.asarray(rest_joints))
        except ValueError as error:
            print(f"left out {path}: {error}", flush=True)
            continue
        poses.append(pose[::stride, :NUM_BODY_JOINTS])
    if not poses:
        raise ValueError("no motion file could be used; give .bvh files whose rest is a T-pose")
    pose = np.concatenate(poses)
    matrix = np.asarray(rotation.axis_angle_to_matrix(jnp.asarray(pose[:, 0])))
    yaw = np.arctan2(matrix[:, 0, 2], matrix[:, 2, 2])
    turn = np.asarray(rotation.axis_angle_to_matrix(jnp.asarray(_about(1, -yaw))))
    pose[:, 0] = np.asarray(rotation.matrix_to_axis_angle(jnp.asarray(turn @ matrix)))
    # A frame in which any body joint but the pelvis turns more than 2.9 rad is a tracking fault.
    good = np.linalg.norm(pose[:, 1:], axis=-1).max(-1) < 2.9
    return pose[good].astype(np.float32)


def _about(axis: int, angle: np.ndarray) -> np.ndarray:
    out = np.zeros((*np.shape(angle), 3), np.float32)
    out[..., axis] = angle
    return out


def _turn_x_to(direction: jax.Array) -> jax.Array:
    """Returns the smallest rotations [*, 3, 3] that turn +x into unit directions [*, 3]."""
    x, y, z = direction[..., 0], direction[..., 1], direction[..., 2]
    f = 1 / jnp.maximum(1 + x, 0.05)  # near -x there is no smallest turn: any will do
    second = jnp.stack([-y, 1 - y * y * f, -y * z * f], -1)
    return rotation.six_d_to_matrix(jnp.concatenate([direction, second], -1))


def procedural_arms(key: jax.Array, count: int) -> jax.Array:
    """Returns arm rotations [count, 6, 3, 3] (left collar, shoulder, elbow, then right).

    Upper arms hang or reach forwards and sideways, elbows bend, as in talks and sign languages.
    """
    keys = jax.random.split(key, 5)
    mean = jnp.array([0.35, -0.9, 0.25])
    spread = jnp.array([0.35, 0.6, 0.4])
    direction = mean + spread * jax.random.normal(keys[0], (count, 2, 3))
    direction = direction / jnp.linalg.norm(direction, axis=-1, keepdims=True)
    twist = 0.6 + 0.6 * jax.random.normal(keys[1], (count, 2))
    # Mostly well bent, sometimes straight.
    bend = jax.random.uniform(keys[2], (count, 2), minval=0.0, maxval=2.5)
    bend = jnp.where(jax.random.bernoulli(keys[3], 0.25, (count, 2)), bend * 0.25, bend)
    zero = jnp.zeros_like(twist)
    about_bone = rotation.axis_angle_to_matrix(jnp.stack([-twist, zero, zero], -1))
    shoulder = _turn_x_to(direction) @ about_bone
    elbow = rotation.axis_angle_to_matrix(jnp.stack([zero, -bend, zero], -1))
    collar = rotation.axis_angle_to_matrix(0.1 * jax.random.normal(keys[4], (count, 2, 3)))
    left = jnp.stack([collar[:, 0], shoulder[:, 0], elbow[:, 0]], 1)
    right = jnp.stack([collar[:, 1], shoulder[:, 1], elbow[:, 1]], 1)
    return jnp.concatenate([left, mirror_rotations(right)], 1)


def mirror_rotations(matrix: jax.Array) -> jax.Array:
    """Returns rotations [*, 3, 3] seen in a mirror in the plane x = 0."""
    sign = jnp.array([[1.0, -1, -1], [-1, 1, 1], [-1, 1, 1]])
    return matrix * sign


_SWAP = np.arange(NUM_BODY_JOINTS)
for _name, _index in JOINT_INDEX.items():
    if _index < NUM_BODY_JOINTS and _name.startswith("left_"):
        _other = JOINT_INDEX[_name.replace("left_", "right_")]
        _SWAP[_index], _SWAP[_other] = _other, _index


def sample_rotations(key: jax.Array, poses: jax.Array, count: int) -> jax.Array:
    """Returns random rotations [count, 22, 3, 3]; the pelvis faces +z but for lean.

    Args:
      key: random key.
      poses: [N, 22, 3] axis-angle from `load_poses`.
      count: how many.
    """
    keys = jax.random.split(key, 10)

    def some(k: jax.Array) -> jax.Array:
        return rotation.axis_angle_to_matrix(
            poses[jax.random.randint(k, (count,), 0, poses.shape[0])]
        )

    pose = some(keys[0])
    other = some(keys[1])
    choose = jax.random.uniform(keys[2], (count, 1, 1, 1))
    arms = jnp.where(choose < 0.2, other[:, ARMS], pose[:, ARMS])
    arms = jnp.where(choose > 0.55, procedural_arms(keys[3], count), arms)
    pose = pose.at[:, ARMS].set(arms)
    swap_head = jax.random.bernoulli(keys[4], 0.3, (count, 1, 1, 1))
    pose = pose.at[:, HEAD].set(jnp.where(swap_head, other[:, HEAD], pose[:, HEAD]))
    nod = rotation.axis_angle_to_matrix(
        jnp.array([0.2, 0.25, 0.12]) * jax.random.normal(keys[5], (count, 2, 3))
    )
    pose = pose.at[:, HEAD].set(pose[:, HEAD] @ nod)
    # Someone who talks stands or sits upright, whatever the captured pelvis does.
    upright = jax.random.bernoulli(keys[6], 0.35, (count, 1, 1))
    lean = rotation.axis_angle_to_matrix(0.08 * jax.random.normal(keys[7], (count, 3)))
    pose = pose.at[:, 0].set(jnp.where(upright, lean, pose[:, 0]))
    pose = pose.at[:, WRISTS].set(jnp.eye(3))
    jitter = rotation.axis_angle_to_matrix(
        0.05 * jax.random.normal(keys[8], (count, NUM_BODY_JOINTS, 3))
    )
    pose = pose @ jitter
    mirrored = mirror_rotations(pose)[:, _SWAP]
    return jnp.where(jax.random.bernoulli(keys[9], 0.5, (count, 1, 1, 1)), mirrored, pose)


def sample_bodies(key: jax.Array, poses: jax.Array, landmarks: Landmarks, count: int) -> Bodies:
    """Returns random bodies before random cameras, with measured keypoints.

    Args:
      key: random key.
      poses: [N, 22, 3] axis-angle from `load_poses`.
      landmarks: of the body model.
      count: batch size B.
    """
    keys = jax.random.split(key, 16)
    pose = sample_rotations(keys[0], poses, count)
    front = 0.5 * jax.random.normal(keys[1], (count,))
    anywhere = jax.random.uniform(keys[2], (count,), minval=-jnp.pi, maxval=jnp.pi)
    yaw = jnp.where(jax.random.bernoulli(keys[3], 0.35, (count,)), anywhere, front)
    zero = jnp.zeros_like(yaw)
    tilt = jnp.array([0.15, 0.0, 0.08]) * jax.random.normal(keys[4], (count, 3))
    view = rotation.axis_angle_to_matrix(tilt) @ rotation.axis_angle_to_matrix(
        jnp.stack([zero, yaw, zero], -1)
    )
    pose = pose.at[:, 0].set(view @ pose[:, 0])
    betas = 0.8 * jax.random.normal(keys[5], (count, 10))
    points, joints = pose_landmarks(landmarks, betas, pose)

    # A camera at a finite distance; the label is the weak perspective at the pelvis' depth.
    distance = jnp.exp(jax.random.uniform(keys[6], (count, 1), minval=0.7, maxval=2.5))
    factor = distance / (distance - jnp.clip(points[..., 2], -2.0, 0.8))
    flat = jnp.stack([points[..., 0] * factor, -points[..., 1] * factor], -1)
    # How much of the body is in the picture: everything, down to the hips, or the chest.
    kind = jax.random.uniform(keys[7], (count, 1))
    low_joint = jnp.where(kind < 0.45, flat[:, 15:17].max((1, 2)).reshape(-1, 1), 0.0)
    low_joint = jnp.where(kind > 0.75, flat[:, 5, 1:] + 0.12, low_joint)
    high = flat[..., 1].min(1, keepdims=True) - 0.15
    wide = (low_joint - high) * jnp.exp(
        jax.random.uniform(keys[8], (count, 1), minval=-0.1, maxval=0.6)
    )
    wide = jnp.maximum(wide, 0.35)
    scale = 2 / wide
    at = -flat[:, :5].mean(1)
    at = at.at[:, 1].set(-(high + low_joint)[:, 0] / 2)
    at = at + 0.12 * wide * jax.random.normal(keys[9], (count, 2))
    exact = scale[:, None] * (flat + at[:, None])
    camera = jnp.concatenate([scale, at[:, :1], -at[:, 1:]], -1)

    size = (jnp.linalg.norm(flat[:, 5] - flat[:, 12], axis=-1)[:, None, None] + 0.1) * scale[
        :, None
    ]
    amount = 0.02 * jnp.exp(0.7 * jax.random.normal(keys[10], (count, 1, 1)))
    noise = size * amount * jax.random.normal(keys[11], exact.shape)
    wild = jax.random.bernoulli(keys[12], 0.02, exact.shape[:2])[..., None]
    noise = jnp.where(wild, noise * 8, noise)
    seen = (jnp.abs(exact) < 1.0).all(-1)
    seen = seen & jnp.concatenate([face_seen(points), jnp.ones((count, 12), bool)], -1)
    drop = jax.random.bernoulli(keys[13], 0.05, exact.shape[:2])
    confidence = jax.random.uniform(keys[14], exact.shape[:2], minval=0.35, maxval=1.0)
    confidence = jnp.where(
        seen & ~drop, confidence, 0.05 * jax.random.uniform(keys[15], drop.shape)
    )
    return Bodies(pose, betas, joints, camera, exact + noise, confidence, exact)
