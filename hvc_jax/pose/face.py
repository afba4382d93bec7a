"""Expressions of a clip from the face mesh: what its points do beside moving as one.

Both the network's mesh and the body's face are brought into one frame by the similarity that best
lays one on the other (Umeyama, 1991); what is left are displacements in metres. Those of frames
with a closed mouth are the person's own face, the rest is explained by the expression directions
of the body model, all frames by one ridge regression.
"""

from __future__ import annotations

import functools

import numpy as np

from hvc_jax.body.assets import load_body
from hvc_jax.body.params import NUM_EXPRESSION
from hvc_jax.pose.bodies import fit_tables
from hvc_jax.pose.face_sight import LEFT_EYE, RIGHT_EYE, FaceSight
from hvc_jax.pose.fit import smooth_over_time
from hvc_jax.pose.procrustes import procrustes

LEAST_PIXELS = 32
"""Height of a face in pixels below which expressions are left at zero."""

_LEAST_PRESENCE = 0.5
_NOISE = 0.001  # metres by which points of the mesh tremble
_DEPTH = 0.5  # weight of depths, which the network guesses
_INDEPENDENT = 100  # points of the 468 that tremble independently of each other
_CLOSED = 0.3  # share of the frames, those with the least gap between the lips, that are neutral
_LIPS = (13, 14)  # the middle of the inner upper and lower lip
_AT_MOST = 4.0  # standard deviations
_SMOOTH = 0.7  # frames


@functools.cache
def _model() -> tuple[np.ndarray, np.ndarray]:
    """Returns the neutral face [468, 3] and its expression directions [10, 468, 3], metres."""
    body, vertices = load_body(), fit_tables()["face_vertices"]
    neutral = np.asarray(body.v_template, np.float64)[vertices]
    return neutral, np.asarray(body.exprdirs, np.float64)[:, vertices]


def face_pixels(face: FaceSight, side: int) -> float:
    """Returns about how many of `side` pixels the face is high."""
    across = face.points[:, LEFT_EYE, :2] - face.points[:, RIGHT_EYE, :2]
    return float(np.median(np.linalg.norm(across, axis=-1))) * side  # a face is two such high


def expressions(face: FaceSight, side: int) -> np.ndarray:
    """Returns expressions [T, 10] of faces in pictures of `side` pixels, 0 for small ones."""
    out = np.zeros((len(face.points), NUM_EXPRESSION), np.float32)
    seen = face.presence >= _LEAST_PRESENCE
    if not seen.any() or face_pixels(face, side) < LEAST_PIXELS:
        return out
    neutral, directions = _model()
    # The body's face looks along +z with y up.
    flat = face.points[seen].astype(np.float64) * [1.0, -1.0, -1.0]
    moved = procrustes(flat, neutral) - neutral
    gap = moved[:, _LIPS[0], 1] - moved[:, _LIPS[1], 1]
    closed = gap <= np.quantile(gap, _CLOSED)
    moved = moved - np.median(moved[closed], axis=0)
    weight = np.array([1.0, 1.0, _DEPTH]) / _NOISE
    slope = (directions * weight).reshape(NUM_EXPRESSION, -1)
    right = slope @ (moved * weight).reshape(len(moved), -1).T
    normal = slope @ slope.T + np.eye(NUM_EXPRESSION) * len(neutral) / _INDEPENDENT
    out[seen] = np.clip(np.linalg.solve(normal, right).T, -_AT_MOST, _AT_MOST)
    return smooth_over_time(out, face.presence[:, None], _SMOOTH) * seen[:, None]
