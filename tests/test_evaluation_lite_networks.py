"""Windows that the judging networks look through."""

import numpy as np
import pytest

from hvc_jax.evaluation.lite_networks import LiteNetwork, person_box, square_crop
from hvc_jax.ops.ssim import MetricError


def test_a_missing_network_is_named(tmp_path):
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(MetricError, match=r"none\.tflite"):
        LiteNetwork(tmp_path / "none.tflite")


def test_square_crop_of_everything_is_the_picture():
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    np.testing.assert_array_equal(square_crop(picture, np.array([0, 0, 1.0]), 32), picture)
    shifted = square_crop(picture, np.array([0.5, 0, 1.0]), 32)
    np.testing.assert_array_equal(shifted[:, :24], picture[:, 8:])
    assert not shifted[:, 24:].any()


def test_person_box_surrounds_the_confident_points():
    points = np.random.default_rng(1).uniform(-0.5, 0.5, (17, 2))
    u, v, half = person_box(points, np.ones(17))
    assert (np.abs(points - [u, v]) <= half).all()
    np.testing.assert_array_equal(person_box(points, np.zeros(17)), [0, 0, 1])
