"""Expressions from the pixels of a face."""

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.assets import load_body
from hvc_jax.body.camera import project
from hvc_jax.body.lbs import posed_vertices
from hvc_jax.body.params import EXPRESSION, identity_vector, unpack
from hvc_jax.body.raster import motion_field
from hvc_jax.ops.warp import warp
from hvc_jax.pose.face import LEAST_PIXELS, face_height, fit_expression

SIDE = 128


def _close_up() -> np.ndarray:
    """The body vector of a head that fills the picture."""
    vector = identity_vector(5.0)
    _, joints = jax.jit(posed_vertices)(load_body(), unpack(vector))
    vector[186:] = -np.asarray(joints)[15, :2] - [0, 0.05]
    return vector


def _frames(vectors: np.ndarray) -> np.ndarray:
    """A pattern on the first body's skin, carried by the mesh to the others: [T, S, S, 3] uint8."""
    line = np.linspace(-1, 1, SIDE)
    u, v = np.meshgrid(line, line)
    waves = [np.sin(17 * u + 9 * v), np.sin(13 * u - 15 * v), np.cos(19 * v)]
    picture = (127 + 90 * np.stack(waves, -1)).astype(np.float32)
    body, params = load_body(), unpack(jnp.asarray(vectors))
    screen = project(jax.jit(posed_vertices)(body, params)[0], params.camera)
    key = jnp.broadcast_to(screen[:1], screen.shape)
    grid = motion_field(key, screen, body.faces, SIDE, SIDE).grid
    moved = warp(jnp.broadcast_to(jnp.asarray(picture), (len(vectors), *picture.shape)), grid)
    return np.asarray(jnp.round(moved)).astype(np.uint8)


def test_expressions_are_found_and_a_still_or_small_face_has_none():
    vectors = np.repeat(_close_up()[None], 4, 0)
    rng = np.random.default_rng(0)
    vectors[2:, EXPRESSION] = rng.uniform(-1, 1, (2, 10))
    frames = _frames(vectors)
    plain = vectors.copy()
    plain[:, EXPRESSION] = 0
    found = fit_expression(frames, plain)
    np.testing.assert_allclose(found[:2], 0, atol=0.05)
    again = plain.copy()
    again[:, EXPRESSION] = found
    redrawn, still = _frames(again).astype(float), frames[0].astype(float)
    for t in (2, 3):
        left, moved = (np.abs(frames[t] - other).mean() for other in (redrawn[t], still))
        assert left < 0.6 * moved, t
    far = plain.copy()
    far[:, 185] = 0.8
    assert face_height(far, SIDE) < LEAST_PIXELS < face_height(plain, SIDE)
    assert not fit_expression(frames, far).any()
