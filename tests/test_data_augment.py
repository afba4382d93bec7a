"""The random view of a pair: pictures and body vectors change together."""

import jax
import numpy as np
import pytest
from PIL import Image

from hvc_jax.body.assets import load_body
from hvc_jax.body.camera import project
from hvc_jax.body.lbs import posed_vertices
from hvc_jax.body.params import BODY_VECTOR_SIZE, CAMERA, POSE, unpack
from hvc_jax.data.augment import View, apply_view, random_view, view_body


def _picture(size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)


def test_plain_view_is_the_picture():
    picture = _picture()
    assert (apply_view(View(), Image.fromarray(picture), 64) == picture).all()


def test_shrinking_is_area_averaging():
    picture = _picture()
    slow = picture.reshape(32, 2, 32, 2, 3).mean((1, 3))
    fast = apply_view(View(), Image.fromarray(picture), 32).astype(float)
    assert np.abs(fast - slow).max() <= 1


def test_flip_mirrors_columns():
    picture = _picture()
    assert (apply_view(View(flip=True), Image.fromarray(picture), 64) == picture[:, ::-1]).all()


def test_crop_at_pixel_borders_is_a_slice():
    picture = _picture()
    view = View(box=(0.25, 0.5, 0.75, 1.0))
    assert (apply_view(view, Image.fromarray(picture), 32) == picture[32:, 16:48]).all()


def test_neutral_colour_matrix_changes_nothing():
    picture = _picture()
    view = View(matrix=np.eye(3, 4), gamma=1.0)
    assert np.abs(apply_view(view, Image.fromarray(picture), 64).astype(int) - picture).max() <= 1


def test_views_are_functions_of_the_generator():
    first = random_view(np.random.default_rng(3), 0.5, 0.8, 0.2)
    again = random_view(np.random.default_rng(3), 0.5, 0.8, 0.2)
    assert first.box == again.box and first.flip == again.flip
    assert (first.matrix == again.matrix).all()
    left, top, right, bottom = first.box
    assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
    assert right - left == pytest.approx(bottom - top)


@pytest.mark.parametrize("flip", [False, True])
def test_projected_joints_follow_the_picture(flip):
    """Joints of the viewed vector land where cropping and mirroring carry the joints' pixels."""
    rng = np.random.default_rng(1)
    body = np.zeros(BODY_VECTOR_SIZE, np.float32)
    body[POSE] = rng.normal(0, 0.3, 165)
    body[CAMERA] = (0.8, 0.1, -0.2)
    view = View(box=(0.1, 0.15, 0.8, 0.85), flip=flip)
    model = load_body()

    @jax.jit
    def place(vector):
        _, joints = posed_vertices(model, unpack(vector))
        return project(joints, vector[CAMERA])

    def screen(vector):
        return np.asarray(place(vector))[:22, :2]

    before, after = screen(body), screen(view_body(view, body))
    side = 0.7
    expected = (before - np.array([0.1 + 0.8 - 1, 0.15 + 0.85 - 1])) / side
    if flip:
        expected[:, 0] *= -1
        swap = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20]
        expected = expected[swap]
    # The open body is symmetric to about a millimetre.
    assert np.abs(after - expected).max() < 4e-3


def test_unknown_bodies_stay_zero():
    zeros = np.zeros((2, BODY_VECTOR_SIZE), np.float32)
    assert not view_body(View(box=(0.1, 0.1, 0.9, 0.9), flip=True), zeros).any()
