"""Bodies of a clip from its 2D keypoints: all frames at once, smooth in time, one shape per clip.

The unknowns are those that the stream codes (axis-angles, camera, shape), so smoothness is asked of
the very numbers that cost bits. The objective is a robust reprojection error, a Gaussian over
poses, closeness to the start where nothing is seen, and small accelerations; in the spirit of
SMPLify (Bogo et al., ECCV 2016) with the frames of a clip solved together.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hvc_jax.body.appearance import (
    Appearance,
    Reference,
    Surface,
    appearance_cost,
    appearance_of,
    pose_surface,
)
from hvc_jax.body.assets import load_body
from hvc_jax.body.landmarks import Landmarks, pose_landmarks
from hvc_jax.body.outline import Outline, outline_cost, shrunk_masks
from hvc_jax.body.params import BODY_VECTOR_SIZE, JOINT_INDEX, NUM_BODY_JOINTS, POSE
from hvc_jax.ops import rotation


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
    prior: float = 2e-4
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
      valid: [T] 1 for frames of the clip, 0 for padding.
      appearance: what the pixels say, or None.
      outline: what masks say, or None.
    """

    points: jax.Array
    confidence: jax.Array
    absent: jax.Array
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


_PACE, _FINE_PACE = 0.03, 0.01  # Adam's steps at first, radians: for keypoints, for pixels
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


_reproject = jax.jit(reproject)
_to_vectors = jax.jit(to_vectors)
_to_axis_angle = jax.jit(rotation.matrix_to_axis_angle)


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
    points, confidence, absent, valid, appearance, outline = measured
    screen, _ = reproject(landmarks, state)
    # In metres at the person: invariant to how large they are in the picture.
    metres = (screen - points) / jnp.exp(jax.lax.stop_gradient(start.log_scale))[:, None, None]
    squared = jnp.sum(metres**2, -1)
    robust = squared / (1.0 + squared / 0.15**2)  # Geman-McClure: beyond 15 cm it is a blunder
    data = jnp.sum(confidence**2 * robust, -1) * 100.0

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

    flat = state.pose[:, 1:].reshape(state.pose.shape[0], -1)
    unusual = jnp.sum(((flat - prior.mean) @ prior.whiten.T) ** 2, -1)
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


@functools.partial(jax.jit, static_argnames=("steps",))
def _descend(
    start: FitState,
    measured: Measured,
    landmarks: Landmarks,
    prior: PosePrior,
    weights: FitWeights,
    steps: int,
    pace: float,
    shape: float,
) -> tuple[FitState, jax.Array]:
    """Returns the best state met in `steps` Adam steps, and its cost; `shape` 0 keeps betas."""
    scales = FitState(1.0, 2.0 * shape, 0.5, 0.5)  # step sizes relative to the pose's
    optimiser = optax.adam(optax.cosine_decay_schedule(pace, steps, 0.05))
    value_and_grad = jax.value_and_grad(objective)

    def step(carry, _):  # noqa: ANN001, ANN202
        state, memory, best, best_cost = carry
        cost, grads = value_and_grad(state, start, measured, landmarks, prior, weights)
        better = cost < best_cost
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), state, best)
        updates, memory = optimiser.update(grads, memory)
        updates = jax.tree.map(lambda u, s: u * s, updates, scales)
        return (
            optax.apply_updates(state, updates),
            memory,
            best,
            jnp.minimum(cost, best_cost),
        ), None

    carry = (start, optimiser.init(start), start, jnp.inf)
    (_, _, best, cost), _ = jax.lax.scan(step, carry, None, length=steps + 1)
    return best, cost


def continuous_axis_angle(vectors: np.ndarray) -> np.ndarray:
    """Returns the same rotations [T, *, 3] written so that they do not jump from frame to frame.

    An axis-angle w and w - 2 pi w / |w| are the same rotation; each frame takes the one that is
    nearest to the frame before.
    """
    out = np.array(vectors, np.float64)
    for t in range(1, len(out)):
        angle = np.linalg.norm(out[t], axis=-1, keepdims=True)
        other = out[t] * (1 - 2 * np.pi / np.maximum(angle, 1e-9))
        use = (angle > 1e-6) & (
            np.linalg.norm(other - out[t - 1], axis=-1, keepdims=True)
            < np.linalg.norm(out[t] - out[t - 1], axis=-1, keepdims=True)
        )
        out[t] = np.where(use, other, out[t])
    return out.astype(np.float32)


def smooth_over_time(values: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """Returns values [T, *] averaged over time with a Gaussian of `sigma` frames, weighted.

    Args:
      values: [T, *].
      weight: [T, *] broadcastable to values, >= 0.
      sigma: in frames; 0 leaves the values as they are.
    """
    if sigma <= 0 or len(values) < 2:
        return values
    reach = min(len(values) - 1, max(1, int(np.ceil(3 * sigma))))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weight = np.broadcast_to(weight, values.shape) + 1e-6
    top, bottom = np.zeros_like(values, np.float64), np.zeros_like(values, np.float64)
    for offset, k in zip(range(-reach, reach + 1), kernel, strict=True):
        a, b = max(0, offset), min(len(values), len(values) + offset)
        source, target = slice(a, b), slice(a - offset, b - offset)
        top[target] += k * weight[source] * values[source]
        bottom[target] += k * weight[source]
    return (top / bottom).astype(np.float32)


def absent_limbs(confidence: np.ndarray) -> np.ndarray:
    """Returns [T, 12] in [0, 1]: 1 where a keypoint below the head is unseen, and not just briefly.

    Args:
      confidence: [T, 17] in [0, 1].
    """
    lately = smooth_over_time(confidence[:, 5:], np.ones((1, 1)), 8.0)
    return np.clip(1.0 - np.maximum(lately, confidence[:, 5:]) / 0.15, 0.0, 1.0)


def fit_clip(
    points: np.ndarray,
    confidence: np.ndarray,
    rotations: np.ndarray,
    betas: np.ndarray,
    camera: np.ndarray,
    landmarks: Landmarks,
    prior: PosePrior,
    weights: FitWeights | None = None,
    steps: int = 250,
    frames: np.ndarray | None = None,
    reference: Reference | None = None,
    masks: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns body vectors [T, 188] of a clip and the reprojection error [T, 17] in metres.

    Args:
      points: [T, 17, 2] COCO keypoints, (u, v) in [-1, 1], v down.
      confidence: [T, 17] in [0, 1].
      rotations: [T, 22, 3, 3] start, each joint relative to its parent.
      betas: [T, 10] start.
      camera: [T, 3] start, weak-perspective (scale, x, y).
      landmarks: of the body model.
      prior: over poses.
      weights: of the objective's terms.
      steps: Adam steps, all frames at once.
      frames: [T, H, H, 3] uint8; where given, two more rounds of descent make the skin look the
        same in all of them.
      reference: a frame before the clip whose looks and shape it keeps; None for its own first.
      masks: [T, H, H] uint8 or bool where the person is; a round of descent fits the silhouette.

    Raises:
      ValueError: there are no frames, or their numbers differ.
    """
    count = len(points)
    if (
        not count
        or any(len(a) != count for a in (confidence, rotations, betas, camera))
        or (masks is not None and len(masks) != count)
    ):
        raise ValueError("a clip needs at least one frame, and the same number in every input")
    seen = confidence.mean(1)
    pose = np.asarray(_to_axis_angle(jnp.asarray(rotations)))
    pose = continuous_axis_angle(pose)
    log_scale = np.log(np.maximum(camera[:, :1], 1e-2))
    log_scale = smooth_over_time(log_scale, seen[:, None], 4.0)[:, 0]
    centre = camera[:, :1] * camera[:, 1:] * np.array([1.0, -1.0])
    weight = seen + 1e-3
    shape = (betas * weight[:, None]).sum(0) / weight.sum()
    shape, free = (shape, 1.0) if reference is None else (reference.vector[:10], 0.0)

    # Compiled once per length, so lengths are rounded up to a power of two.
    length = max(32, 2 ** int(np.ceil(np.log2(count))))
    extra = length - count

    def pad(array: np.ndarray) -> jax.Array:
        widths = [(0, extra)] + [(0, 0)] * (array.ndim - 1)
        return jnp.asarray(np.pad(np.asarray(array, np.float32), widths, mode="edge"))

    valid = jnp.asarray((np.arange(length) < count).astype(np.float32))
    start = FitState(
        pad(smooth_over_time(pose, seen[:, None, None], 1.5)),
        jnp.asarray(shape, jnp.float32),
        pad(smooth_over_time(centre, seen[:, None], 1.0)),
        pad(log_scale),
    )
    best, weights = start, weights or FitWeights()
    measured = Measured(pad(points), pad(confidence), pad(absent_limbs(confidence)), valid)
    rest = (landmarks, prior, weights)
    if steps > 0:
        best, _ = _descend(best, measured, *rest, steps, _PACE, free)
    if steps > 0 and masks is not None:
        outline = Outline(load_body(), pad(shrunk_masks(masks)))
        measured = measured._replace(outline=outline)
        best, _ = _descend(best, measured, *rest, steps // 4, _FINE_PACE, free)
        measured = measured._replace(outline=None)
    if steps > 0 and frames is not None:
        for coarse in (True, False):
            vectors = np.asarray(_to_vectors(best))[:count]
            shown = reference or Reference(frames[0], vectors[0])
            seen = appearance_of(frames, vectors, shown, coarse=coarse)
            seen = seen._replace(pictures=pad(seen.pictures), weight=pad(seen.weight))
            both = measured._replace(appearance=seen)
            best, _ = _descend(best, both, *rest, 2 * steps // 5, _FINE_PACE, free)
    screen, _ = _reproject(landmarks, best)
    error = jnp.linalg.norm(screen[:count] - points, axis=-1)
    error = error / jnp.exp(best.log_scale[:count])[:, None]
    return np.asarray(_to_vectors(best))[:count], np.asarray(error)
