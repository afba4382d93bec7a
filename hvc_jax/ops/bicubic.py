"""Bicubic sampling of pictures at arbitrary positions, with its exact derivative.

The kernel is Keys' cubic convolution (IEEE Trans. ASSP 29, 1981) with a = -1/2: it interpolates,
reproduces quadratics, and its weights sum to one everywhere. Positions are pixels: (0, 0) is the
centre of the top left pixel. Outside the picture the border pixel repeats.
"""

import jax
import jax.numpy as jnp

SHARPNESS = -0.5


def cubic_weights(fraction: jax.Array) -> jax.Array:
    """The weights of the four pixels around a position.

    Args:
        fraction: [...] distance to the second of the four, in [0, 1].

    Returns:
        [..., 4], summing to one.
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
    """Pictures laid out for `sample`: the four pixels of a row that a position needs, together.

    Args:
        pictures: [K, H, W, C].

    Returns:
        [K, H + 4, W + 1, 4 C]: place (y, x) holds pixels (y - 2, x - 2 .. x + 1) of the picture.
    """
    padded = jnp.pad(pictures, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    width = pictures.shape[2] + 1
    return jnp.concatenate([padded[:, :, i : i + width] for i in range(4)], -1)


def _gather(prepared: jax.Array, index: jax.Array, x: jax.Array, y: jax.Array):
    """The 4 x 4 pixels around each position [T, h, w, 4, 4, C] and the two fractions."""
    _, tall, wide, deep = prepared.shape
    x, y = jnp.clip(x, -1, wide - 1), jnp.clip(y, -1, tall - 4)
    left, top = jnp.clip(jnp.floor(x), -1, wide - 2), jnp.clip(jnp.floor(y), -1, tall - 5)
    fx, fy = x - left, y - top
    base = (index[:, None, None] * tall + top.astype(jnp.int32) + 1) * wide
    base = base + left.astype(jnp.int32) + 1
    flat = prepared.reshape(-1, deep)
    rows = [flat.at[base + i * wide].get(mode="promise_in_bounds") for i in range(4)]
    return [r.reshape(*x.shape, 4, deep // 4) for r in rows], fx, fy


def sample(prepared: jax.Array, index: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Pictures sampled bicubically.

    Args:
        prepared: [K, H + 4, W + 1, 4 C] from `prepare`.
        index: [T] int, which picture each frame looks into.
        x: [T, h, w] columns, in pixels.
        y: [T, h, w] rows, in pixels.

    Returns:
        [T, h, w, C].
    """
    rows, fx, fy = _gather(prepared, index, x, y)
    across, down = cubic_weights(fx), cubic_weights(fy)
    lines = [jnp.einsum("thwic,thwi->thwc", r, across) for r in rows]
    return sum(line * down[..., i, None] for i, line in enumerate(lines))


def sample_with_slopes(prepared: jax.Array, index: jax.Array, x: jax.Array, y: jax.Array):
    """`sample`, and its derivatives by x and by y: three arrays [T, h, w, C]."""
    rows, fx, fy = _gather(prepared, index, x, y)
    across, across_slope = cubic_weights(fx), cubic_slopes(fx)
    down, down_slope = cubic_weights(fy), cubic_slopes(fy)
    lines = [jnp.einsum("thwic,thwi->thwc", r, across) for r in rows]
    tilted = [jnp.einsum("thwic,thwi->thwc", r, across_slope) for r in rows]
    value = sum(line * down[..., i, None] for i, line in enumerate(lines))
    by_x = sum(line * down[..., i, None] for i, line in enumerate(tilted))
    by_y = sum(line * down_slope[..., i, None] for i, line in enumerate(lines))
    return value, by_x, by_y
