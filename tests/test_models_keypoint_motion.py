"""Attention against a slow reference, and key pictures that move with a token's positions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from hvc_jax.models.motion.keypoint import KeypointMotion, attend
from hvc_jax.models.reference import Pyramid
from hvc_jax.models.token import at_analysis_size
from hvc_jax.training.config import load_config


def test_attention_is_the_softmax_of_squared_distances():
    rng = np.random.default_rng(0)
    query, key = (rng.normal(size=(1, 2, 3, 4)).astype(np.float32) for _ in range(2))
    values = rng.normal(size=(1, 2, 3, 5)).astype(np.float32)
    expected = np.zeros((1, 2, 3, 5))
    for i, j in np.ndindex(2, 3):
        weights = np.exp(-((query[0, i, j] - key[0]) ** 2).sum(-1))
        expected[0, i, j] = (weights[..., None] * values[0]).sum((0, 1)) / weights.sum()
    np.testing.assert_allclose(attend(query, key, values), expected, atol=1e-5)


def untrained(motion, pyramid, there, here):
    """What fresh parameters tell beside the features."""
    key = jax.random.key(0)
    return motion.init_with_output(key, pyramid, there, here, method="align")[0][1]


@pytest.mark.parametrize("pixels", [3.0, 17.0])
def test_before_training_the_picture_moves_with_its_positions(pixels):
    side = 128
    config = load_config("configs/keypoint.py:size=tiny").model.motion.copy_and_resolve_references()
    config.points, config.token_size = 1, 2
    motion = KeypointMotion(FrozenConfigDict(config), (8, 12, 16))
    rng = np.random.default_rng(0)
    pyramid = Pyramid(
        *(
            jnp.asarray(rng.random((1, side // n, side // n, channels)), jnp.float32)
            for n, channels in ((1, 3), (4, 8), (8, 12), (16, 16))
        )
    )
    here = jnp.zeros((1, 2))
    there = jnp.array([[-2 * pixels / side, 0]])
    aux = jax.jit(lambda to: untrained(motion, pyramid, there, to))(here)
    middle = slice(62, 66)
    moved = pyramid.pixels[0, middle, 62 - int(pixels) : 66 - int(pixels)]
    np.testing.assert_allclose(aux["warped"][0, middle, middle], moved, atol=0.05)
    corner = np.abs(aux["warped"][0, -16:, :16] - pyramid.pixels[0, -16:, :16])
    assert corner.max() < 0.02  # the background stays


def test_where_a_position_has_left_the_background_goes_on():
    side = 64
    config = load_config("configs/keypoint.py:size=tiny").model.motion.copy_and_resolve_references()
    config.points, config.token_size = 1, 2
    motion = KeypointMotion(FrozenConfigDict(config), (8, 12, 16))
    key = np.full((1, side, side, 3), 0.25, np.float32)
    key[0, 27:37, 11:21] = 1.0  # somebody, around (-0.5, 0)
    pyramid = Pyramid(
        jnp.asarray(key),
        *(jnp.zeros((1, side // n, side // n, c)) for n, c in ((4, 8), (8, 12), (16, 16))),
    )
    there, here = jnp.array([[-0.5, 0.0]]), jnp.array([[0.5, 0.0]])
    align = jax.jit(lambda to: untrained(motion, pyramid, there, to))
    aux = align(here)
    warped = np.asarray(aux["warped"])[0]
    assert warped[29:35, 45:51].min() > 0.9  # arrived
    assert warped[28:36, 12:20].max() < 0.4  # gone
    aux = align(there)
    np.testing.assert_allclose(aux["warped"], key, atol=1e-5)  # nothing moved, nothing filled


@pytest.mark.parametrize(
    ("shape", "size"),
    [((256, 256), (128, 128)), ((128, 128), (128, 128)), ((384, 256), (192, 128))],
)
def test_the_analysed_size_follows_the_shorter_side(shape, size):
    frames = jnp.full((1, *shape, 3), 0.25)
    small = at_analysis_size(frames)
    assert small.shape == (1, *size, 3)
    np.testing.assert_allclose(small, 0.25, rtol=1e-5)
