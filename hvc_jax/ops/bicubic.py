"""Bicubic sampling of pictures at arbitrary positions, and its exact derivative.

The kernel is Keys' cubic convolution (IEEE Trans. ASSP 29, 1981) with a = -1/2: it interpolates,
reproduces quadratics, and its weights sum to one everywhere. Positions are pixels: (0, 0) is the
centre of the top left pixel. Outside the picture the border pixel repeats.
"""

import jax
import jax.numpy as jnp

SHARPNESS = -0.5


def cubic_weights(fraction: jax.Array) -> jax.Array:
    """The weights of the four pixels around a position.

    `fraction`: [...] distance to the second of the four, in [0, 1].

    Returns [..., 4], summing to one.
    """
    a, t = SHARPNESS, fraction
    near = lambda s: ((a + 2) * s - (a + 3)) * s * s + 1  # noqa: E731
    far = lambda s: ((a * s - 5 * a) * s + 8 * a) * s - 4 * a  # noqa: E731
    return jnp.stack([far(t + 1), near(t), near(1 - t), far(2 - t)], -1)


def cubic_slopes(fraction: jax.Array) -> jax.Array:
    """The derivative of `cubic_weights` with respect to `fraction`: [..., 4], summing to zero."""
    a, t = SHARPNESS, fraction
    near = lambda s: (3 * (a + 2) * s - 2 * (a + 3)) * s  # noqa: E731
    far = lambda s: (3 * a * s - 10 * a) * s + 8 * a  # noqa: E731
    return jnp.stack([far(t + 1), near(t), -near(1 - t), -far(2 - t)], -1)


def prepare(pictures: jax.Array) -> jax.Array:
    """Pictures [K, H, W, C] with two border pixels repeated on every side, for `sample`."""
    return jnp.pad(pictures, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")


def _corner(prepared: jax.Array, index: jax.Array, x: jax.Array, y: jax.Array):
    """Where the 4 x 4 pixels around each position begin, among all pixels; and the fractions."""
    _, tall, wide, _ = prepared.shape
    x, y = jnp.clip(x, -1, wide - 4), jnp.clip(y, -1, tall - 4)
    left, top = jnp.minimum(jnp.floor(x), wide - 5), jnp.minimum(jnp.floor(y), tall - 5)
    row = index[:, None, None] * tall + top.astype(jnp.int32) + 1
    return row * wide + left.astype(jnp.int32) + 1, x - left, y - top


def sample(prepared: jax.Array, index: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Pictures sampled bicubically: [T, h, w, C].

    `prepared`: [K, H + 4, W + 4, C] from `prepare`; `index`: [T] int, which picture each frame
    looks into; `x`, `y`: [T, h, w] columns and rows, in pixels.
    """
    wide, channels = prepared.shape[2:]
    corner, fx, fy = _corner(prepared, index, x, y)
    across, down = cubic_weights(fx), cubic_weights(fy)
    flat = prepared.reshape(-1, channels)

    # One channel after the other, one pixel after the other: a CPU's compiler fuses this into one
    # loop without intermediate arrays, four times faster than gathers of whole pixels.
    def channel(c: int) -> jax.Array:
        plane = flat[:, c]
        total = jnp.zeros_like(fx)
        for i in range(4):
            line = jnp.zeros_like(fx)
            for j in range(4):
                pixel = plane.at[corner + (i * wide + j)].get(mode="promise_in_bounds")
                line += pixel * across[..., j]
            total += line * down[..., i]
        return total

    return jnp.stack([channel(c) for c in range(channels)], -1)


def sample_with_slopes(prepared: jax.Array, index: jax.Array, x: jax.Array, y: jax.Array):
    """`sample`, and its derivatives by x and by y: three arrays [T, h, w, C]."""
    wide, channels = prepared.shape[2:]
    # Places are made once, not again for each of the 48 pixels that are read.
    corner, fx, fy = jax.lax.optimization_barrier(_corner(prepared, index, x, y))
    across, across_slope = cubic_weights(fx), cubic_slopes(fx)
    down, down_slope = cubic_weights(fy), cubic_slopes(fy)

    def channel(plane: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        value = by_x = by_y = jnp.zeros_like(fx)
        for i in range(4):
            line = tilt = jnp.zeros_like(fx)
            for j in range(4):
                pixel = plane.at[corner + (i * wide + j)].get(mode="promise_in_bounds")
                line += pixel * across[..., j]
                tilt += pixel * across_slope[..., j]
            value += line * down[..., i]
            by_x += tilt * down[..., i]
            by_y += line * down_slope[..., i]
        return value, by_x, by_y

    # A loop, because a program with a copy of this for every channel compiles three times as long.
    parts = jax.lax.map(channel, prepared.reshape(-1, channels).T)
    return tuple(jnp.moveaxis(part, 0, -1) for part in parts)
