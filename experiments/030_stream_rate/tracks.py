"""Parameter tracks to measure on: motion capture carried over to the body vector at 25 frames/s."""

import argparse
from pathlib import Path

import numpy as np

from hvc_jax.body.bvh import read_bvh
from hvc_jax.body.bvh_retarget import retarget
from hvc_jax.body.params import BODY_VECTOR_SIZE, EXPRESSION, POSE

FPS = 25
HELD_OUT = ("cmu/002", "cmu/007", "cmu_dance/martial", "xia")
"""Files whose path starts so are measured on, never learned from: other people and moves."""

_FRAMES = 250


def options(description: str) -> argparse.Namespace:
    """Returns what the command line says of the tracks to measure on: mocap, cache, every."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--mocap", type=Path, required=True, help="folder of BVH files")
    parser.add_argument("--cache", type=Path, help=".npz for retargeted tracks")
    parser.add_argument("--every", type=int, default=5, help="use every n-th held-out track")
    return parser.parse_args()


def load(folder: Path, cache: Path | None = None) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns the tracks to learn from and those held out, each [T, 188] float32, T 50 to 250.

    Args:
      folder: holds BVH files, in subfolders as in the CMU database.
      cache: .npz of the retargeted rotations; written when it is not there.
    """
    if cache is not None and cache.exists():
        rotations = dict(np.load(cache))
    else:
        rotations = _retargeted(folder)
        if cache is not None:
            np.savez(cache, **rotations)
    sets: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for number, name in enumerate(sorted(rotations)):
        pose = rotations[name]
        rng = np.random.default_rng(number)
        for start in range(0, min(len(pose), 2 * _FRAMES), _FRAMES):
            part = pose[start : start + _FRAMES]
            if len(part) >= 50:
                vector = np.zeros((len(part), BODY_VECTOR_SIZE), np.float32)
                vector[:, POSE] = part.reshape(len(part), -1)
                vector[:, EXPRESSION] = _expression(len(part), rng)
                sets[name.startswith(HELD_OUT)].append(vector)
    return sets


def _retargeted(folder: Path) -> dict[str, np.ndarray]:
    from hvc_jax.body.assets import load_body

    body = load_body()
    rest = np.asarray(body.J_regressor) @ np.asarray(body.v_template)
    rotations = {}
    for path in sorted(folder.rglob("*.bvh")):
        try:
            motion = read_bvh(path)
            pose = retarget(motion, rest)
        except ValueError as error:
            print(f"left out {path.name}: {error}")
            continue
        rotations[str(path.relative_to(folder))] = _resampled(pose, motion[-1])
    return rotations


def _resampled(pose: np.ndarray, fps: float) -> np.ndarray:
    """Returns rotations [T', 55, 3] at 25 frames/s without jumps by a full turn."""
    from scipy.spatial.transform import Rotation, Slerp

    times = np.arange(len(pose)) / fps
    wanted = np.arange(0, times[-1] - 1e-9, 1 / FPS)
    out = np.zeros((len(wanted), *pose.shape[1:]), np.float32)
    for joint in range(pose.shape[1]):
        out[:, joint] = Slerp(times, Rotation.from_rotvec(pose[:, joint]))(wanted).as_rotvec()
    for i in range(1, len(out)):
        angle = np.linalg.norm(out[i], axis=-1, keepdims=True)
        other = out[i] * (1 - 2 * np.pi / np.maximum(angle, 1e-6))
        step = [np.linalg.norm(turn - out[i - 1], axis=-1) for turn in (out[i], other)]
        out[i] = np.where(((step[1] < step[0]) & (angle[:, 0] > 1e-6))[:, None], other, out[i])
    return out


def _expression(count: int, rng: np.random.Generator) -> np.ndarray:
    """Returns [count, 10] made-up expression numbers, for motion capture has none.

    A smoothed random walk back to zero with a time constant of one second.
    """
    size = np.array([0.8] * 4 + [0.3] * 6)
    keep = np.exp(-1 / FPS)
    value, smooth, out = rng.normal(size=10) * size, np.zeros(10), np.zeros((count, 10))
    for row in out:
        value = keep * value + np.sqrt(1 - keep**2) * size * rng.normal(size=10)
        smooth += 0.3 * (value - smooth)
        row[:] = smooth
    return out
