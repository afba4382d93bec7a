"""The face mesh of a clip: 468 points of the face landmark network, looked at twice.

The first window follows from the pose landmarks of eyes and mouth, the second from the mesh itself,
half as large again as the face and turned with the eyes, as published.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.pose.crops import to_picture, turned
from hvc_jax.pose.networks import load_network, look_through
from hvc_jax.pose.sight import Sight
from hvc_jax.pose.skeleton import INDEX

NUM_FACE_POINTS = 468
RIGHT_EYE, LEFT_EYE = 33, 263
"""The outer corners of the eyes."""

_PADDING = 1.5
_EYES_TO_MOUTH = 2.0  # half sides of the first window in distances from the eyes to the mouth


class FaceSight(NamedTuple):
    """The face in T frames."""

    # [T, 468, 3] in picture units, x to the right, y down, z away, of equal scale
    points: np.ndarray
    presence: np.ndarray  # [T] in [0, 1]: is there a face in the window?


def _face(found: dict, windows: jax.Array, size: int) -> tuple[jax.Array, ...]:
    rows = found["landmarks"].reshape(-1, NUM_FACE_POINTS, 3) / size * 2
    flat = to_picture(rows[..., :2] - 1, windows)
    depth = rows[..., 2:] * windows[:, None, 2:3]
    presence = jax.nn.sigmoid(found["presence"].reshape(-1))
    return jnp.concatenate([flat, depth], -1), presence


def first_windows(sight: Sight) -> np.ndarray:
    """Returns the windows [T, 4] of faces as pose landmarks tell them."""

    def at(*names: str) -> np.ndarray:
        return sight.points[:, [INDEX[name] for name in names]].mean(1)

    eyes, mouth = at("left_eye", "right_eye"), at("mouth_left", "mouth_right")
    down = np.linalg.norm(eyes - mouth, axis=1)
    ears = np.linalg.norm(at("left_ear") - at("right_ear"), axis=1)
    half = np.maximum(_EYES_TO_MOUTH * down, 1.2 * ears)
    across = at("left_eye") - at("right_eye")
    angle = np.where(
        np.linalg.norm(across, axis=1) > 0.3 * down, np.arctan2(across[:, 1], across[:, 0]), 0.0
    )
    centre = (eyes + mouth) / 2
    return np.stack([*centre.T, half, angle], -1).astype(np.float32)


def mesh_windows(points: np.ndarray) -> np.ndarray:
    """Returns the windows [T, 4] that face meshes [T, 468, 3] ask for."""
    across = points[:, LEFT_EYE, :2] - points[:, RIGHT_EYE, :2]
    angle = np.arctan2(across[:, 1], across[:, 0])
    upright = np.asarray(turned(jnp.asarray(points[..., :2]), jnp.asarray(-angle)))
    low, high = upright.min(1), upright.max(1)
    centre = np.asarray(turned(jnp.asarray((low + high)[:, None] / 2), jnp.asarray(angle)))[:, 0]
    half = (high - low).max(1) / 2 * _PADDING
    return np.stack([*centre.T, half, angle], -1).astype(np.float32)


def see_face(pictures: np.ndarray, sight: Sight, folder: str | None = None) -> FaceSight:
    """Returns the face of the person seen in pictures [T, H, H, 3] uint8 of a clip."""
    network = load_network("face_landmark", folder)
    points, _ = look_through(pictures, first_windows(sight), network, _face)
    return FaceSight(*look_through(pictures, mesh_windows(points), network, _face))
