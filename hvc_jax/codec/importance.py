"""What an error in each number of a body vector does to the picture: pixels that the mesh moves."""

import functools
from collections.abc import Callable

import jax
import numpy as np

from hvc_jax.body.assets import load_body
from hvc_jax.body.lbs import screen_vertices
from hvc_jax.stream.slots import Schema

_LEAST, _MOST = 0.25, 4.0
"""Bounds: a mesh says little about a face, so what moves it must not count for nothing."""


def projected_vertices(vectors: np.ndarray, side: int) -> np.ndarray:
    """Returns where the mesh's vertices are for vectors [T, 188]: [T, V, 2] pixels of `side`."""
    points = _projection()
    return np.stack([np.asarray(points(v)) for v in np.asarray(vectors, np.float32)]) * (side / 2)


@functools.cache
def _projection() -> Callable[[np.ndarray], jax.Array]:
    """The compiled function from a body vector to vertices [V, 2] in [-1, 1]."""
    body = load_body()

    @jax.jit
    def points(vector: jax.Array) -> jax.Array:
        return screen_vertices(body, vector)[1][..., :2]

    return points


def mesh_importance(schema: Schema, vector: np.ndarray) -> np.ndarray:
    """Returns what a squared step of error in each dynamic slot counts, [D] float64, median 1.

    Squared displacement of the projected vertices, their mean over the mesh, for one step.

    `schema`: of body vectors; `vector`: [188] the pose around which steps are made.
    """
    moved = np.repeat(np.asarray(vector, np.float32)[None], 1 + len(schema.dynamic), 0)
    for row, slot in zip(moved[1:], schema.dynamic, strict=True):
        row[slot.index] += slot.step
    points = projected_vertices(moved, 2)
    squares = ((points[1:] - points[0]) ** 2).sum(-1).mean(-1).astype(np.float64)
    return np.clip(squares / np.median(squares), _LEAST, _MOST)
