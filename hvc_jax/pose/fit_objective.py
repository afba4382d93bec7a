"""What the fit of a clip's bodies minimises.

The unknowns are those that the stream codes (axis-angles, camera, shape), so smoothness is asked of
the very numbers that cost bits. The objective is a robust reprojection error, a Gaussian over
poses, closeness to the start where nothing is seen, and small accelerations; in the spirit of
SMPLify (Bogo et al., ECCV 2016) with the frames of a clip solved together. Depth no view shows: it
stays near what the lifting network learned from motion capture.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.landmarks import Landmarks, pose_landmarks
from hvc_jax.body.params import BODY_VECTOR_SIZE, JOINT_INDEX, NUM_BODY_JOINTS, POSE
from hvc_jax.ops import rotation
from hvc_jax.pose.appearance import Appearance, Surface, appearance_cost, pose_surface
from hvc_jax.pose.outline import Outline, outline_cost


class PosePrior(NamedTuple):
    """A Gaussian over the axis-angles of joints 1 to 21.

    Attributes:
      mean: [63] radians.
      whiten: [63, 63]; whiten @ (pose - mean) has unit covariance.
    """

    mean: jax.Array
    whiten: jax.Array


class FitWeights(NamedTuple):
    """What each term of the objective weighs; lengths in units of the person's torso."""

    keypoints: float = 1.0
    unseen: float = 2.0
    prior: float = 1e-2
    depth: float = 30.0
    start: float = 2e-3
    pose_acceleration: float = 2.0
    pose_velocity: float = 2e-3
    camera_acceleration: float = 8.0
    camera_velocity: float = 0.02
    shape: float = 2e-3
    upright: float = 1.0
    appearance: float = 100.0
    outline: float = 10.0


class Measured(NamedTuple):
    """What is known of a clip of T frames.

    Attributes:
      points: [T, 17, 2] keypoints, (u, v).
      confidence: [T, 17] in [0, 1].
      absent: [T, 12] in [0, 1], the limbs' keypoints that no one has seen for a while.
      depth: [T, 22] how far the joints are before the pelvis by the lifting network, metres.
      valid: [T] 1 for frames of the clip, 0 for padding.
      appearance: what the pixels say, or None.
      outline: what masks say, or None.
    """

    points: jax.Array
    confidence: jax.Array
    absent: jax.Array
    depth: jax.Array
    valid: jax.Array
    appearance: Appearance | None = None
    outline: Outline | None = None


class FitState(NamedTuple):
    """The unknowns of a clip of T frames.

    Attributes:
      pose: [T, 22, 3] axis-angle, radians; the pelvis first.
      betas: [10] shape coefficients, the same for every frame.
      centre: [T, 2] where the pelvis is on screen, (u, v).
      log_scale: [T] logarithm of the camera scale.
    """

    pose: jax.Array
    betas: jax.Array
    centre: jax.Array
    log_scale: jax.Array


_HIPS = slice(6, 8)  # of the limbs' keypoints
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


def to_vectors(state: FitState) -> jax.Array:
    """Returns the body vectors [T, 188] of a fitted clip."""
    frames = state.pose.shape[0]
    vector = jnp.zeros((frames, BODY_VECTOR_SIZE))
    vector = vector.at[:, :10].set(state.betas)
    vector = vector.at[:, POSE].set(relaxed_hands())
    body = slice(POSE.start, POSE.start + NUM_BODY_JOINTS * 3)
    vector = vector.at[:, body].set(state.pose.reshape(frames, -1))
    scale = jnp.exp(state.log_scale)[:, None]
    x, y = state.centre[:, :1] / scale, -state.centre[:, 1:] / scale
    return vector.at[:, -3:].set(jnp.concatenate([scale, x, y], -1))


def reproject(landmarks: Landmarks, state: FitState) -> tuple[jax.Array, jax.Array]:
    """Returns the keypoints on screen [T, 17, 2] and the joints [T, 22, 3] of a fitted clip."""
    matrices = rotation.axis_angle_to_matrix(state.pose)
    betas = jnp.broadcast_to(state.betas, (state.pose.shape[0], 10))
    points, joints = pose_landmarks(landmarks, betas, matrices)
    flat = points[..., :2] * jnp.array([1.0, -1.0])
    screen = jnp.exp(state.log_scale)[:, None, None] * flat + state.centre[:, None]
    return screen, joints


def project_surface(surface: Surface, landmarks: Landmarks, state: FitState) -> jax.Array:
    """Returns where surface points are on screen, [T, K, 2], in a fitted clip."""
    matrices = rotation.axis_angle_to_matrix(state.pose)
    betas = jnp.broadcast_to(state.betas, (state.pose.shape[0], 10))
    points = pose_surface(surface, landmarks, betas, matrices)
    flat = points[..., :2] * jnp.array([1.0, -1.0])
    return jnp.exp(state.log_scale)[:, None, None] * flat + state.centre[:, None]


def unlikeliness(prior: PosePrior, pose: jax.Array) -> jax.Array:
    """Returns [T]: squared distances from the prior's mean, in its standard deviations.

    Args:
      prior: over poses.
      pose: [T, 22, 3] axis-angle; the pelvis does not count.
    """
    flat = pose[:, 1:].reshape(pose.shape[0], -1)
    return jnp.sum(((flat - prior.mean) @ prior.whiten.T) ** 2, -1)


def objective(
    state: FitState,
    start: FitState,
    measured: Measured,
    landmarks: Landmarks,
    prior: PosePrior,
    weights: FitWeights,
) -> jax.Array:
    """Returns the mean cost per frame (a scalar) of a clip's bodies.

    Args:
      state: the unknowns.
      start: where they began.
      measured: of the clip.
      landmarks: of the body model.
      prior: over poses.
      weights: of the terms.
    """
    points, confidence, absent, depth, valid, appearance, outline = measured
    screen, joints = reproject(landmarks, state)
    # In metres at the person: invariant to how large they are in the picture.
    metres = (screen - points) / jnp.exp(jax.lax.stop_gradient(start.log_scale))[:, None, None]
    squared = jnp.sum(metres**2, -1)
    robust = squared / (1.0 + squared / 0.15**2)  # Geman-McClure: beyond 15 cm it is a blunder
    data = jnp.sum(confidence**2 * robust, -1) * 100.0

    data = data + weights.depth * jnp.sum((joints[..., 2] - depth) ** 2, -1)

    # What no one sees is most often cut off by the picture's lower edge: do not leave it in plain
    # view.
    inside = jax.nn.relu(1.0 - screen[:, 5:, 1]) * (jnp.abs(screen[:, 5:, 0]) < 1.0)
    inside = inside / jnp.exp(jax.lax.stop_gradient(start.log_scale))[:, None]
    data = data + weights.unseen * jnp.sum(absent * inside**2, -1)

    # One view does not tell a trunk that leans to the camera from a shorter one. Where the hips are
    # cut off nothing else says so either, and a person in a close-up sits or stands.
    up = rotation.axis_angle_to_matrix(state.pose[:, 0])[..., 1]
    data = data + weights.upright * absent[:, _HIPS].mean(-1) * up[:, 2] ** 2

    if appearance is not None:
        skin = project_surface(appearance.surface, landmarks, state)
        data = data + weights.appearance * appearance_cost(skin, appearance)

    if outline is not None:
        data = data + weights.outline * outline_cost(to_vectors(state), outline)

    unusual = unlikeliness(prior, state.pose)
    drift = jnp.sum((state.pose - start.pose) ** 2, (1, 2))
    cost = weights.keypoints * data + weights.prior * unusual + weights.start * drift
    cost = jnp.sum(cost * valid) / jnp.sum(valid)

    both = valid[1:] * valid[:-1]
    velocity = (state.pose[1:] - state.pose[:-1]) * both[:, None, None]
    jerk = (velocity[1:] - velocity[:-1]) * both[1:, None, None]
    motion = jnp.concatenate([state.centre, state.log_scale[:, None]], -1)
    drift_rate = (motion[1:] - motion[:-1]) * both[:, None]
    camera_jerk = (drift_rate[1:] - drift_rate[:-1]) * both[1:, None]
    smooth = (
        weights.pose_velocity * jnp.sum(jnp.sqrt(velocity**2 + 1e-4))
        + weights.pose_acceleration * jnp.sum(jerk**2)
        + weights.camera_velocity * jnp.sum(jnp.sqrt(drift_rate**2 + 1e-5))
        + weights.camera_acceleration * jnp.sum(camera_jerk**2)
    )
    return cost + smooth / jnp.sum(valid) + weights.shape * jnp.sum(state.betas**2)
