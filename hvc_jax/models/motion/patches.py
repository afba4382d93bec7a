"""Patches of a picture that overlap and are blended, and convolution with a kernel a pixel.

Attention moves whole cells. Patches that reach beyond their cells and fade out there hide the
cells' borders (overlapped block motion compensation; Orchard and Sullivan, IEEE Trans. Image
Processing 3(5), 1994); kernels that differ from pixel to pixel move by parts of a cell and sharpen
what a mean of cells has blurred (Niklaus et al., "Video frame interpolation via adaptive separable
convolution", ICCV 2017). Nothing here looks anything up by position.
"""

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.ops.warp import average_pool, bilinear_upsample

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def cut(x: jax.Array, side: int, halo: int) -> jax.Array:
    """[B, H, W, C] -> [B, H/side, W/side, (side + 2 halo)^2 C]: cells and `halo` around each.

    The border is repeated outside; 2 halo <= side.
    """
    x = jnp.pad(x, ((0, 0), (halo, halo), (halo, halo), (0, 0)), mode="edge")
    for axis in (1, 3):  # rows, then columns behind the rows' two axes
        count = (x.shape[axis] - 2 * halo) // side
        x = jnp.pad(x, [(0, side - 2 * halo if i == axis else 0) for i in range(x.ndim)])
        x = x.reshape(*x.shape[:axis], count + 1, side, *x.shape[axis + 1 :])
        own = jax.lax.slice_in_dim(x, 0, count, axis=axis)
        after = jax.lax.slice_in_dim(x, 1, count + 1, axis=axis)
        after = jax.lax.slice_in_dim(after, 0, 2 * halo, axis=axis + 1)
        x = jnp.concatenate([own, after], axis + 1)
    x = x.transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(*x.shape[:3], -1)


def blend(x: jax.Array, side: int, halo: int) -> jax.Array:
    """Patches as from `cut` [B, h, w, (side + 2 halo)^2 C] -> [B, h side, w side, C].

    Their weights rise and fall linearly where two overlap, and sum up to one: the inverse of `cut`.
    """
    width = side + 2 * halo
    batch, rows, columns, size = x.shape
    x = x.reshape(batch, rows, columns, width, width, size // width**2)
    x = x.transpose(0, 1, 3, 2, 4, 5)
    for axis in (1, 2):  # rows are one axis when columns have their turn
        count = x.shape[axis]
        ramp = np.ones((count, width), np.float32)
        rise = (np.arange(2 * halo, dtype=np.float32) + 0.5) / max(2 * halo, 1)
        ramp[1:, : 2 * halo] *= rise
        ramp[:-1, side:] *= 1 - rise
        shape = [1] * x.ndim
        shape[axis : axis + 2] = [count, width]
        x = x * ramp.reshape(shape)
        own = jax.lax.slice_in_dim(x, 0, side, axis=axis + 1)
        after = jax.lax.slice_in_dim(x, side, width, axis=axis + 1)
        x = _padded(own, axis, (0, 1), 0) + _padded(after, axis, (1, 0), side - 2 * halo)
        x = x.reshape(*x.shape[:axis], (count + 1) * side, *x.shape[axis + 2 :])
        x = jax.lax.slice_in_dim(x, halo, halo + count * side, axis=axis)
    return x


def _padded(x: jax.Array, axis: int, cells: tuple[int, int], inner: int) -> jax.Array:
    """Zeros before and behind the cells of an axis, and behind what is in them, the axis after."""
    sizes = [(0, 0)] * x.ndim
    sizes[axis], sizes[axis + 1] = cells, (0, inner)
    return jnp.pad(x, sizes)


def cut_picture(picture: jax.Array, side: int, halo: int) -> jax.Array:
    """Patches of a picture [B, H, W, 3], colour at half the resolution, as key pictures have it.

    Args:
      picture: red, green, blue in [0, 1].
      side: of a cell, pixels, even.
      halo: pixels around it, even.

    Returns:
      [B, H/side, W/side, 3/2 (side + 2 halo)^2]: luma, then blue and red less luma; around 0.
    """
    luma = (picture * _LUMA).sum(-1, keepdims=True)
    colour = average_pool(picture[..., ::2] - luma, 2)
    return jnp.concatenate([cut(luma - 0.5, side, halo), cut(colour, side // 2, halo // 2)], -1)


def blend_picture(x: jax.Array, side: int, halo: int) -> jax.Array:
    """Patches as from `cut_picture`, blended: [B, H, W, 3]."""
    count = (side + 2 * halo) ** 2
    luma = blend(x[..., :count], side, halo) + 0.5
    colour = bilinear_upsample(blend(x[..., count:], side // 2, halo // 2))
    red, blue = luma + colour[..., :1], luma + colour[..., 1:]
    green = (luma - _LUMA[0] * red - _LUMA[2] * blue) / _LUMA[1]
    return jnp.concatenate([red, green, blue], -1)


def adaptive_convolution(x: jax.Array, down: jax.Array, across: jax.Array) -> jax.Array:
    """A picture under kernels of each pixel's own, `down` and `across` as an outer product.

    Args:
      x: [B, H, W, C]; its border is repeated outside.
      down: [B, H, W, N] changes of the N taps of columns, N odd, from a one in the middle.
      across: the same of rows.

    Returns:
      [B, H, W, C]. Taps are shifted to sum up to one.
    """
    for axis, change in ((1, down), (2, across)):
        taps = change - change.mean(-1, keepdims=True)
        reach, count = change.shape[-1] // 2, x.shape[axis]
        wide = jnp.pad(x, [(reach, reach) if i == axis else (0, 0) for i in range(4)], mode="edge")
        for k in range(2 * reach + 1):
            x = x + taps[..., k : k + 1] * jax.lax.slice_in_dim(wide, k, k + count, axis=axis)
    return x
