"""Bodies of a clip from what the landmark networks saw."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

from hvc_jax.body.landmarks import pose_points
from hvc_jax.body.params import JOINT_INDEX, NUM_BODY_JOINTS
from hvc_jax.ops import rotation
from hvc_jax.pose.directions import pose_from_directions
from hvc_jax.pose.fit import continuous_axis_angle, padded_rows, smooth_over_time
from hvc_jax.pose.sight import Sight
from hvc_jax.pose.skeleton import INDEX, RIDES_ON, open_skeleton
from hvc_jax.pose.solve import (
    BONE_WEIGHT,
    BONES,
    NUM_POSE,
    TRUNK,
    UNKNOWNS,
    Measured,
    PosePrior,
    Solution,
    Weights,
    averages,
    directions_of,
    project_points,
    solve,
)

_SMOOTH, _SMOOTH_UNSEEN = 2.0, 5.0  # frames, of the landmarks (experiments/041_bodies)
_UNSEEN = 0.03  # weight of a landmark that nothing shows
# The landmarks that tell a limb's joint; unseen, it is as people usually hold it.
_TOLD_BY = {
    f"{side}_{joint}": tuple(f"{side}_{end}" for end in ends)
    for side in ("left", "right")
    for joint, ends in {
        "shoulder": ("elbow", "wrist"), "elbow": ("wrist",), "wrist": ("index", "pinky"),
        "hip": ("knee", "ankle"), "knee": ("ankle",), "ankle": ("foot_index",),
        "foot": ("foot_index",), "collar": ("shoulder",),
    }.items()
}  # fmt: skip
_UNUSED = [k for name, k in INDEX.items() if name.endswith(("inner", "outer"))]


@functools.cache
def fit_tables() -> dict[str, np.ndarray]:
    """Returns what comes with the package for fits.

    "mean" [63] and "whiten" [63, 63] of a Gaussian over poses, of motion capture; "face_vertices"
    [468], the vertex of the open body where each point of the face mesh lies.
    Raises FileNotFoundError: the package was installed without them.
    """
    path = Path(__file__).resolve().parents[1] / "pretrained" / "pose_fit.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"no tables of the fit at {path}; reinstall hvc_jax")
    return load_file(path)


@functools.cache
def pose_prior() -> PosePrior:
    """Returns the Gaussian over poses that comes with the package."""
    with jax.ensure_compile_time_eval():
        return PosePrior(*(jnp.asarray(fit_tables()[name]) for name in ("mean", "whiten")))


def landmark_weight(sight: Sight) -> np.ndarray:
    """Returns [T, 33] in [0, 1]: how much each landmark counts in the picture."""
    inside = (np.abs(sight.points) <= 1.05).all(-1)
    weight = np.clip(sight.visibility, 0, 1) ** 2 * np.where(inside, 1.0, 0.3)
    weight = np.maximum(weight, _UNSEEN) * sight.presence[:, None]
    weight[:, _UNUSED] = 0.0
    return weight.astype(np.float32)


def held_of(weight: np.ndarray) -> np.ndarray:
    """Returns [T] in [0, 1]: 1 where no hips are seen for a while, of weights [T, 33]."""
    hips = weight[:, [INDEX["left_hip"], INDEX["right_hip"]]].max(1)
    return 1 - np.clip(smooth_over_time(hips[:, None], np.ones((1, 1)), 8.0)[:, 0] / 0.5, 0, 1)


def steady_landmarks(sight: Sight, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns points [T, 33, 2] and world [T, 33, 3] averaged over time.

    Over more frames where they are guessed than where they are seen.

    `sight`: of the clip; `weight`: [T, 33] of `landmark_weight`.
    """
    share = np.clip(weight / 0.5, 0, 1)[..., None]
    out = []
    for values in (sight.points, sight.world):
        short, long = (
            smooth_over_time(values, weight[..., None], sigma)
            for sigma in (_SMOOTH, _SMOOTH_UNSEEN)
        )
        out.append(share * short + (1 - share) * long)
    return out[0], out[1]


def measured_of(sight: Sight) -> Measured:
    """Returns what a fit needs of what was seen, landmarks averaged a little over time."""
    weight = landmark_weight(sight)
    points, world = steady_landmarks(sight, weight)
    directions = np.asarray(directions_of(jnp.asarray(world)))
    ends = np.where(BONES[None] != 0, weight[:, None], 1.0).min(-1)
    sure = np.maximum(ends, _UNSEEN) * BONE_WEIGHT * sight.presence[:, None]
    guessed = np.zeros((len(points), NUM_BODY_JOINTS))
    for joint, ends in _TOLD_BY.items():
        told = weight[:, [INDEX[name] for name in ends]].max(1)
        guessed[:, JOINT_INDEX[joint]] = np.clip(1 - told / 0.3, 0, 1)
    valid = np.ones(len(points))
    columns = (points, weight, directions, sure, guessed, held_of(weight), valid)
    return Measured(*(np.asarray(column, np.float32) for column in columns))


@jax.jit
def _start(world: jax.Array, points: jax.Array, weight: jax.Array, betas: jax.Array) -> tuple:
    """Returns rotations [T, 22, 3, 3], centre [T, 2] and scale [T] of a first guess."""
    skeleton = open_skeleton()
    rotations = pose_from_directions(world, skeleton)
    found, _ = pose_points(skeleton, RIDES_ON, betas, rotations)
    flat = found[..., :2] * jnp.array([1.0, -1.0])
    share = (weight / jnp.maximum(weight.sum(1, keepdims=True), 1e-6))[..., None]
    middle, centre = (share * flat).sum(1, keepdims=True), (share * points).sum(1, keepdims=True)
    a, b = flat - middle, points - centre
    scale = (share * a * b).sum((1, 2)) / jnp.maximum((share * a * a).sum((1, 2)), 1e-6)
    scale = jnp.clip(scale, 0.05, 20.0)
    return rotations, (centre - scale[:, None, None] * middle)[:, 0], scale


_to_axis_angle = jax.jit(rotation.matrix_to_axis_angle)
_project = jax.jit(project_points)
_averages = jax.jit(averages)


class Fitted(NamedTuple):
    """Bodies of T frames, padded to a length that programs are compiled for."""

    bodies: Solution  # the unknowns
    measured: Measured  # what they were solved from
    error: np.ndarray  # [T, 33] metres between landmarks and where bodies have them, unpadded


def bodies_from_sight(
    sight: Sight, betas: np.ndarray | None = None, before: np.ndarray | None = None
) -> Fitted:
    """Returns the bodies of a clip.

    `betas`: [10] the person's shape where it is known; `before`: [69] unknowns of the frame before,
    for a single live one.
    """
    count = len(sight.points)
    # Compiled once per length; live pictures come one by one.
    length = 1 if count == 1 else max(32, 2 ** int(np.ceil(np.log2(count))))
    pad = functools.partial(padded_rows, length=length)
    measured = measured_of(sight)
    world = steady_landmarks(sight, measured.point_weight)[1]
    shape = np.zeros(10, np.float32) if betas is None else np.asarray(betas, np.float32)
    rotations, centre, scale = (
        np.asarray(x)[:count]
        for x in _start(
            pad(world), pad(measured.points), pad(measured.point_weight), jnp.asarray(shape)
        )
    )
    pose = np.asarray(_to_axis_angle(jnp.asarray(rotations)))
    if before is not None:
        pose = np.concatenate([before[:NUM_POSE].reshape(1, -1, 3), pose])
    pose = continuous_axis_angle(pose)[-count:]
    # Frames hold each other where they begin: guesses of the networks would hardly move from there.
    usual, guessed = np.asarray(pose_prior().mean).reshape(-1, 3), measured.guessed[:, 1:, None]
    pose[:, 1:] += guessed * (usual - pose[:, 1:])
    frames = np.concatenate([pose.reshape(count, -1), centre, np.log(scale)[:, None]], 1)
    padded = Measured(*(pad(a) for a in measured))
    padded = padded._replace(valid=jnp.asarray((np.arange(length) < count).astype(np.float32)))
    seen = padded.point_weight.mean(1) * padded.valid
    start = pad(frames)
    about = _averages(start, seen, padded.held, Weights())
    still = np.concatenate([TRUNK, [True, True, False]])
    kept = jnp.where(np.arange(UNKNOWNS) == UNKNOWNS - 1, 1.0, padded.held[:, None] * still)
    start = (1 - kept) * start + kept * about
    bodies, free = Solution(start, jnp.asarray(shape)), jnp.float32(betas is None)
    found = solve(bodies, padded, open_skeleton(), pose_prior(), free, before, weights=Weights())
    screen, _ = _project(open_skeleton(), found.frames, found.betas)
    error = np.linalg.norm((np.asarray(screen) - padded.points)[:count], axis=-1)
    return Fitted(found, padded, error * np.exp(-np.asarray(found.frames)[:count, -1:]))
