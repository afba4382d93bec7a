"""Soft silhouette: limits, and gradients that pull a contour into place."""

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.coverage import nearest_triangle
from hvc_jax.pose.silhouette import soft_silhouette

FACES = jnp.array([[0, 1, 2], [0, 2, 3]], jnp.int32)


def square(center_u, half=0.5):
    corners = jnp.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], jnp.float32) * half
    return corners[None] + jnp.stack([center_u, 0.0 * center_u, 0.0 * center_u])


def test_it_is_the_mask_with_a_soft_rim():
    screen = square(jnp.float32(0.0))
    soft = np.asarray(soft_silhouette(screen, FACES, 32, 32))[0]
    hard = np.asarray(nearest_triangle(screen, FACES, 32, 32))[0] >= 0
    assert ((soft > 0.5) == hard).all()
    assert soft[16, 16] > 0.999 and soft[0, 0] < 0.001
    row = soft[16, :16]
    assert (np.diff(row) >= -1e-6).all(), "rises towards the inside"


def test_gradient_pulls_a_shifted_square_onto_its_target():
    target = (nearest_triangle(square(jnp.float32(0.0)), FACES, 32, 32) >= 0).astype(jnp.float32)

    @jax.jit
    def slope(u):
        return jax.grad(
            lambda u: jnp.sum((soft_silhouette(square(u), FACES, 32, 32) - target) ** 2)
        )(u)

    u = jnp.float32(0.18)
    assert slope(u) > 0 and slope(-u) < 0
    for _ in range(40):
        u = u - 2e-4 * slope(u)
    assert abs(float(u)) < 0.04, "within two thirds of a pixel"


def test_a_mesh_that_is_out_of_sight_gives_zeros_and_no_nan():
    screen = square(jnp.float32(5.0))
    value, gradient = jax.value_and_grad(lambda s: jnp.sum(soft_silhouette(s, FACES, 16, 16)))(
        screen
    )
    assert value == 0 and np.isfinite(gradient).all()
