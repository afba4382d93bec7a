"""Captured motion for synthetic people: a stretch of a BVH file, facing the camera, at our rate."""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from hvc_jax.body.assets import load_body
from hvc_jax.body.bvh_retarget import metres_per_unit, pelvis_places, read_motion
from hvc_jax.body.params import NUM_BODY_JOINTS


def resample(
    pose: np.ndarray, root: np.ndarray, source_fps: float, frames: int, fps: float, start: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns `frames` states at `fps` from second `start` on; the last one holds at the end.

    `pose`: `[T, J, 3]` axis-angle, interpolated along great circles; `root`: `[T, 3]` positions,
    interpolated linearly; `source_fps`: of both.
    """
    times = np.arange(len(pose)) / source_fps
    wanted = np.clip(start + np.arange(frames) / fps, 0, times[-1])
    turned = [
        Slerp(times, Rotation.from_rotvec(pose[:, j]))(wanted).as_rotvec()
        for j in range(pose.shape[1])
    ]
    moved = [np.interp(wanted, times, root[:, k]) for k in range(3)]
    return np.stack(turned, axis=1), np.stack(moved, axis=1)


def face_camera(pose: np.ndarray, root: np.ndarray, extra: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the motion turned about the vertical so that it faces +z on average, plus `extra`.

    `pose`: `[T, J, 3]` axis-angle, the root first; `root`: `[T, 3]` positions; `extra`: radians to
    the person's left.
    """
    forward = Rotation.from_rotvec(pose[:, 0]).apply([0, 0, 1]).mean(0)
    turn = Rotation.from_rotvec([0, extra - np.arctan2(forward[0], forward[2]), 0])
    pose = pose.copy()
    pose[:, 0] = (turn * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
    return pose, turn.apply(root - root[:1])


def captured_motion(
    rng: np.random.Generator, path: str | Path, frames: int, fps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns body rotations `[T, 66]` (22 joints), root positions `[T, 3]` in metres from frame 0.

    `rng` chooses the stretch and the view. Raises ValueError: The file is no BVH file, or its
    skeleton cannot be carried over.
    """
    joints = np.asarray(load_body().J_template)
    motion, pose = read_motion(path, joints)
    pose = pose[:, :NUM_BODY_JOINTS]
    length = len(pose) / motion.fps
    start = rng.uniform(0, max(0.0, length - frames / fps))
    root = pelvis_places(motion) * metres_per_unit(motion, joints)
    pose, root = resample(pose, root, motion.fps, frames, fps, start)
    pose, root = face_camera(pose, root, float(rng.choice([0, rng.uniform(-1.2, 1.2)])))
    return pose.reshape(frames, -1), root
