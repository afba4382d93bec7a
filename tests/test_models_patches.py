"""Patches cut and blended are the picture; adaptive kernels are sums over neighbours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.models.motion.patches import (
    adaptive_convolution,
    blend,
    blend_picture,
    cut,
    cut_picture,
)
from hvc_jax.ops.warp import bilinear_upsample


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, np.float32)


@pytest.mark.parametrize(("side", "halo"), [(8, 2), (4, 2), (4, 1), (2, 1), (4, 0)])
def test_patches_hold_cells_and_what_lies_around_and_blend_back(side: int, halo: int) -> None:
    x = noise(2, 16, 24, 3)
    patches = cut(x, side, halo)
    width = side + 2 * halo
    wide = np.pad(x, ((0, 0), (halo, halo), (halo, halo), (0, 0)), mode="edge")
    square = np.asarray(patches).reshape(2, 16 // side, 24 // side, width, width, 3)
    for row, column in ((0, 0), (1, 2)):
        at = slice(row * side, row * side + width), slice(column * side, column * side + width)
        np.testing.assert_array_equal(square[1, row, column], wide[1][at])
    np.testing.assert_allclose(blend(patches, side, halo), x, atol=1e-6)


def test_patches_that_disagree_fade_into_each_other() -> None:
    """One cell is bright, its neighbours are dark: a ramp across the border, centred on it."""
    patches = np.zeros((1, 1, 3, 12 * 12), np.float32)
    patches[0, 0, 1] = 1
    row = np.asarray(blend(jnp.asarray(patches), 8, 2))[0, 4, :, 0]
    ramp = (np.arange(4) + 0.5) / 4
    expected = np.concatenate([np.zeros(6), ramp, np.ones(4), ramp[::-1], np.zeros(6)])
    np.testing.assert_allclose(row, expected, atol=1e-6)


def test_pictures_lose_only_colour_of_single_pixels() -> None:
    smooth = noise(1, 4, 6, 3)
    for _ in range(3):
        smooth = np.asarray(bilinear_upsample(smooth))
    found = np.asarray(blend_picture(cut_picture(smooth, 8, 2), 8, 2))
    assert np.abs(found - smooth).max() < 0.03
    grey = np.repeat(noise(1, 32, 48, 1), 3, -1)
    np.testing.assert_allclose(blend_picture(cut_picture(grey, 4, 2), 4, 2), grey, atol=1e-5)


def test_doubling_is_bilinear() -> None:
    x = noise(2, 5, 7, 3)
    np.testing.assert_allclose(
        bilinear_upsample(x), jax.image.resize(x, (2, 10, 14, 3), "linear"), atol=1e-6
    )


def test_adaptive_kernels_are_outer_products_around_a_one() -> None:
    rng = np.random.default_rng(1)
    x = noise(1, 8, 9, 2)
    down, across = (rng.normal(0, 0.3, (1, 8, 9, 5)).astype(np.float32) for _ in range(2))
    found = np.asarray(adaptive_convolution(x, down, across))
    one = np.eye(5)[2]
    taps = [one + c - c.mean(-1, keepdims=True) for c in (down, across)]
    wide = np.pad(x, ((0, 0), (2, 2), (0, 0), (0, 0)), mode="edge")
    rows = sum(taps[0][..., k : k + 1] * wide[:, k : k + 8] for k in range(5))
    wide = np.pad(rows, ((0, 0), (0, 0), (2, 2), (0, 0)), mode="edge")
    expected = sum(taps[1][..., k : k + 1] * wide[:, :, k : k + 9] for k in range(5))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    flat = np.full((1, 8, 9, 2), 0.7, np.float32)  # taps sum up to one
    np.testing.assert_allclose(adaptive_convolution(flat, down, across), flat, atol=1e-5)
    nothing = np.zeros_like(down)
    np.testing.assert_array_equal(adaptive_convolution(x, nothing, nothing), x)
