"""Landmarks written as JSON are read back by the reader of others' keypoints."""

import json

import numpy as np
import pytest

from hvc_jax.body.keypoint_files import load_keypoints
from hvc_jax.body.parameter_cameras import View
from hvc_jax.pose.landmark_json import landmarks_json
from hvc_jax.pose.sight import Sight
from hvc_jax.pose.skeleton import COCO


def _sight(count: int, seed: int) -> Sight:
    rng = np.random.default_rng(seed)
    points, world = rng.uniform(-0.9, 0.9, (count, 33, 2)), rng.normal(0, 0.4, (count, 33, 3))
    visibility, ones = rng.uniform(0.3, 1.0, (count, 33)), np.ones(count)
    return Sight(points, world, visibility, ones, np.zeros((count, 64, 64)), ones.astype(int))


@pytest.mark.parametrize("view", [View(640, 480, "crop"), View(480, 640, "pad"), View(256, 256)])
def test_landmarks_come_back_where_they_were_in_the_coded_square(view, tmp_path):
    first, second = _sight(3, 0), _sight(2, 1)
    path = tmp_path / "a.json"
    path.write_text(landmarks_json([(0, first), (3, None), (5, second)], view, 25.0))
    back = load_keypoints(path, view, 7)
    for at, sight in ((slice(0, 3), first), (slice(5, 7), second)):
        inside = (np.abs(sight.points[:, COCO] * view.side / [view.width, view.height]) < 1).all(-1)
        assert inside.mean() > 0.5
        np.testing.assert_allclose(
            back.points[at][inside], sight.points[:, COCO][inside], atol=1e-4
        )
        np.testing.assert_allclose(
            back.confidence[at][inside], sight.visibility[:, COCO][inside], atol=1e-4
        )
    np.testing.assert_array_equal(back.confidence[3:5], 0)


def test_metric_landmarks_have_mediapipes_axes():
    sight = _sight(1, 2)
    frame = json.loads(landmarks_json([(4, sight)], View(64, 64), 30.0))["frames"][0]
    assert frame["frame"] == 4
    rows = [[point[axis] for axis in "xyz"] for point in frame["pose_world_landmarks"]]
    np.testing.assert_allclose(rows, sight.world[0] * [1, -1, -1], atol=1e-5)
