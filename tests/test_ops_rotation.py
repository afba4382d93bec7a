"""Rotations: identities, limits at 0 and pi, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.ops import rotation


def rodrigues(v):
    v = np.asarray(v, np.float64)
    angle = np.linalg.norm(v)
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    if angle == 0:
        return np.eye(3)
    return np.eye(3) + np.sin(angle) / angle * k + (1 - np.cos(angle)) / angle**2 * k @ k


@pytest.mark.parametrize("angle", [0.0, 1e-8, 1e-4, 9e-3, 0.011, 0.5, 3.0, np.pi, 6.0])
def test_matrix_equals_rodrigues_at_every_angle(angle):
    axis = np.array([0.6, -0.64, 0.48])
    got = rotation.axis_angle_to_matrix(jnp.asarray(axis * angle, jnp.float32))
    np.testing.assert_allclose(got, rodrigues(axis * angle), atol=1e-6)


def test_gradient_at_zero_is_the_generators():
    jacobian = jax.jacobian(rotation.axis_angle_to_matrix)(jnp.zeros(3))
    for k in range(3):
        expected = np.zeros((3, 3))
        i, j = (k + 1) % 3, (k + 2) % 3
        expected[j, i], expected[i, j] = 1, -1
        np.testing.assert_allclose(jacobian[..., k], expected, atol=1e-7)


@pytest.mark.parametrize("angle", [0.0, 1e-8, 9.9e-3, 1.01e-2, 1.0, np.pi - 1e-4, np.pi, 6.2])
def test_gradient_equals_differences_of_rodrigues_at_every_angle(angle):
    vector = np.array([0.6, -0.64, 0.48]) * angle
    jacobian = jax.jacobian(rotation.axis_angle_to_matrix)(jnp.asarray(vector, jnp.float32))
    for k in range(3):
        step = 1e-5 * np.eye(3)[k]
        numeric = (rodrigues(vector + step) - rodrigues(vector - step)) / 2e-5
        np.testing.assert_allclose(jacobian[..., k], numeric, atol=2e-6)


@pytest.mark.parametrize("angle", [1e-6, 1e-3, 0.3, 3.0, np.pi - 1e-3])
def test_there_and_back_in_value_and_gradient(angle):
    axis = np.array([-0.48, 0.6, 0.64])
    vector = jnp.asarray(axis * angle, jnp.float32)
    cycle = jax.jit(lambda v: rotation.matrix_to_axis_angle(rotation.axis_angle_to_matrix(v)))
    np.testing.assert_allclose(cycle(vector), vector, atol=2e-6)
    np.testing.assert_allclose(jax.jacobian(cycle)(vector), np.eye(3), atol=2e-3)


def test_half_turn_keeps_its_axis_up_to_sign():
    for axis in np.eye(3):
        matrix = rotation.axis_angle_to_matrix(jnp.asarray(axis * np.pi, jnp.float32))
        back = rotation.matrix_to_axis_angle(matrix)
        np.testing.assert_allclose(np.abs(back), axis * np.pi, atol=1e-5)
