"""Convolutions that train fast on a CPU.

XLA's CPU back end computes the gradient of a kernel as a convolution of the input with the output's
gradient as a window as large as the picture. For kernels of 1x1, and for few output channels, that
is two to four times as slow as the same sums in another form. 3x3 kernels of many channels train by
ops/winograd.py. Where nothing is differentiated, and on other back ends, these are XLA's own
convolutions.
"""

import jax
import jax.numpy as jnp
from jax import lax

from hvc_jax.ops import winograd
from hvc_jax.ops.channel_sums import channel_sums

_LAYOUT = ("NHWC", "HWIO", "NHWC")
# Up to this many channels the library of ops/compile.py leaves a convolution to the compiler.
_FEW = 16
# Rows from which a picture and its gradient no longer fit a core's cache together.
_LARGE = 32
# Winograd's form pays from this many channels on both sides, by side of the tiles, and this many
# tiles in a batch: below, transforming pictures or kernels costs what the products save.
_MANY = {4: 48, 2: 96}
_TILES = 64


@jax.custom_vjp
def convolve(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """`x` convolved with a square kernel of odd side, stride 1, borders padded with zeros.

    Args:
      x: [B, H, W, I].
      kernel: [K, K, I, O], of the type of `x`.
      bias: [O], of the type of `x`.

    Returns:
      [B, H, W, O].
    """
    return _forward(x, kernel) + bias


def _forward(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=_LAYOUT)


def _tile(x: jax.Array, kernel: jax.Array) -> int | None:
    """Side of the tiles for ops/winograd.py, or None where another form is as fast."""
    if jax.default_backend() != "cpu" or x.dtype != jnp.float32:
        return None
    if len(kernel) != 3:
        return None
    batch, height, width, _ = x.shape
    for tile, many in _MANY.items():
        tiles = batch * -(-height // tile) * -(-width // tile)
        if tiles >= _TILES and min(kernel.shape[2:]) >= many:
            return tile
    return None


def _save(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> tuple[jax.Array, tuple]:
    if tile := _tile(x, kernel):
        y, saved = winograd.convolve(x, kernel, tile)
        return y + bias, saved
    return convolve(x, kernel, bias), (x, kernel)


def _backward(saved: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, ...]:
    if isinstance(saved, winograd.Transformed):
        return *winograd.gradients(saved, g), channel_sums(g)
    x, kernel = saved
    (to_x,) = jax.linear_transpose(lambda x: _forward(x, kernel), x)(g)
    return to_x, _kernel_gradient(x, kernel, g), channel_sums(g)


def _kernel_gradient(x: jax.Array, kernel: jax.Array, g: jax.Array) -> jax.Array:
    """[K, K, I, O] of x [B, H, W, I] and the gradient of the result g [B, H, W, O]."""
    side, _, inputs, outputs = kernel.shape
    if jax.default_backend() == "cpu":
        if side == 1:
            return jnp.einsum("bhwi,bhwo->io", x, g)[None, None]
        if outputs <= _FEW < inputs and x.shape[1] <= _LARGE:
            # With the roles exchanged there are many channels out.
            return _windows(g, x, side)[::-1, ::-1].swapaxes(2, 3)
        if outputs <= _FEW and x.shape[1] % 2 == 0:
            # Halves of the pictures as examples of their own: longer sums at each place.
            return _windows(x, g, side, parts=2)
    (to_kernel,) = jax.linear_transpose(lambda kernel: _forward(x, kernel), kernel)(g)
    return to_kernel


def _windows(x: jax.Array, g: jax.Array, side: int, parts: int = 1) -> jax.Array:
    """Sum over b, h, w of x[b, h + k, w + l, i] g[b, h, w, o], x padded by half a kernel."""
    border, rows = side // 2, x.shape[1] // parts
    pad = [(border, border)] * 2
    if parts > 1:
        x = jnp.pad(x, ((0, 0), *pad, (0, 0)))
        bands = range(0, rows * parts, rows)
        x = jnp.concatenate([x[:, i : i + rows + 2 * border] for i in bands])
        g = jnp.concatenate([g[:, i : i + rows] for i in bands])
        pad = [(0, 0)] * 2
    layout = ("CHWN", "IHWO", "NHWC")
    sums = lax.conv_general_dilated(x, g, (1, 1), pad, dimension_numbers=layout)
    return sums.transpose(1, 2, 0, 3)


convolve.defvjp(_save, _backward)
