"""Bicubic sampling: identity, limits, a slow reference, derivatives against differences."""

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.ops import bicubic

_sample = jax.jit(bicubic.sample)
_sample_with_slopes = jax.jit(bicubic.sample_with_slopes)


def _places(frames: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.tile(x, (frames, 1, 1)), np.tile(y, (frames, 1, 1))


def test_weights_sum_to_one_and_slopes_to_zero() -> None:
    fraction = jnp.linspace(0, 1, 33)
    np.testing.assert_allclose(bicubic.cubic_weights(fraction).sum(-1), 1, atol=1e-6)
    np.testing.assert_allclose(bicubic.cubic_slopes(fraction).sum(-1), 0, atol=1e-5)


def test_sampling_every_pixel_at_its_place_is_the_identity() -> None:
    pictures = np.random.default_rng(0).random((3, 9, 12, 2), np.float32)
    x, y = _places(3, 9, 12)
    made = _sample(bicubic.prepare(jnp.asarray(pictures)), jnp.arange(3), x, y)
    np.testing.assert_array_equal(np.asarray(made), pictures)


def test_sampling_agrees_with_a_slow_reference_that_repeats_the_border() -> None:
    rng = np.random.default_rng(1)
    picture = rng.random((7, 6, 1), np.float32)
    x, y = rng.uniform(-5, 11, (2, 1, 4, 5)).astype(np.float32)
    made = _sample(bicubic.prepare(jnp.asarray(picture[None])), jnp.zeros(1, int), x, y)

    def kernel(s: float) -> float:
        s, a = abs(s), bicubic.SHARPNESS
        if s <= 1:
            return (a + 2) * s**3 - (a + 3) * s**2 + 1
        return a * s**3 - 5 * a * s**2 + 8 * a * s - 4 * a if s < 2 else 0.0

    for i in np.ndindex(4, 5):
        # Beyond a pixel outside the picture there is nothing but the border.
        px, py = np.clip(x[0][i], -1, 6), np.clip(y[0][i], -1, 7)
        expected = sum(
            kernel(px - u) * kernel(py - v) * picture[np.clip(v, 0, 6), np.clip(u, 0, 5), 0]
            for u in range(-4, 11)
            for v in range(-4, 12)
        )
        np.testing.assert_allclose(made[0][i][0], expected, atol=1e-5)


def test_slopes_agree_with_finite_differences() -> None:
    rng = np.random.default_rng(2)
    prepared = bicubic.prepare(jnp.asarray(rng.random((2, 8, 8, 3)), jnp.float32))
    x, y = (jnp.asarray(rng.uniform(1.1, 5.9, (2, 4, 4)), jnp.float32) for _ in range(2))
    index = jnp.array([1, 0])
    value, by_x, by_y = _sample_with_slopes(prepared, index, x, y)
    np.testing.assert_allclose(value, _sample(prepared, index, x, y), atol=1e-6)
    h = 1e-2
    for slope, dx, dy in ((by_x, h, 0), (by_y, 0, h)):
        ahead = _sample(prepared, index, x + dx, y + dy)
        back = _sample(prepared, index, x - dx, y - dy)
        np.testing.assert_allclose(slope, (ahead - back) / (2 * h), atol=2e-2)
