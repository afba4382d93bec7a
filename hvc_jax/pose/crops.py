"""Turned square windows of pictures: what the landmark networks look through.

A window is (u, v, half, angle): its centre and half its side in picture units, where the picture is
[-1, 1] to the right and down, and by how many radians it is turned clockwise. Pictures are square.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.ops.warp import warp


def window_between(start: np.ndarray, end: np.ndarray, scale: float) -> np.ndarray:
    """Returns windows [*, 4] around `start` whose upper edge's middle lies towards `end`.

    Half the side is the distance of the two points [*, 2], in picture units, times `scale`.
    """
    along = end - start
    half = np.linalg.norm(along, axis=-1) * scale
    angle = np.arctan2(along[..., 0], -along[..., 1])
    return np.stack([start[..., 0], start[..., 1], half, angle], -1).astype(np.float32)


def shifted(windows: np.ndarray, up: float, scale: float = 1.0) -> np.ndarray:
    """Returns windows [*, 4] moved up by so many of their sides, and multiplied by `scale` then."""
    u, v, half, angle = np.moveaxis(windows, -1, 0)
    step = 2 * half * up
    moved = (u + np.sin(angle) * step, v - np.cos(angle) * step, half * scale, angle)
    return np.stack(moved, -1).astype(np.float32)


def turned(vectors: jax.Array, angle: jax.Array) -> jax.Array:
    """Returns [B, K, 2] vectors turned clockwise by [B] radians (v down)."""
    c, s = jnp.cos(angle)[:, None], jnp.sin(angle)[:, None]
    x, y = vectors[..., 0], vectors[..., 1]
    return jnp.stack([c * x - s * y, s * x + c * y], -1)


def upright(points: jax.Array, windows: jax.Array) -> jax.Array:
    """Returns points in space [B, K, 3], x to the right in the picture, y up, z to the viewer.

    `points`: [B, K, 3] as networks give them: y down and z away, in the axes of windows [B, 4].
    """
    flat = turned(points[..., :2], windows[:, 3])
    return jnp.stack([flat[..., 0], -flat[..., 1], -points[..., 2]], -1)


def to_picture(points: jax.Array, windows: jax.Array) -> jax.Array:
    """Returns points [B, K, 2], given in [-1, 1] of windows [B, 4], in picture units."""
    return turned(points, windows[:, 3]) * windows[:, None, 2:3] + windows[:, None, :2]


def to_window(points: jax.Array, windows: jax.Array) -> jax.Array:
    """Returns points [B, K, 2] of the picture in [-1, 1] of windows [B, 4]."""
    return turned((points - windows[:, None, :2]) / windows[:, None, 2:3], -windows[:, 3])


def pixel_centres(size: int) -> np.ndarray:
    """Returns [size * size, 2]: the centres of a raster's pixels in [-1, 1], row by row."""
    line = ((np.arange(size) + 0.5) / size * 2 - 1).astype(np.float32)
    return np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)


def crop(pictures: jax.Array, windows: jax.Array, size: int) -> jax.Array:
    """Returns what is in a window [B, 4] of each picture [B, H, H, 3] uint8, as floats in [0, 1].

    It is [B, size, size, 3], bilinear, the border repeated, as the networks were trained.
    """
    centres = jnp.broadcast_to(pixel_centres(size), (len(windows), size * size, 2))
    grid = to_picture(centres, windows).reshape(-1, size, size, 2)
    return warp(pictures.astype(jnp.float32) / 255, grid)


def uncrop(maps: jax.Array, windows: jax.Array, size: int) -> jax.Array:
    """Returns maps [B, S, S] of windows as maps [B, size, size] of the picture, 0 elsewhere."""
    centres = jnp.broadcast_to(pixel_centres(size), (len(windows), size * size, 2))
    grid = to_window(centres, windows).reshape(-1, size, size, 2)
    inside = (jnp.abs(grid) <= 1).all(-1)
    return warp(maps[..., None], grid)[..., 0] * inside


def spread_over_time(windows: np.ndarray, at: np.ndarray, count: int) -> np.ndarray:
    """Returns windows [count, 4] from those [N, 4] of frames `at`: even between, held outside."""
    log_half = np.log(np.maximum(windows[:, 2], 1e-3))
    columns = (windows[:, 0], windows[:, 1], log_half, np.unwrap(windows[:, 3]))
    frames = np.arange(count)
    u, v, size, angle = (np.interp(frames, at, column) for column in columns)
    return np.stack([u, v, np.exp(size), angle], -1).astype(np.float32)
