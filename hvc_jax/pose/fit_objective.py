"""What the descent through a clip's pixels minimises.

The unknowns are those that the stream codes (axis-angles, camera, shape), so smoothness is asked of
the very numbers that cost bits. The objective is the skin's looks beside a robust reprojection
error of landmarks, a Gaussian over poses, closeness to the start, depth as landmarks in space told
it, and small accelerations; in the spirit of SMPLify (Bogo et al., ECCV 2016) with the frames of a
clip solved together.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.landmarks import Skeleton
from hvc_jax.body.params import BODY_VECTOR_SIZE, JOINT_INDEX, NUM_BODY_JOINTS, POSE
from hvc_jax.ops import rotation
from hvc_jax.pose.appearance import Appearance, Surface, appearance_cost, pose_surface
from hvc_jax.pose.solve import NUM_POSE, PosePrior, Solution, project_points


class FitWeights(NamedTuple):
    """What each term of the objective weighs; lengths in metres at the person."""

    landmarks: float = 1.0  # chosen in experiments/041_bodies
    prior: float = 1e-2
    depth: float = 30.0
    start: float = 2e-3
    pose_acceleration: float = 2.0
    pose_velocity: float = 2e-3
    camera_acceleration: float = 8.0
    camera_velocity: float = 0.02
    shape: float = 2e-3
    appearance: float = 100.0


class Seen(NamedTuple):
    """What is known of a clip of T frames."""

    points: jax.Array  # [T, 33, 2] landmarks, (u, v)
    weight: jax.Array  # [T, 33] in [0, 1]
    depth: jax.Array  # [T, 33] how far the landmarks are before the pelvis, metres
    valid: jax.Array  # [T] 1 for frames of the clip, 0 for padding
    appearance: Appearance | None = None  # what the pixels say, or None


_BLUNDER = 0.15  # metres by which a landmark is off that shows something else
_RELAXED_CURL = 0.3  # radians per finger joint


@functools.cache
def relaxed_hands() -> np.ndarray:
    """Returns the pose part [165] of a body vector with only the fingers bent, radians."""
    pose = np.zeros((55, 3), np.float32)
    for name, index in JOINT_INDEX.items():
        finger = any(part in name for part in ("index", "middle", "ring", "pinky"))
        if finger:
            pose[index, 2] = -_RELAXED_CURL if name.startswith("left") else _RELAXED_CURL
    return pose.reshape(-1)


def to_vectors(bodies: Solution) -> jax.Array:
    """Returns the body vectors [T, 188] of a fitted clip."""
    frames = len(bodies.frames)
    vector = jnp.zeros((frames, BODY_VECTOR_SIZE))
    vector = vector.at[:, :10].set(bodies.betas)
    vector = vector.at[:, POSE].set(relaxed_hands())
    vector = vector.at[:, POSE.start : POSE.start + NUM_POSE].set(bodies.frames[:, :NUM_POSE])
    scale = jnp.exp(bodies.frames[:, -1:])
    x, y = bodies.frames[:, -3:-2] / scale, -bodies.frames[:, -2:-1] / scale
    return vector.at[:, -3:].set(jnp.concatenate([scale, x, y], -1))


def project_surface(surface: Surface, skeleton: Skeleton, bodies: Solution) -> jax.Array:
    """Returns where surface points are on screen, [T, K, 2], in a fitted clip."""
    frames = bodies.frames
    pose = frames[:, :NUM_POSE].reshape(len(frames), NUM_BODY_JOINTS, 3)
    betas = jnp.broadcast_to(bodies.betas, (len(frames), 10))
    points = pose_surface(surface, skeleton, betas, rotation.axis_angle_to_matrix(pose))
    flat = points[..., :2] * jnp.array([1.0, -1.0])
    return jnp.exp(frames[:, None, -1:]) * flat + frames[:, None, NUM_POSE:-1]


def objective(
    bodies: Solution,
    start: Solution,
    seen: Seen,
    skeleton: Skeleton,
    prior: PosePrior,
    weights: FitWeights,
) -> jax.Array:
    """Returns the mean cost per frame (a scalar) of a clip's bodies; they began at `start`."""
    screen, points = project_points(skeleton, bodies.frames, bodies.betas)
    # In metres at the person: invariant to how large they are in the picture.
    metres = (screen - seen.points) * jnp.exp(-start.frames[:, None, -1:])
    squared = jnp.sum(metres**2, -1)
    robust = squared / (1.0 + squared / _BLUNDER**2)  # Geman-McClure
    data = weights.landmarks * jnp.sum(seen.weight * robust, -1) * 100.0
    data = data + weights.depth * jnp.sum((points[..., 2] - seen.depth) ** 2, -1)
    if seen.appearance is not None:
        skin = project_surface(seen.appearance.surface, skeleton, bodies)
        data = data + weights.appearance * appearance_cost(skin, seen.appearance)

    pose, camera = bodies.frames[:, :NUM_POSE], bodies.frames[:, NUM_POSE:]
    unusual = jnp.sum(((pose[:, 3:] - prior.mean) @ prior.whiten.T) ** 2, -1)
    drift = jnp.sum((pose - start.frames[:, :NUM_POSE]) ** 2, -1)
    cost = data + weights.prior * unusual + weights.start * drift
    valid = seen.valid
    cost = jnp.sum(cost * valid) / jnp.sum(valid)

    both = (valid[1:] * valid[:-1])[:, None]
    turned, moved = (pose[1:] - pose[:-1]) * both, (camera[1:] - camera[:-1]) * both
    jerk, camera_jerk = ((rate[1:] - rate[:-1]) * both[1:] for rate in (turned, moved))
    smooth = (
        weights.pose_velocity * jnp.sum(jnp.sqrt(turned**2 + 1e-4))
        + weights.pose_acceleration * jnp.sum(jerk**2)
        + weights.camera_velocity * jnp.sum(jnp.sqrt(moved**2 + 1e-5))
        + weights.camera_acceleration * jnp.sum(camera_jerk**2)
    )
    return cost + smooth / jnp.sum(valid) + weights.shape * jnp.sum(bodies.betas**2)
