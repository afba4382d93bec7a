"""Labels of rendered people: what the body hides of itself, from every side."""

import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.body.assets import load_body
from hvc_jax.body.landmarks import COCO_MIRROR, COCO_NAMES, face_seen, landmarks_of
from hvc_jax.body.params import BODY_VECTOR_SIZE, CAMERA, JOINT_INDEX, POSE
from hvc_jax.pose.train.rendered_labels import COVERED, SURE, TURNED_AWAY, keypoints_of_bodies
from hvc_jax.synth.motion import turned

INDEX = {name: k for k, name in enumerate(COCO_NAMES)}


@pytest.fixture(scope="module")
def landmarks():
    return landmarks_of(load_body())


def standing(degrees: list[float]) -> np.ndarray:
    """Body vectors with hanging arms, turned by so much to their left."""
    vectors = np.zeros((len(degrees), BODY_VECTOR_SIZE), np.float32)
    vectors[:, CAMERA] = [0.9, 0, 0]
    for side, sign in (("left", -1), ("right", 1)):
        vectors[:, POSE.start + 3 * JOINT_INDEX[f"{side}_shoulder"] + 2] = sign * 1.2
    return turned(vectors, np.radians(degrees))


def named(confidence: np.ndarray, value: float) -> set[str]:
    return {name for name, c in zip(COCO_NAMES, confidence, strict=True) if np.isclose(c, value)}


def test_from_front_back_and_side_what_is_hidden_is_not_sure(landmarks):
    points, confidence = keypoints_of_bodies(standing([0, 180, 90, -90]), landmarks)
    front, back, left_turn, right_turn = confidence
    assert named(front, SURE) == set(COCO_NAMES)
    assert named(back, TURNED_AWAY) == {"nose", "left_eye", "right_eye"}
    assert named(back, SURE) == set(COCO_NAMES) - named(back, TURNED_AWAY)
    # Turned to their left, they show their right side.
    assert named(left_turn, TURNED_AWAY) == {"left_ear"}
    assert {"left_shoulder", "left_wrist", "left_elbow"} <= named(left_turn, COVERED)
    assert {"right_ear", "right_shoulder", "right_wrist", "nose"} <= named(left_turn, SURE)
    np.testing.assert_allclose(left_turn, right_turn[COCO_MIRROR], atol=1e-6)
    # Left is to the right of a picture from the front, to the left of one from behind.
    across = points[:, INDEX["left_shoulder"], 0] - points[:, INDEX["right_shoulder"], 0]
    assert across[0] > 0.2 and across[1] < -0.2


def test_out_of_the_picture_nothing_is_known(landmarks):
    vectors = standing([0])
    vectors[:, CAMERA] = [2.5, 0, -0.6]
    points, confidence = keypoints_of_bodies(vectors, landmarks)
    outside = (np.abs(points) >= 1).any(-1)
    assert outside.any() and not outside.all()
    np.testing.assert_array_equal(confidence > 0, ~outside)


def test_a_face_is_seen_from_the_front_and_an_ear_from_its_side():
    head = np.zeros((17, 3))
    head[0] = [0, 0, 0.1]
    head[3], head[4] = [0.08, 0, 0], [-0.08, 0, 0]
    angle = np.radians(np.arange(0, 360, 5))
    cosine, sine, nil, one = np.cos(angle), np.sin(angle), np.zeros(72), np.ones(72)
    turn = np.stack([cosine, nil, sine, nil, one, nil, -sine, nil, cosine], -1).reshape(-1, 3, 3)
    seen = np.asarray(face_seen(jnp.asarray(np.einsum("nij,kj->nki", turn, head))))
    assert seen[[0, 18]].all(0)[:3].all() and not seen[36, :3].any() and seen[36, 3:].all()
    np.testing.assert_array_equal(seen[18], [1, 1, 1, 0, 1])
    np.testing.assert_array_equal(seen[-1:0:-1][:, [0, 2, 1, 4, 3]], seen[1:])
