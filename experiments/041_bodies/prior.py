"""Makes the Gaussian over poses that solver and descent hold to: "mean" and "whiten" of the tables.

    python experiments/041_bodies/prior.py MOCAP TABLES.safetensors

MOCAP is a folder of BVH files with T-poses (CMU). Arms and heads are exchanged between frames and a
share of the arms is procedural, because capture sessions have few people who talk, sign or hold
things. The other table of the package, where points of the face mesh lie, is copied.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from hvc_jax.body.assets import load_body
from hvc_jax.body.bvh import read_bvh
from hvc_jax.body.bvh_retarget import retarget
from hvc_jax.body.params import JOINT_INDEX, NUM_BODY_JOINTS
from hvc_jax.ops import rotation
from hvc_jax.pose.bodies import fit_tables

ARMS = np.array(
    [JOINT_INDEX[f"{s}_{j}"] for s in ("left", "right") for j in ("collar", "shoulder", "elbow")]
)
HEAD = np.array([JOINT_INDEX["neck"], JOINT_INDEX["head"]])
WRISTS = np.array([JOINT_INDEX["left_wrist"], JOINT_INDEX["right_wrist"]])


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
    second -= jnp.sum(direction * second, -1, keepdims=True) * direction
    second /= jnp.linalg.norm(second, axis=-1, keepdims=True)
    return jnp.stack([direction, second, jnp.cross(direction, second)], -1)


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


def pose_prior(poses: np.ndarray, count: int = 20000, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns a Gaussian over plausible poses, as the fit's prior.

    Args:
      poses: [N, 22, 3] axis-angle from `load_poses`.
      count: random poses that it is estimated from.
      seed: of those.

    Returns:
      "mean" [63] and "whiten" [63, 63], float32: whiten @ (pose - mean) of the axis-angle of joints
      1 to 21 (radians) has unit covariance.
    """

    @jax.jit
    def sample(key: jax.Array, poses: jax.Array) -> jax.Array:
        matrices = sample_rotations(key, poses, count)
        return rotation.matrix_to_axis_angle(matrices[:, 1:])

    vectors = np.asarray(sample(jax.random.key(seed), jnp.asarray(poses))).reshape(count, -1)
    mean = vectors.mean(0)
    covariance = np.cov(vectors.T.astype(np.float64)) + 0.03**2 * np.eye(len(mean))
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    return {"mean": mean.astype(np.float32), "whiten": whiten.astype(np.float32)}


def main() -> None:
    """Samples and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mocap", type=Path)
    parser.add_argument("tables", type=Path)
    given = parser.parse_args()
    files = sorted(given.mocap.rglob("*.bvh"))
    found = pose_prior(load_poses(files, np.asarray(load_body().J_template)))
    save_file(fit_tables() | found, given.tables)


if __name__ == "__main__":
    main()
