"""Labels of some frames, spread over all of them."""

import numpy as np

from hvc_jax.pose.data_set import every_frame
from hvc_jax.pose.pseudo_labels import PseudoLabels


def test_labelled_frames_stay_and_the_others_lie_between():
    rng = np.random.default_rng(0)
    indexes = np.array([0, 3, 5], np.int32)
    keypoints = rng.random((3, 17, 2)).astype(np.float32)
    confidence = rng.random((3, 17)).astype(np.float32)
    empty = np.zeros((3, 4, 4, 3), np.uint8)
    labels = PseudoLabels(indexes, empty, keypoints, confidence, empty[..., 0])
    points, trust = every_frame(labels, 8)
    np.testing.assert_allclose(points[indexes], keypoints, atol=1e-6)
    np.testing.assert_allclose(points[1], (2 * keypoints[0] + keypoints[1]) / 3, atol=1e-6)
    np.testing.assert_allclose(trust[4], (confidence[1] + confidence[2]) / 2, atol=1e-6)
    np.testing.assert_allclose(points[7], keypoints[2], atol=1e-6)
