"""Bodies of a clip made better by its pixels: all frames at once, one shape per clip."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hvc_jax.body.landmarks import Skeleton
from hvc_jax.ops.batching import padded
from hvc_jax.pose.appearance import Reference, appearance_of, shrunk
from hvc_jax.pose.fit_objective import FitWeights, Seen, objective, to_vectors
from hvc_jax.pose.skeleton import open_skeleton
from hvc_jax.pose.solve import NUM_POSE, Measured, PosePrior, Solution, project_points

_PACE = 0.01  # Adam's steps at first, radians
_LAST = 0.05  # share of the step's length that the last one has (cosine decay)
_LARGE = 2.0  # picture units a metre: the picture is as wide as the shoulders twice
_BLUR = 2.0  # frames over which a step spreads
_FACE = 11  # landmarks of the face come first: they move with what a face says, not with the skull

_to_vectors = jax.jit(to_vectors)
_project = jax.jit(project_points)


def padded_rows(array: np.ndarray, length: int) -> jax.Array:
    """Returns an array [T, *] as float32 [length, *], its last row repeated, to compile less."""
    return jnp.asarray(padded(np.asarray(array, np.float32), length))


def vectors_of(bodies: Solution, count: int) -> np.ndarray:
    """Returns the body vectors [count, 188] float32 of a clip's frames, padding left out."""
    return np.array(_to_vectors(bodies), np.float32)[:count]


@jax.jit
def descend(
    start: Solution,
    seen: Seen,
    skeleton: Skeleton,
    prior: PosePrior,
    weights: FitWeights,
    steps: int,
    shape: float,
    pace: float = _PACE,
) -> tuple[Solution, jax.Array]:
    """Returns the best bodies met in `steps` Adam steps, and their cost; `shape` 0 keeps betas.

    The unknowns of the descent are changes of the start that a Gaussian blurs over time (what is
    also called a Sobolev gradient). Adam gives every unknown a step of the same length, however
    little it matters; without the blur, what the measurements hardly see shakes between frames.
    """
    time = jnp.arange(len(start.frames))
    blur = jax.nn.softmax(-0.5 * ((time[:, None] - time) / _BLUR) ** 2, axis=1)
    # Of steps: turns of a person seen large move more of the picture.
    near = jnp.minimum(1.0, _LARGE / jnp.exp(start.frames[:, -1]).mean())
    lengths = Solution(jnp.concatenate([jnp.full(NUM_POSE, near), jnp.full(3, 0.5)]), 2.0 * shape)

    def moved(change: Solution) -> Solution:
        return Solution(start.frames + blur @ change.frames, start.betas + change.betas)

    def cost_of(change: Solution) -> jax.Array:
        return objective(moved(change), start, seen, skeleton, prior, weights)

    optimiser = optax.scale_by_adam()
    value_and_grad = jax.value_and_grad(cost_of)

    def step(k: jax.Array, carry: tuple) -> tuple:
        change, memory, best, best_cost = carry
        cost, grads = value_and_grad(change)
        better = cost < best_cost
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), change, best)
        updates, memory = optimiser.update(grads, memory)
        length = pace * (_LAST + (1 - _LAST) * (1 + jnp.cos(jnp.pi * k / steps)) / 2)
        changed = jax.tree.map(lambda c, u, s: c - length * s * u, change, updates, lengths)
        return changed, memory, best, jnp.minimum(cost, best_cost)

    still = jax.tree.map(jnp.zeros_like, start)
    carry = (still, optimiser.init(still), still, jnp.inf)
    _, _, best, cost = jax.lax.fori_loop(0, steps + 1, step, carry)
    return moved(best), cost


def through_pixels(
    bodies: Solution,  # of T frames, padded to a length for which programs are compiled
    measured: Measured,  # padded as well; its `valid` tells frames from padding
    prior: PosePrior,
    frames: np.ndarray,  # [T, H, H, 3] uint8
    steps: int,  # of Adam in each of two rounds, the first with coarser pictures
    # a frame before the clip whose looks and shape it keeps; None for its own first
    reference: Reference | None = None,
) -> Solution:
    """Returns bodies whose skin looks the same in all frames."""
    pad = functools.partial(padded_rows, length=len(measured.valid))
    skeleton = open_skeleton()
    depth = _project(skeleton, bodies.frames, bodies.betas)[1][..., 2]
    weight = measured.point_weight.at[:, :_FACE].set(0.0)
    seen = Seen(measured.points, weight, depth, measured.valid)
    rest = (skeleton, prior, FitWeights())
    free = 1.0 if reference is None else 0.0
    first = frames[0] if reference is None else reference.picture
    pictures = shrunk(np.concatenate([first[None], frames]))
    for coarse in (True, False):
        vectors = vectors_of(bodies, len(frames))
        shown = vectors[0] if reference is None else reference.vector
        looks = appearance_of(pictures, np.concatenate([shown[None], vectors]), coarse=coarse)
        looks = looks._replace(pictures=pad(looks.pictures), weight=pad(looks.weight))
        bodies, _ = descend(bodies, seen._replace(appearance=looks), *rest, steps, free)
    return bodies


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

    `weight`: [T, *] broadcastable to values, >= 0; `sigma` 0 leaves the values as they are.
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
