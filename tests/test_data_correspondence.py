"""Known and estimated correspondence of pairs, and pairs that are made."""

import numpy as np
import pytest

from hvc_jax.data import correspondence as c

SIZE = 32


def texture(size: int = SIZE) -> np.ndarray:
    """A smooth coloured picture [S, S, 3] uint8."""
    noise = np.random.default_rng(0).normal(size=(size + 16, size + 16, 3))
    for axis in (0, 1, 0, 1):
        noise = sum(np.roll(noise, i, axis) for i in range(-2, 3))
    return np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)[8:-8, 8:-8]


def test_the_identity_gives_the_picture_back() -> None:
    picture = texture()
    np.testing.assert_array_equal(c.sample(picture, c.identity_positions(SIZE)), picture)


def test_a_shift_by_two_pixels_looks_two_pixels_away() -> None:
    picture = texture()
    positions = c.identity_positions(SIZE) + np.array([2 * 2 / SIZE, 0])
    np.testing.assert_array_equal(c.sample(picture, positions)[:, :-2], picture[:, 2:])
    np.testing.assert_array_equal(c.sample(picture, positions)[:, -1], picture[:, -1])


def test_random_positions_are_smooth_and_a_function_of_the_generator() -> None:
    one, same, other = (c.random_positions(np.random.default_rng(s), SIZE) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.05
    bends = np.diff(one, n=2, axis=1)
    assert np.abs(bends).max() < 0.02 < np.abs(one - c.identity_positions(SIZE)).max()


def test_cells_are_means_and_say_how_much_lies_inside() -> None:
    positions = c.identity_positions(SIZE) + np.array([0.5, 0])
    found = c.cells(*c.known_positions(positions))
    assert found.shape == (8, 8, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found[..., 0], positions[2::4, 2::4, 0] - 1 / SIZE, atol=1e-6)
    np.testing.assert_array_equal(found[0, :, 2], [1, 1, 1, 1, 1, 1, 0, 0])


def test_flow_finds_a_shift_and_does_not_trust_what_is_nowhere() -> None:
    pytest.importorskip("cv2")
    key = texture(64)
    target = np.roll(key, (2, 3), (0, 1))
    target[40:56, 8:24] = 255 - target[40:56, 8:24]
    positions, right = c.estimated_positions(target, key)
    moved = (positions - c.identity_positions(64)) * 32
    np.testing.assert_allclose(moved[16:32, 16:48].mean((0, 1)), [-3, -2], atol=0.3)
    assert right[16:32, 16:48].mean() > 0.9 and right[44:52, 12:20].mean() < 0.5
