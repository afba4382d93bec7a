"""Bodies of a clip from landmarks: damped Gauss-Newton steps for all frames at once.

The unknowns of a frame are 22 axis-angles and the camera; shape is one for the clip. A step solves
69 equations for each frame (Levenberg 1944, Marquardt 1963); frames are coupled by being drawn to
the average of their neighbours of the step before, shape by one linear equation over all frames:
landmarks are linear in it. Residuals are in standard deviations of what they measure, the
reprojection robust as in SMPLify (Bogo et al., ECCV 2016), the pose prior a Gaussian, joints that
only bend one way have soft limits.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.landmarks import Skeleton, pose_points
from hvc_jax.body.params import JOINT_INDEX, NUM_BODY_JOINTS
from hvc_jax.ops import rotation
from hvc_jax.pose.skeleton import INDEX, RIDES_ON

NUM_POSE = 3 * NUM_BODY_JOINTS
TRUNK = np.isin(
    np.arange(NUM_POSE) // 3, [JOINT_INDEX[n] for n in ("pelvis", "spine1", "spine2", "spine3")]
)
_JOINT_BETAS = 4  # shape coefficients that move joints; the others landmarks do not tell
UNKNOWNS = NUM_POSE + 3


class PosePrior(NamedTuple):
    """A Gaussian over the axis-angles of joints 1 to 21."""

    mean: jax.Array  # [63] radians
    whiten: jax.Array  # [63, 63]; whiten @ (pose - mean) has unit covariance


class Weights(NamedTuple):
    """What a residual of one is, and how strongly neighbours in time hold each other."""

    image: float = 0.015  # metres at the person
    blunder: float = 0.15  # metres
    direction: float = 0.4  # radians
    prior: float = 2.0  # standard deviations of the prior
    guessed: float = 0.25  # radians from the usual pose, of joints of which nothing is seen
    limit: float = 0.1  # radians beyond a limit
    time_pose: float = 0.1  # radians from the average over time
    time_trunk: float = 0.02  # the same of pelvis and spine, over `blur_trunk`
    time_place: float = 0.05  # picture units
    time_size: float = 0.01  # of the logarithm
    shape: float = 1.0  # standard deviations of people
    blur: float = 2.0  # frames of that average
    blur_trunk: float = 6.0  # frames, of pelvis, spine and the camera's scale
    held_pose: float = 0.04  # as time_pose, where no hips are seen: of people seen large
    held_trunk: float = 0.01
    held_place: float = 0.02
    held_size: float = 0.002
    held_blur: float = 16.0  # frames


class Measured(NamedTuple):
    """What is known of T frames."""

    points: jax.Array  # [T, 33, 2] landmarks in the picture
    point_weight: jax.Array  # [T, 33] in [0, 1]
    directions: jax.Array  # [T, B, 3] unit vectors along `BONES`
    direction_weight: jax.Array  # [T, B] in [0, 1]
    guessed: jax.Array  # [T, 22] in [0, 1], 1 for joints of limbs of which nothing is seen
    # [T] in [0, 1], 1 where no hips are seen: landmarks do not tell trunk, place and size apart
    # there, and people stand or sit still
    held: jax.Array
    valid: jax.Array  # [T] 1 for frames, 0 for what fills up


class Solution(NamedTuple):
    """The unknowns of T frames."""

    # [T, 69] axis-angles of 22 joints, centre (u, v), logarithm of the camera's scale
    frames: jax.Array
    betas: jax.Array  # [10]


def _bones() -> tuple[np.ndarray, np.ndarray]:
    both = [
        ("shoulder", "elbow", 1.0), ("elbow", "wrist", 1.0), ("hip", "knee", 1.0),
        ("knee", "ankle", 1.0), ("wrist", "index", 0.5), ("wrist", "pinky", 0.5),
        ("heel", "foot_index", 0.5),
    ]  # fmt: skip
    rows = [((f"{s}_{a}",), (f"{s}_{b}",), w) for s in ("left", "right") for a, b, w in both]
    rows += [
        (("right_hip",), ("left_hip",), 1.0),
        (("right_shoulder",), ("left_shoulder",), 1.0),
        (("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"), 0.5),
        (("right_ear",), ("left_ear",), 0.5),
        (("left_ear", "right_ear"), ("nose",), 0.5),
    ]
    matrix = np.zeros((len(rows), len(INDEX)), np.float32)
    for k, (start, end, _) in enumerate(rows):
        for names, sign in ((start, -1), (end, 1)):
            for name in names:
                matrix[k, INDEX[name]] += sign / len(names)
    return matrix, np.array([w for *_, w in rows], np.float32)


BONES, BONE_WEIGHT = _bones()
"""[B, 33], each row a difference of landmarks that makes a bone, and what its direction counts."""

# Bounds of axis-angles, radians: (joint, axis, low, high).
_LIMITS = [
    (f"{side}_{joint}", axis, min(a * sign, b * sign), max(a * sign, b * sign))
    for side, sign in (("left", 1), ("right", -1))
    for joint, axis, a, b in (
        ("elbow", 1, -2.6, 0.05), ("elbow", 2, -0.4, 0.4), ("knee", 1, -0.4, 0.4),
        ("knee", 2, -0.3, 0.3), ("wrist", 0, -1.2, 1.2), ("wrist", 1, -1.0, 1.0),
        ("wrist", 2, -1.4, 1.4), ("collar", 1, -0.4, 0.4), ("collar", 2, -0.5, 0.5),
        ("ankle", 1, -0.6, 0.6), ("ankle", 2, -0.5, 0.5), ("foot", 1, -0.2, 0.2),
        ("foot", 2, -0.2, 0.2),
    )
] + [
    (f"{side}_{joint}", 0, a, b)
    for side in ("left", "right")
    for joint, a, b in (("knee", -0.05, 2.7), ("foot", -0.3, 0.6), ("elbow", -1.6, 1.6))
]  # fmt: skip
_LIMIT_AT = np.array([JOINT_INDEX[name] * 3 + axis for name, axis, *_ in _LIMITS])
_LIMIT_LOW = np.array([row[2] for row in _LIMITS], np.float32)
_LIMIT_HIGH = np.array([row[3] for row in _LIMITS], np.float32)


def directions_of(points: jax.Array) -> jax.Array:
    """Returns the unit vectors [*, B, 3] along `BONES` of landmarks [*, 33, 3]."""
    bones = jnp.einsum("bk,...kc->...bc", BONES, points)
    return bones / jnp.sqrt(jnp.sum(bones**2, -1, keepdims=True) + 1e-8)


def project_points(
    skeleton: Skeleton, frame: jax.Array, betas: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns landmarks on screen [*, 33, 2] and in space [*, 33, 3] of unknowns [*, 69]."""
    pose = frame[..., :NUM_POSE].reshape(*frame.shape[:-1], NUM_BODY_JOINTS, 3)
    points, _ = pose_points(skeleton, RIDES_ON, betas, rotation.axis_angle_to_matrix(pose))
    scale = jnp.exp(frame[..., None, -1:])
    screen = scale * points[..., :2] * jnp.array([1.0, -1.0]) + frame[..., None, NUM_POSE:-1]
    return screen, points


def _residuals(
    frame: jax.Array,
    betas: jax.Array,
    measured: Measured,
    about: jax.Array,
    robust: jax.Array,
    skeleton: Skeleton,
    prior: PosePrior,
    weights: Weights,
) -> jax.Array:
    """Returns the residuals [R] of one frame, the robust weights [33] given."""
    screen, points = project_points(skeleton, frame, betas)
    size = jnp.exp(-jax.lax.stop_gradient(frame[-1]))
    image = (screen - measured.points) * (size / weights.image * robust)[:, None]
    turn = directions_of(points) - measured.directions
    turn = turn * (measured.direction_weight / weights.direction)[:, None]
    pose = frame[:NUM_POSE]
    unusual = prior.whiten @ (pose[3:] - prior.mean) / weights.prior
    usual = (pose[3:] - prior.mean) * jnp.repeat(measured.guessed[1:], 3) / weights.guessed
    at = pose[_LIMIT_AT]
    beyond = jax.nn.relu(at - _LIMIT_HIGH) - jax.nn.relu(_LIMIT_LOW - at)
    still = (frame - about) / stillness(measured.held, weights)
    parts = [image.ravel(), turn.ravel(), unusual, usual, beyond / weights.limit]
    return jnp.concatenate([*parts, still])


def stillness(held: jax.Array, weights: Weights) -> jax.Array:
    """Returns [*, 69]: how far unknowns may be from their average over time, by `held` [*]."""

    def between(free: float, tight: float) -> jax.Array:
        return free * (tight / free) ** held[..., None]

    trunk = between(weights.time_trunk, weights.held_trunk)
    pose = jnp.where(TRUNK, trunk, between(weights.time_pose, weights.held_pose))
    place = jnp.repeat(between(weights.time_place, weights.held_place), 2, -1)
    return jnp.concatenate([pose, place, between(weights.time_size, weights.held_size)], -1)


def _robust(screen: jax.Array, frame: jax.Array, measured: Measured, weights: Weights) -> jax.Array:
    """Returns [T, 33]: square roots of Geman-McClure's weights, by how far off each landmark is."""
    metres = (screen - measured.points) * jnp.exp(-frame[:, None, -1:])
    squared = jnp.sum(metres**2, -1)
    return measured.point_weight / (1 + squared / weights.blunder**2)


def _average(values: jax.Array, weight: jax.Array, sigma: float) -> jax.Array:
    """Returns values [T, *] averaged over time with a Gaussian, by weight [T]."""
    time = jnp.arange(len(values))
    kernel = jnp.exp(-0.5 * ((time[:, None] - time) / sigma) ** 2) * (weight + 1e-4)
    return jnp.tensordot(kernel / kernel.sum(1, keepdims=True), values, 1)


def averages(frames: jax.Array, seen: jax.Array, held: jax.Array, weights: Weights) -> jax.Array:
    """Returns the unknowns [T, 69] averaged over time, what is held over more frames.

    `seen`: [T] what each frame weighs; `held`: [T] as in `Measured`; `weights`: how many frames.
    """
    short, middle, long = (
        _average(frames, seen, sigma)
        for sigma in (weights.blur, weights.blur_trunk, weights.held_blur)
    )
    about = jnp.where(np.concatenate([TRUNK, [False, False, True]]), middle, short)
    still = np.concatenate([TRUNK, np.ones(3, bool)])
    return jnp.where(still, held[:, None] * long + (1 - held[:, None]) * about, about)


@functools.partial(jax.jit, static_argnames=("steps",))
def solve(
    start: Solution,  # where they begin
    measured: Measured,
    skeleton: Skeleton,
    prior: PosePrior,
    shape_free: jax.Array,  # 1 to find the shape, 0 to keep it
    # [69] unknowns of the frame before a single one, which are what it is drawn to; None to draw
    # frames to the average of their neighbours
    before: jax.Array | None = None,
    steps: int = 8,
    weights: Weights = Weights(),  # noqa: B008
) -> Solution:
    """Returns the bodies after `steps` steps."""
    seen = measured.point_weight.mean(1) * measured.valid

    def one(frame, betas, row, about, robust, damping):  # noqa: ANN001, ANN202
        def residual(unknown: jax.Array) -> jax.Array:
            return _residuals(unknown, betas, row, about, robust, skeleton, prior, weights)

        value = residual(frame)
        slope = jax.jacfwd(residual)(frame)
        normal = slope.T @ slope
        damped = normal + jnp.diag(damping * jnp.diag(normal) + 1e-6)
        change = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(damped), slope.T @ value)
        limit = jnp.full(UNKNOWNS, 0.6)
        return frame - jnp.clip(change, -limit, limit)

    def shape_step(frames: jax.Array, betas: jax.Array, robust: jax.Array) -> jax.Array:
        def residual(shape: jax.Array) -> jax.Array:
            screen, _ = project_points(skeleton, frames, shape)
            size = jnp.exp(-frames[:, None, -1:]) / weights.image
            share = (robust * measured.valid[:, None] / jnp.sqrt(measured.valid.sum()))[..., None]
            data = (screen - measured.points) * size * share * jnp.sqrt(8.0)
            return jnp.concatenate([data.ravel(), shape / weights.shape])

        slope = jax.jacfwd(residual)(betas)
        change = jnp.linalg.solve(slope.T @ slope, slope.T @ residual(betas))
        change = change * (jnp.arange(10) < _JOINT_BETAS)
        return betas - shape_free * jnp.clip(change, -0.5, 0.5)

    def step(carry: Solution, k: jax.Array) -> tuple[Solution, None]:
        frames, betas = carry
        about = averages(frames, seen, measured.held, weights) if before is None else before[None]
        screen, _ = project_points(skeleton, frames, betas)
        robust = _robust(screen, frames, measured, weights)
        damping = jnp.maximum(0.1 * 0.5**k, 1e-3)
        frames = jax.vmap(one, (0, None, 0, 0, 0, None))(
            frames, betas, measured, about, robust, damping
        )
        return Solution(frames, shape_step(frames, betas, robust)), None

    found, _ = jax.lax.scan(step, start, jnp.arange(steps))
    return found
