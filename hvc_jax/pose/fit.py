"""Bodies of a clip from its 2D keypoints and pixels: all frames at once, one shape per clip."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hvc_jax.body.assets import load_body
from hvc_jax.body.landmarks import Landmarks
from hvc_jax.ops import rotation
from hvc_jax.pose.appearance import Reference, appearance_of
from hvc_jax.pose.fit_objective import (
    FitState,
    FitWeights,
    Measured,
    PosePrior,
    objective,
    reproject,
    to_vectors,
)
from hvc_jax.pose.outline import Outline, shrunk_masks

_PACE, _FINE_PACE = 0.03, 0.01  # Adam's steps at first, radians: for keypoints, for pixels
_BLUR = 2.0  # frames over which a step spreads

_reproject = jax.jit(reproject)
_to_vectors = jax.jit(to_vectors)
_to_axis_angle = jax.jit(rotation.matrix_to_axis_angle)


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
    """Returns the best state met in `steps` Adam steps, and its cost; `shape` 0 keeps betas.

    The unknowns of the descent are changes of the start that a Gaussian blurs over time (what is
    also called a Sobolev gradient). Adam gives every unknown a step of the same length, however
    little it matters; without the blur, what the measurements hardly see shakes between frames.
    """
    time = jnp.arange(start.pose.shape[0])
    blur = jax.nn.softmax(-0.5 * ((time[:, None] - time) / _BLUR) ** 2, axis=1)

    def moved(change: FitState) -> FitState:
        pose, centre, log_scale = (
            old + jnp.tensordot(blur, new, 1)
            for old, new in (
                (start.pose, change.pose),
                (start.centre, change.centre),
                (start.log_scale, change.log_scale),
            )
        )
        return FitState(pose, start.betas + change.betas, centre, log_scale)

    def cost_of(change: FitState) -> jax.Array:
        return objective(moved(change), start, measured, landmarks, prior, weights)

    scales = FitState(1.0, 2.0 * shape, 0.5, 0.5)  # step sizes relative to the pose's
    optimiser = optax.adam(optax.cosine_decay_schedule(pace, steps, 0.05))
    value_and_grad = jax.value_and_grad(cost_of)

    def step(carry, _):  # noqa: ANN001, ANN202
        change, memory, best, best_cost = carry
        cost, grads = value_and_grad(change)
        better = cost < best_cost
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), change, best)
        updates, memory = optimiser.update(grads, memory)
        updates = jax.tree.map(lambda u, s: u * s, updates, scales)
        return (
            optax.apply_updates(change, updates),
            memory,
            best,
            jnp.minimum(cost, best_cost),
        ), None

    still = jax.tree.map(jnp.zeros_like, start)
    carry = (still, optimiser.init(still), still, jnp.inf)
    (_, _, best, cost), _ = jax.lax.scan(step, carry, None, length=steps + 1)
    return moved(best), cost


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
    best = start
    screen, joints = _reproject(landmarks, start)
    if steps > 0:
        seen_and_not = pad(confidence), pad(absent_limbs(confidence))
        measured = Measured(pad(points), *seen_and_not, joints[..., 2], valid)
        rest = (landmarks, prior, FitWeights())
        best, _ = _descend(best, measured, *rest, steps, _PACE, free)
        if masks is not None:
            both = measured._replace(outline=Outline(load_body(), pad(shrunk_masks(masks))))
            best, _ = _descend(best, both, *rest, steps // 4, _FINE_PACE, free)
        if frames is not None:
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
