"""Keypoint labels of rendered people, with what the body hides of itself."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.assets import Body, load_body
from hvc_jax.body.camera import project
from hvc_jax.body.landmarks import Landmarks, face_seen, pose_landmarks
from hvc_jax.body.lbs import posed_vertices
from hvc_jax.body.params import NUM_BODY_JOINTS, unpack
from hvc_jax.body.raster import rasterize
from hvc_jax.ops import rotation

SURE, COVERED, TURNED_AWAY = 0.9, 0.45, 0.04
"""Confidence of a keypoint that is seen, behind a part of the body, on the head's far side."""

_BATCH, _SIDE = 8, 64  # bodies a call, pixels of the depth map along a side
# How deep below its own surface a keypoint lies at most, metres, clothes included.
_DEPTH = np.array([0.08] * 5 + [0.13] * 2 + [0.09] * 4 + [0.18] * 2 + [0.11] * 4, np.float32)


@jax.jit
def _depth(body: Body, vectors: jax.Array) -> jax.Array:
    params = unpack(vectors)
    vertices, _ = posed_vertices(body, params)
    return rasterize(project(vertices, params.camera), body.faces, _SIDE, _SIDE).depth


def depth_maps(bodies: np.ndarray) -> np.ndarray:
    """Returns metres [N, 64, 64] behind the pelvis of what is seen of bodies [N, 188], or inf."""
    body, maps = load_body(), []
    for first in range(0, len(bodies), _BATCH):
        part = bodies[first : first + _BATCH]
        filled = np.concatenate([part, np.repeat(part[-1:], _BATCH - len(part), 0)])
        maps.append(np.asarray(_depth(body, jnp.asarray(filled)))[: len(part)])
    return np.concatenate(maps)


def keypoints_of_bodies(bodies: np.ndarray, landmarks: Landmarks) -> tuple[np.ndarray, np.ndarray]:
    """Returns exact keypoints [N, 17, 2] in [-1, 1] and confidence [N, 17] of bodies [N, 188].

    Out of the picture the confidence is 0, elsewhere `SURE`, `COVERED` or `TURNED_AWAY`.
    """
    params = unpack(bodies)
    pose = np.concatenate([params.global_orient[:, None], params.body_pose], 1)
    turns = rotation.axis_angle_to_matrix(jnp.asarray(pose[:, :NUM_BODY_JOINTS]))
    points, _ = pose_landmarks(landmarks, jnp.asarray(params.betas), turns)
    away = ~np.asarray(face_seen(points))
    points = np.asarray(points)
    scale, x, y = (params.camera[:, k : k + 1] for k in range(3))
    flat = np.stack([scale * (points[..., 0] + x), -scale * (points[..., 1] + y)], -1)
    column, row = np.moveaxis(((flat + 1) / 2 * _SIDE).astype(int).clip(0, _SIDE - 1), -1, 0)
    surface = depth_maps(bodies)[np.arange(len(bodies))[:, None], row, column]
    confidence = np.where(-points[..., 2] - surface > _DEPTH, COVERED, SURE)
    confidence[:, :5] = np.where(away, TURNED_AWAY, confidence[:, :5])
    confidence *= (np.abs(flat) < 1).all(-1)
    return flat.astype(np.float32), confidence.astype(np.float32)
