"""Sampling grids, bilinear warping, and exact rearrangements between scales.

A grid holds absolute positions (u, v) in [-1, 1], where (-1, -1) is the outer corner of the top
left pixel; the centre of pixel j of W lies at u = (2 j + 1) / W - 1. The same grid therefore
addresses a picture at every resolution.
"""

import jax
import jax.numpy as jnp


def identity_grid(height: int, width: int) -> jax.Array:
    """The grid that samples every pixel at its own centre: [height, width, 2], (u, v)."""
    u = (2 * jnp.arange(width, dtype=jnp.float32) + 1) / width - 1
    v = (2 * jnp.arange(height, dtype=jnp.float32) + 1) / height - 1
    return jnp.stack(jnp.meshgrid(u, v), axis=-1)


def warp(image: jax.Array, grid: jax.Array) -> jax.Array:
    """`image` sampled bilinearly at `grid`; positions outside repeat the border.

    `image`: [B, H, W, C]; `grid`: [B, h, w, 2] absolute (u, v) in [-1, 1].

    Returns [B, h, w, C].
    """
    batch, height, width, channels = image.shape
    x = jnp.clip((grid[..., 0] + 1) * (width / 2) - 0.5, 0, width - 1)
    y = jnp.clip((grid[..., 1] + 1) * (height / 2) - 0.5, 0, height - 1)
    x0 = jnp.clip(jnp.floor(x), 0, max(width - 2, 0))
    y0 = jnp.clip(jnp.floor(y), 0, max(height - 2, 0))
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    x0, y0 = x0.astype(jnp.int32), y0.astype(jnp.int32)
    x1, y1 = jnp.minimum(x0 + 1, width - 1), jnp.minimum(y0 + 1, height - 1)
    flat = image.reshape(batch, height * width, channels)

    def take(row: jax.Array, column: jax.Array) -> jax.Array:
        index = (row * width + column).reshape(batch, -1, 1)
        return jnp.take_along_axis(flat, index, axis=1).reshape(*row.shape, channels)

    top = take(y0, x0) * (1 - fx) + take(y0, x1) * fx
    bottom = take(y1, x0) * (1 - fx) + take(y1, x1) * fx
    return top * (1 - fy) + bottom * fy


def resize_grid(grid: jax.Array, height: int, width: int) -> jax.Array:
    """`grid` [B, h, w, 2] at another resolution [B, height, width, 2], by its displacement.

    Interpolating the displacement and not the positions keeps the identity exact at the borders.
    """
    batch, rows, columns, _ = grid.shape
    if (rows, columns) == (height, width):
        return grid
    displacement = grid - identity_grid(rows, columns)
    displacement = jax.image.resize(displacement, (batch, height, width, 2), "bilinear")
    return displacement + identity_grid(height, width)


def space_to_depth(x: jax.Array, block: int) -> jax.Array:
    """[B, H, W, C] -> [B, H/block, W/block, block*block*C]; exact, inverse of depth_to_space."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // block, block, w // block, block, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, h // block, w // block, block * block * c)


def depth_to_space(x: jax.Array, block: int) -> jax.Array:
    """[B, H, W, block*block*C] -> [B, H*block, W*block, C]; inverse of space_to_depth."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, block, block, c // block**2).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, h * block, w * block, c // block**2)


def average_pool(x: jax.Array, block: int) -> jax.Array:
    """[B, H, W, C] -> [B, H/block, W/block, C], the mean of each block.

    A reshape and a mean: its backward pass is several times faster on CPU than a pooling window's.
    """
    b, h, w, c = x.shape
    return x.reshape(b, h // block, block, w // block, block, c).mean((2, 4))


def repeat_upsample(x: jax.Array, block: int) -> jax.Array:
    """[B, H, W, C] -> [B, H*block, W*block, C], nearest neighbour."""
    b, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None, :], (b, h, block, w, block, c))
    return x.reshape(b, h * block, w * block, c)


def bilinear_upsample(x: jax.Array) -> jax.Array:
    """[B, H, W, C] -> [B, 2 H, 2 W, C], linear between pixels' centres; the border is repeated.

    By shifts: jax.image.resize is a product with a dense matrix, a fifth of a pose network's time.
    """
    for axis in (1, 2):
        size = x.shape[axis]
        wide = jnp.pad(x, [(1, 1) if k == axis else (0, 0) for k in range(4)], mode="edge")
        before, after = (jax.lax.slice_in_dim(wide, k, k + size, axis=axis) for k in (0, 2))
        both = jnp.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
        x = both.reshape(*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])
    return x
