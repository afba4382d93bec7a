"""Masks of the body regressor, placed in the picture."""

import numpy as np

from hvc_jax.pose.person_mask import place_window


def test_a_window_of_everything_is_the_picture():
    values = np.random.default_rng(0).normal(size=(2, 32, 32))
    np.testing.assert_allclose(place_window(values, np.array([0, 0, 1.0]), 32), values, atol=1e-6)


def test_a_window_lies_where_it_looked():
    values = np.ones((1, 32, 32))
    placed = place_window(values, np.array([0.5, -0.5, 0.5]), 64, beyond=-7.0)[0]
    np.testing.assert_array_equal(placed[:32, 32:], 1)
    assert (placed[32:] == -7).all() and (placed[:, :32] == -7).all()
