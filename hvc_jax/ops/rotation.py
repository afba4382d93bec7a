"""Rotations as axis-angle vectors and matrices; exact in value and gradient.

Axis-angle in radians, right-handed; matrices act on column vectors. All functions take any leading
dimensions.
"""

import jax
import jax.numpy as jnp

_SMALL = 1e-4  # squared angle below which series are used; their error is below float32 there


def axis_angle_to_matrix(axis_angle: jax.Array) -> jax.Array:
    """Returns rotation matrices [*, 3, 3] of axis-angle vectors [*, 3], radians.

    Rodrigues' formula R = I + a K + b K^2 with a = sin(t)/t and b = (1 - cos t)/t^2, both taken as
    functions of t^2 with a series near zero, so that value and gradient are exact at the identity
    (implementations that add 1e-8 to the vector are biased there).
    """
    x, y, z = axis_angle[..., 0], axis_angle[..., 1], axis_angle[..., 2]
    square = x * x + y * y + z * z
    small = square < _SMALL
    safe = jnp.where(small, 1.0, square)
    angle = jnp.sqrt(safe)
    a = jnp.where(small, 1 - square / 6 + square**2 / 120, jnp.sin(angle) / angle)
    # 2 sin^2(t/2) has no cancellation, unlike 1 - cos t.
    half = jnp.sin(0.5 * angle)
    b = jnp.where(small, 0.5 - square / 24 + square**2 / 720, 2 * half * half / safe)
    rows = (
        (1 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y),
        (b * x * y + a * z, 1 - b * (x * x + z * z), b * y * z - a * x),
        (b * x * z - a * y, b * y * z + a * x, 1 - b * (x * x + y * y)),
    )
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_axis_angle(matrix: jax.Array) -> jax.Array:
    """Returns axis-angle vectors [*, 3] with angle in [0, pi] of rotation matrices [*, 3, 3].

    Goes through the unit quaternion (Shepperd's choice of the largest component), so it is stable
    at the identity and near pi. At exactly pi the sign of the axis is arbitrary.
    """
    quaternion = matrix_to_quaternion(matrix)
    w, v = quaternion[..., 0], quaternion[..., 1:]
    square = jnp.sum(v * v, axis=-1)
    small = square < _SMALL
    sine = jnp.sqrt(jnp.where(small, 1.0, square))
    # angle / sin(angle / 2), by the series of 2 asin(s) / s near zero.
    factor = jnp.where(small, 2 + square / 3 + 3 * square**2 / 20, 2 * jnp.arctan2(sine, w) / sine)
    return factor[..., None] * v


def matrix_to_quaternion(matrix: jax.Array) -> jax.Array:
    """Returns unit quaternions [*, 4] (w, x, y, z) with w >= 0 of rotation matrices [*, 3, 3]."""
    m = [[matrix[..., i, j] for j in range(3)] for i in range(3)]
    x, y, z = m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]
    xy, xz, yz = m[0][1] + m[1][0], m[0][2] + m[2][0], m[1][2] + m[2][1]
    # Each row is the quaternion times four times one of its components.
    rows = (
        (1 + m[0][0] + m[1][1] + m[2][2], x, y, z),
        (x, 1 + m[0][0] - m[1][1] - m[2][2], xy, xz),
        (y, xy, 1 - m[0][0] + m[1][1] - m[2][2], yz),
        (z, xz, yz, 1 - m[0][0] - m[1][1] + m[2][2]),
    )
    rows = jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
    diagonal = jnp.stack([rows[..., k, k] for k in range(4)], axis=-1)
    best = jnp.argmax(diagonal, axis=-1)
    row = jnp.take_along_axis(rows, best[..., None, None], axis=-2)[..., 0, :]
    row = row / jnp.linalg.norm(row, axis=-1, keepdims=True)
    return jnp.where(row[..., :1] < 0, -row, row)
