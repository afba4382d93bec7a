"""The displacement field: control points -> dense displacement -> key pictures warped and blended.

A field is the product of transforms: planes of quantised coefficients (`stream.field_layout`) are
combined in time, then spread over the picture by uniform cubic B-splines whose control points stand
at the centres of a grid of rows x columns and repeat in reflection beyond the border. Along an
axis the coefficients are a DCT-II of the control points, each scaled so that the displacement it
makes has a root mean square of its own value: a step means the same on every grid.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.ops import bicubic
from hvc_jax.stream.field_layout import BLEND, Segment, cosines, planes, time_matrix

BLEND_STEP = 1.0
"""Step of the blend logit, in units of the step of displacements in pixels."""


@functools.cache
def spline_matrix(length: int, points: int) -> np.ndarray:
    """Uniform cubic B-splines: [length pixels, points]; every row sums to one."""
    place = (np.arange(length) + 0.5) * points / length - 0.5
    first = np.floor(place).astype(int) - 1
    t = place - first - 1
    weights = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], -1
    )
    index = (first[:, None] + np.arange(4)) % (2 * points)
    index = np.where(index < points, index, 2 * points - 1 - index)
    matrix = np.zeros((length, points))
    np.add.at(matrix, (np.arange(length)[:, None], index), weights / 6)
    return matrix


@functools.cache
def _gains(points: int) -> np.ndarray:
    """Root mean square of what each coefficient of an axis spreads to, on a fine raster: [points].

    Taken on 64 pixels a point, so that it does not depend on the picture's size.
    """
    return np.sqrt(np.mean((spline_matrix(64 * points, points) @ cosines(points).T) ** 2, 0))


@functools.cache
def control_matrix(points: int) -> np.ndarray:
    """Coefficients of an axis -> control points: [points, coefficients]."""
    return cosines(points).T / _gains(points)


@functools.cache
def axis_matrix(length: int, points: int) -> np.ndarray:
    """Coefficients of an axis -> displacement at pixels: [length, coefficients]."""
    return spline_matrix(length, points) @ control_matrix(points)


def plane_steps(parts: list[Segment], step: float) -> np.ndarray:
    """The quantiser's step of every plane: [planes], pixels (logits for the blend)."""
    return np.array([step * (BLEND_STEP if p.kind == BLEND else 1.0) for p in planes(parts)])


def synthesis_matrix(parts: list[Segment], step: float) -> np.ndarray:
    """Levels of every plane -> transformed fields: [T, 5, planes] float32."""
    return (time_matrix(parts) * plane_steps(parts, step)).astype(np.float32)


def control_points(transformed: jax.Array) -> jax.Array:
    """Fields [T, 5, R, C] at control points, from their transforms over rows and columns."""
    rows, columns = transformed.shape[-2:]
    down, across = control_matrix(rows), control_matrix(columns)
    return jnp.einsum("yr,torc,xc->toyx", down, transformed, across, precision="highest")


def dense(points: jax.Array, height: int, width: int) -> jax.Array:
    """Fields [T, 5, height, width] at pixels, from control points [T, 5, R, C]."""
    rows, columns = points.shape[-2:]
    down, across = spline_matrix(height, rows), spline_matrix(width, columns)
    return jnp.einsum("yr,torc,xc->toyx", down, points, across, precision="highest")


class References(NamedTuple):
    """What each frame of a group looks into."""

    past: jax.Array  # [T] int32, number of the past picture (any number where `share` is -inf)
    future: jax.Array  # [T] int32, number of the future picture (any number where `share` is +inf)
    share: jax.Array  # [T] float32, logit of the past picture's share before the blend field


class Candidates(NamedTuple):
    """What key pictures say of each frame."""

    past: jax.Array  # [T, H, W, C] the past picture as displaced
    # [T, H, W, C] the future one; equal to `past` where a frame looks into one only
    future: jax.Array
    share: jax.Array  # [T, H, W, 1] in [0, 1], of the past picture in the blend

    def blend(self) -> jax.Array:
        """The frames [T, H, W, C] that the shares make of both."""
        return self.future + self.share * (self.past - self.future)


def warp(prepared: jax.Array, references: References, fields: jax.Array, two: bool) -> Candidates:
    """Key pictures as dense fields displace them, unclipped.

    `prepared`: laid out by `bicubic.prepare`; `references`: which of them, and the shares;
    `fields`: [T, 5, H, W], displacements in pixels; `two`: whether any frame looks into two
    pictures; False looks only into `past`.
    """
    height, width = fields.shape[-2:]
    x, y = jnp.arange(width, dtype=jnp.float32), jnp.arange(height, dtype=jnp.float32)[:, None]
    past = bicubic.sample(prepared, references.past, x + fields[:, 0], y + fields[:, 1])
    if not two:
        return Candidates(past, past, jnp.ones_like(past[..., :1]))
    future = bicubic.sample(prepared, references.future, x + fields[:, 2], y + fields[:, 3])
    share = jax.nn.sigmoid(references.share[:, None, None] + fields[:, 4])[..., None]
    return Candidates(past, future, share)


def warp_blend(
    prepared: jax.Array, references: References, fields: jax.Array, two: bool
) -> jax.Array:
    """The frames that dense fields make of key pictures: [T, H, W, C]; arguments as for `warp`."""
    return warp(prepared, references, fields, two).blend()
