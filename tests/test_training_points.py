"""Supervised token positions: zero where they agree, silent where nothing is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.body import params
from hvc_jax.training.points import SUPERVISED, body_points, points_distance


def _bodies() -> jax.Array:
    body = np.zeros((2, params.BODY_VECTOR_SIZE), np.float32)
    body[:, params.CAMERA.start] = (0.8, 0.0)  # the second body is not known
    return jnp.asarray(body)


def test_the_distance_is_that_to_the_keypoints_of_known_bodies():
    screen, known = jax.jit(body_points)(_bodies())
    assert known[0].all() and not known[1].any()
    token = jnp.pad(screen.reshape(2, -1), ((0, 0), (0, 6)))
    distance = jax.jit(points_distance)
    assert distance(token, _bodies()) == pytest.approx(0, abs=2e-3)
    moved = token.at[0, : 2 * len(SUPERVISED) : 2].add(0.3).at[1].set(9.0)
    assert distance(moved, _bodies()) == pytest.approx(0.3, abs=2e-3)


def test_the_nose_is_above_the_ankles_and_left_of_the_person_is_right_in_the_picture():
    screen, _ = jax.jit(body_points)(_bodies())
    u, v = screen[0, :, 0], screen[0, :, 1]
    assert v[0] < v[-1] and u[1] > u[2]


def test_a_token_without_enough_positions_is_refused():
    with pytest.raises(ValueError, match="motion.points"):
        points_distance(jnp.zeros((2, 20)), _bodies())
