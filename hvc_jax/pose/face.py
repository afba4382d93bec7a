"""Facial expressions of a clip whose bodies are known, from how the face's pixels move.

Vertices are linear in the expression coefficients, and so is where they are on screen; what is left
is to look for a few hundred points of the face (Lucas and Kanade, 1981) along those directions:
damped Gauss-Newton steps, each frame on its own, smoothed over time at the end.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.assets import Body, load_body
from hvc_jax.body.camera import project
from hvc_jax.body.lbs import posed_vertices
from hvc_jax.body.params import EXPRESSION, NUM_EXPRESSION, unpack
from hvc_jax.body.raster import vertex_normals
from hvc_jax.ops.warp import warp
from hvc_jax.pose.appearance import Reference

LEAST_PIXELS = 32
"""Height of a face in pixels below which expressions are left at zero."""

_FACE_METRES = 0.22
_POINTS = 256
_STEPS = 15
_PRIOR = 5e-5  # weight of a squared coefficient against the mean squared residual
_BLUNDER = 0.15
_FACING = 0.3


@functools.cache
def _face_points() -> np.ndarray:
    """Returns the vertices of the open body that expressions move most."""
    moved = np.linalg.norm(np.asarray(load_body().exprdirs), axis=-1).sum(0)
    return np.sort(np.argsort(-moved)[:_POINTS])


@jax.jit
def _place(body: Body, points: jax.Array, vector: jax.Array) -> tuple[jax.Array, ...]:
    """Returns where points are [K, 2], their directions [10, K, 2] and whether they face us [K]."""
    neutral = vector.at[EXPRESSION].set(0.0)
    vectors = jnp.tile(neutral, (1 + NUM_EXPRESSION, 1))
    vectors = vectors.at[1:, EXPRESSION].add(jnp.eye(NUM_EXPRESSION))
    params = unpack(vectors)
    vertices, _ = posed_vertices(body, params)
    screen = project(vertices, params.camera)[:, points, :2]
    normal = vertex_normals(vertices[:1], body.faces)[0, points, 2]
    inside = (jnp.abs(screen[0]) < 1).all(-1)
    return screen[0], screen[1:] - screen[0], (normal > _FACING) & inside


@jax.jit
def _solve(
    picture: jax.Array,
    at: jax.Array,
    directions: jax.Array,
    colours: jax.Array,
    weight: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Returns the expression [10] of one picture [H, W, 3], and its cost; never above zero's."""
    total = jnp.maximum(weight.sum(), 1.0)

    def residual(expression: jax.Array) -> jax.Array:
        where = at + jnp.einsum("e,ekc->kc", expression, directions)
        return warp(picture[None], where[None, None])[0, 0] - colours

    def cost(expression: jax.Array) -> tuple[jax.Array, jax.Array]:
        squared = jnp.sum(residual(expression) ** 2, -1)
        trust = weight / (1 + squared / _BLUNDER**2) ** 2  # Geman-McClure, reweighted
        robust = squared / (1 + squared / _BLUNDER**2)
        return jnp.sum(weight * robust) / total + _PRIOR * jnp.sum(expression**2), trust

    def step(carry: tuple, _: None) -> tuple:
        best, best_cost, damping = carry
        trust = cost(best)[1] / total
        slope = jax.jacfwd(residual)(best)  # [K, 3, 10]
        weighted = slope * trust[:, None, None]
        normal = jnp.einsum("kce,kcf->ef", weighted, slope) + _PRIOR * jnp.eye(NUM_EXPRESSION)
        right = jnp.einsum("kce,kc->e", weighted, residual(best)) + _PRIOR * best
        damped = normal + damping * jnp.diag(jnp.diag(normal))
        new = jnp.clip(best - jnp.linalg.solve(damped, right), -4, 4)
        new_cost = cost(new)[0]
        better = new_cost < best_cost
        best = jnp.where(better, new, best)
        damping = jnp.where(better, damping / 3, damping * 5)
        return (best, jnp.minimum(new_cost, best_cost), damping), None

    zero = jnp.zeros(NUM_EXPRESSION)
    (best, best_cost, _), _ = jax.lax.scan(step, (zero, cost(zero)[0], 0.1), None, length=_STEPS)
    return best, best_cost


def face_height(vectors: np.ndarray, side: int) -> float:
    """Returns about how many of `side` pixels the faces of body vectors [T, 188] are high."""
    return float(np.median(np.asarray(vectors)[:, -3])) * _FACE_METRES * side / 2


def fit_expression(
    frames: np.ndarray, vectors: np.ndarray, reference: Reference | None = None
) -> np.ndarray:
    """Returns expression coefficients [T, 10], relative to the reference frame's face.

    Zeros where the face is smaller than `LEAST_PIXELS` or turned away in either frame.

    Args:
      frames: [T, H, H, 3] uint8.
      vectors: [T, 188] body vectors.
      reference: whose face counts as neutral; None for the first frame's.
    """
    out = np.zeros((len(frames), NUM_EXPRESSION), np.float32)
    if face_height(vectors, frames.shape[1]) < LEAST_PIXELS:
        return out
    body, points = load_body(), jnp.asarray(_face_points())
    shown = reference or Reference(frames[0], vectors[0])
    at, directions, seen = _place(body, points, jnp.asarray(shown.vector))
    at = at + jnp.einsum("e,ekc->kc", jnp.asarray(shown.vector[EXPRESSION]), directions)
    unit = lambda picture: jnp.asarray(picture, jnp.float32) / 255  # noqa: E731
    colours = warp(unit(shown.picture)[None], at[None, None])[0, 0]
    for t, (frame, vector) in enumerate(zip(frames, vectors, strict=True)):
        place, directions, visible = _place(body, points, jnp.asarray(vector))
        weight = (seen & visible).astype(jnp.float32)
        if weight.sum() >= _POINTS / 4:
            out[t] = _solve(unit(frame), place, directions, colours, weight)[0]
    return out
