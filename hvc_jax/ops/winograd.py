"""3x3 convolutions of many channels by Winograd's short filters, for training on a CPU.

The picture is cut into tiles of m x m results, each of which needs n x n = (m + 2) x (m + 2) pixels
d. With the matrices of Toom and Cook for n - 1 points and infinity (A [n, m], B [n, n], G [n, 3]),

    Y = A^T [(G k G^T) * (B^T d B)] A

where * is a product for each of the n^2 places: over all tiles and channels together n^2 products
of matrices [tiles, I] x [I, O], which take 2.25 (m = 2) or 4 (m = 4) times fewer multiplications
than the sum over the nine taps. The gradients are the transposes of the same steps: with
D = A dY A^T they are B [D U^T] B^T for the pixels and G^T [V^T D] G for the kernel, so that V, the
transformed picture, and D are computed once.

Sums of several pixels with both signs cost accuracy: over 16 to 224 channels the root mean square
error in float32 is up to 5e-7 (m = 2) or 3e-6 (m = 4) of the results' own root mean square, where
a plain sum has up to 4e-7; gradients alike.

Winograd, "Arithmetic complexity of computations", 1980; Lavin and Gray, "Fast algorithms for
convolutional neural networks", https://arxiv.org/abs/1509.09308, sec. 4. The points of m = 4 are
those that Barabasz et al. found most accurate, https://arxiv.org/abs/1803.10986, table 4.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 1.0, -1.0, 0.5, -2.0)}


class Transformed(NamedTuple):
    """What the gradients need.

    Attributes:
      picture: [n * n, tiles, I].
      kernel: [n * n, I, O].
    """

    picture: jax.Array
    kernel: jax.Array


def convolve(x: jax.Array, kernel: jax.Array, tile: int) -> tuple[jax.Array, Transformed]:
    """`x` convolved with a 3x3 kernel, stride 1, borders padded with zeros.

    Args:
      x: [B, H, W, I] float32.
      kernel: [3, 3, I, O] float32.
      tile: side m of the tiles, 2 or 4; H and W need not be multiples of it.

    Returns:
      [B, H, W, O], and what `gradients` needs.
    """
    batch, height, width, _ = x.shape
    down, across = -(-height // tile), -(-width // tile)
    to_results, _, to_kernel = _matrices(tile)
    side = tile + 2
    picture = _tiles(x, tile)
    u = _combine(to_kernel, list(kernel), 0)
    u = _combine(to_kernel, [u[:, j] for j in range(3)], 1).reshape(side**2, *kernel.shape[2:])
    y = lax.dot_general(picture, u, (((2,), (1,)), ((0,), (0,))))
    y = y.reshape(side, side, batch, down, across, -1)
    y = _combine(to_results.T, list(y), 3)
    y = _combine(to_results.T, list(y), 4).reshape(batch, down * tile, across * tile, -1)
    return y[:, :height, :width], Transformed(picture, u)


def gradients(saved: Transformed, g: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The gradients of `convolve`'s picture and kernel.

    Args:
      saved: its second result.
      g: [B, H, W, O] gradient of its first.

    Returns:
      [B, H, W, I] and [3, 3, I, O].
    """
    side = math.isqrt(len(saved.picture))
    tile = side - 2
    batch, height, width, outputs = g.shape
    down, across = -(-height // tile), -(-width // tile)
    to_results, to_pixels, to_kernel = _matrices(tile)
    g = jnp.pad(g, ((0, 0), (0, down * tile - height), (0, across * tile - width), (0, 0)))
    g = g.reshape(batch, down, tile, across, tile, outputs)
    d = _combine(to_results, [g[:, :, i] for i in range(tile)], 0)
    d = _combine(to_results, [d[:, :, :, :, j] for j in range(tile)], 1)
    d = d.reshape(side**2, batch * down * across, outputs)
    to_picture = lax.dot_general(d, saved.kernel, (((2,), (2,)), ((0,), (0,))))
    pixels = list(to_picture.reshape(side, side, batch, down, across, -1))
    pixels = _overlap([_sum(row, pixels) for row in to_pixels], 2)
    pixels = _overlap([_sum(row, list(pixels)) for row in to_pixels], 3)
    to_x = pixels.reshape(batch, down * tile, across * tile, -1)[:, :height, :width]
    u = lax.dot_general(saved.picture, d, (((1,), (1,)), ((0,), (0,))))
    u = _combine(to_kernel.T, list(u.reshape(side, side, *u.shape[1:])), 0)
    return to_x, _combine(to_kernel.T, [u[:, j] for j in range(side)], 1)


def _tiles(x: jax.Array, tile: int) -> jax.Array:
    """V = B^T d B of all tiles: [n * n, tiles, I]."""
    batch, height, width, channels = x.shape
    down, across = -(-height // tile), -(-width // tile)
    _, to_picture, _ = _matrices(tile)
    side = tile + 2
    x = jnp.pad(x, ((0, 0), (1, 1 + down * tile - height), (1, 1 + across * tile - width), (0, 0)))
    rows = _combine(to_picture.T, [_strided(x, i, down, tile, 1) for i in range(side)], 0)
    v = _combine(to_picture.T, [_strided(rows, j, across, tile, 3) for j in range(side)], 1)
    return v.reshape(side**2, batch * down * across, channels)


def _overlap(parts: list[jax.Array], axis: int) -> jax.Array:
    """Pixels from the n = m + 2 places of tiles that lie m apart along `axis`; the border is cut.

    The m places that a tile owns are stacked on a new axis after `axis`. The place before them is
    the last of the tile before, the one after them the first of the next. Ends with a stack
    because XLA fuses anything less into all that use it, and computes it again for each.
    """
    first, *own, last = parts
    edge = jnp.zeros_like(lax.slice_in_dim(first, 0, 1, axis=axis))
    own[0] += jnp.concatenate([edge, lax.slice_in_dim(last, 0, -1, axis=axis)], axis)
    own[-1] += jnp.concatenate([lax.slice_in_dim(first, 1, None, axis=axis), edge], axis)
    return jnp.stack(own, axis + 1)


def _strided(x: jax.Array, start: int, count: int, stride: int, axis: int) -> jax.Array:
    return lax.slice_in_dim(x, start, start + stride * (count - 1) + 1, stride, axis)


def _combine(matrix: np.ndarray, terms: Sequence[jax.Array], axis: int) -> jax.Array:
    """`matrix` [R, T] times the T terms, the R results stacked along a new axis.

    Written out as sums: as a product of matrices this small it takes several times as long.
    """
    return jnp.stack([_sum(row, terms) for row in matrix], axis)


def _sum(row: np.ndarray, terms: Sequence[jax.Array]) -> jax.Array:
    total = None
    for factor, term in zip(row, terms, strict=True):
        if factor == 0:
            continue
        part = term if abs(factor) == 1 else np.float32(abs(factor)) * term
        if total is None:
            total = part if factor > 0 else -part
        else:
            total = total + part if factor > 0 else total - part
    return total


def _matrices(tile: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A [n, m], B [n, n] and G [n, 3] of Toom and Cook for tiles of side m.

    A and G hold the powers of the points, B the polynomials that are zero at all points but one.
    """
    points = np.array(_POINTS[tile])
    side = tile + 2
    others = [np.delete(points, i) for i in range(side - 1)]
    basis = np.zeros((side, side))
    for i, roots in enumerate([*others, points]):
        basis[: len(roots) + 1, i] = np.poly(roots)[::-1]
    at = np.array([np.prod(p - roots) for p, roots in zip(points, others, strict=True)])
    infinity = np.zeros((1, tile))
    infinity[0, -1] = 1
    powers = np.vstack([points[:, None] ** np.arange(tile), infinity])
    kernel = np.vstack([points[:, None] ** np.arange(3) / at[:, None], [[0, 0, 1]]])
    return powers, basis, kernel
