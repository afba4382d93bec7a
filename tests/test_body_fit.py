"""Landmarks and the fit of a clip's bodies to keypoints."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.body.assets import load_body
from hvc_jax.body.fit import (
    FitState,
    FitWeights,
    PosePrior,
    absent_limbs,
    continuous_axis_angle,
    fit_clip,
    objective,
    relaxed_hands,
    reproject,
    smooth_over_time,
)
from hvc_jax.body.landmarks import COCO_JOINTS, landmarks_of, pose_landmarks
from hvc_jax.body.lbs import posed_vertices
from hvc_jax.body.params import BodyParams, unpack
from hvc_jax.ops import rotation

FRAMES = 20
POSED = jax.jit(posed_vertices)


@pytest.fixture(scope="module")
def landmarks():
    return landmarks_of(load_body())


@pytest.fixture(scope="module")
def prior():
    return PosePrior(jnp.zeros(63), jnp.eye(63))


def _moving_clip() -> FitState:
    """A person who raises the left arm and turns the head, seen down to the knees."""
    t = np.linspace(0, 1, FRAMES)
    pose = np.zeros((FRAMES, 22, 3), np.float32)
    pose[:, 16, 2] = -1.2 + 1.5 * t
    pose[:, 17, 2] = 1.2
    pose[:, 18, 1] = -0.6
    pose[:, 15, 1] = 0.4 * np.sin(3 * t)
    pose[:, 0, 1] = 0.3
    centre = np.stack([0.1 * t, 0.2 + 0 * t], -1)
    return FitState(
        jnp.asarray(pose),
        jnp.zeros(10),
        jnp.asarray(centre, jnp.float32),
        jnp.full(FRAMES, np.log(1.1), jnp.float32),
    )


def test_landmarks_ride_on_the_joints_of_the_full_body(landmarks):
    rng = np.random.default_rng(0)
    betas = rng.normal(size=(2, 10)).astype(np.float32)
    pose = np.zeros((2, 55, 3), np.float32)
    pose[:, :22] = rng.normal(size=(2, 22, 3)) * 0.4
    turns = rotation.axis_angle_to_matrix(jnp.asarray(pose[:, :22]))
    points, joints = jax.jit(pose_landmarks)(landmarks, jnp.asarray(betas), turns)
    params = BodyParams(betas, np.zeros((2, 10), np.float32), pose[:, 0], pose[:, 1:], None)
    _, slow = POSED(load_body(), params)
    np.testing.assert_allclose(joints, slow[:, :22], atol=2e-5)
    np.testing.assert_allclose(points[:, 5:], slow[:, COCO_JOINTS[5:]], atol=2e-5)


def test_face_landmarks_are_where_a_face_has_them(landmarks):
    nose, left_eye, right_eye, left_ear, right_ear = np.asarray(landmarks.points[:5])
    assert nose[2] > left_eye[2] > left_ear[2]
    assert nose[1] < left_eye[1]
    assert left_ear[0] > left_eye[0] > 0 > right_eye[0] > right_ear[0]
    assert abs(nose[0]) < 0.01


def test_fit_recovers_what_the_camera_saw(landmarks, prior):
    truth = _moving_clip()
    points = np.asarray(reproject(landmarks, truth)[0])
    confidence = np.full((FRAMES, 17), 0.9, np.float32)
    rest = np.tile(np.eye(3, dtype=np.float32), (FRAMES, 22, 1, 1))
    rest[:, 16:18] = np.asarray(rotation.axis_angle_to_matrix(truth.pose[:1, 16:18]))
    camera = np.tile(np.array([0.9, 0.0, -0.1], np.float32), (FRAMES, 1))
    vectors, error = fit_clip(
        points, confidence, rest, np.zeros((FRAMES, 10)), camera, landmarks, prior, steps=150
    )
    assert vectors.shape == (FRAMES, 188) and error.shape == (FRAMES, 17)
    assert np.median(error) < 0.02  # metres
    assert np.ptp(vectors[:, :10], axis=0).max() == 0  # one shape per clip
    # Smooth: accelerations far below the motion itself.
    pose = vectors[:, 20:86]
    assert (
        np.abs(np.diff(pose, 2, axis=0)).mean() < 0.3 * np.abs(np.diff(pose, axis=0)).mean() + 2e-3
    )
    # The vector says what the fit says: its camera projects the joints onto the keypoints.
    params = unpack(vectors)
    _, joints = POSED(load_body(), params)
    scale, x, y = (params.camera[:, k : k + 1] for k in range(3))
    u = scale * (np.asarray(joints)[:, 16:22, 0] + x)
    v = -scale * (np.asarray(joints)[:, 16:22, 1] + y)
    np.testing.assert_allclose(u, points[:, 5:11, 0], atol=0.06)
    np.testing.assert_allclose(v, points[:, 5:11, 1], atol=0.06)


def test_fit_is_never_worse_than_its_start(landmarks, prior):
    rng = np.random.default_rng(1)
    truth = _moving_clip()
    points = np.asarray(reproject(landmarks, truth)[0]) + rng.normal(size=(FRAMES, 17, 2)) * 0.3
    confidence = rng.uniform(size=(FRAMES, 17)).astype(np.float32)
    turns = np.asarray(rotation.axis_angle_to_matrix(truth.pose))
    camera = np.tile(np.array([1.1, 0.0, -0.18], np.float32), (FRAMES, 1))

    def cost(steps):
        vectors, _ = fit_clip(
            points, confidence, turns, np.zeros((FRAMES, 10)), camera, landmarks, prior, steps=steps
        )
        p = unpack(vectors)
        pose = np.concatenate([p.global_orient[:, None], p.body_pose], 1)[:, :22]
        centre = np.stack([p.camera[:, 0] * p.camera[:, 1], -p.camera[:, 0] * p.camera[:, 2]], -1)
        state = FitState(pose, p.betas[0], centre, np.log(p.camera[:, 0]))
        state = jax.tree.map(jnp.asarray, state)
        return state, vectors

    start, _ = cost(0)
    end, _ = cost(150)
    valid = jnp.ones(FRAMES)
    measured = (jnp.asarray(points), jnp.asarray(confidence), jnp.asarray(absent_limbs(confidence)))
    rest = (start, *measured, valid, landmarks, prior)
    assert objective(end, *rest, FitWeights()) <= objective(start, *rest, FitWeights()) + 1e-5


def test_unseen_keypoints_do_not_pull(landmarks, prior):
    truth = _moving_clip()
    points = np.asarray(reproject(landmarks, truth)[0]).copy()
    confidence = np.full((FRAMES, 17), 0.9, np.float32)
    confidence[:, 13:] = 0.2
    turns = np.asarray(rotation.axis_angle_to_matrix(truth.pose))
    camera = np.tile(np.array([1.1, 0.05, -0.18], np.float32), (FRAMES, 1))
    inputs = (turns, np.zeros((FRAMES, 10)), camera, landmarks, prior)
    points[:, 13:] += 5.0  # a blunder far away, of low confidence
    far, _ = fit_clip(points, confidence, *inputs, steps=150)
    pose = far[:, 20:86].reshape(FRAMES, 22, 3)
    assert np.abs(pose[:, [1, 2, 4, 5]]).max() < 0.5


@pytest.mark.parametrize("frames", [0, 3])
def test_fit_rejects_frames_that_do_not_match(landmarks, prior, frames):
    with pytest.raises(ValueError, match="frame"):
        fit_clip(
            np.zeros((frames, 17, 2)),
            np.zeros((frames + (frames > 0), 17)),
            np.zeros((frames, 22, 3, 3)),
            np.zeros((frames, 10)),
            np.zeros((frames, 3)),
            landmarks,
            prior,
        )


def test_continuous_axis_angle_keeps_rotations_and_does_not_jump():
    angle = np.linspace(2.6, 3.7, 30)  # through pi, where the short form changes sign
    turning = np.stack([0 * angle, angle, 0 * angle], -1)[:, None]
    short = np.where(angle[:, None, None] > np.pi, turning - [0, 2 * np.pi, 0], turning)
    out = continuous_axis_angle(short)
    assert np.abs(np.diff(out, axis=0)).max() < 0.1
    np.testing.assert_allclose(
        rotation.axis_angle_to_matrix(jnp.asarray(out, jnp.float32)),
        rotation.axis_angle_to_matrix(jnp.asarray(short, jnp.float32)),
        atol=1e-5,
    )


def test_smoothing_keeps_constants_and_lines_and_ignores_what_weighs_nothing():
    constant = np.full((9, 2), 3.0)
    np.testing.assert_allclose(
        smooth_over_time(constant, np.ones((9, 1)), 2.0), constant, atol=1e-6
    )
    line = np.arange(21.0)[:, None]
    middle = smooth_over_time(line, np.ones((21, 1)), 1.0)[5:-5]
    np.testing.assert_allclose(middle, line[5:-5], atol=1e-4)
    spike, weight = np.zeros((9, 1)), np.ones((9, 1))
    spike[4], weight[4] = 100.0, 0.0
    assert np.abs(smooth_over_time(spike, weight, 1.0)).max() < 1e-3
    np.testing.assert_array_equal(smooth_over_time(line, np.ones((21, 1)), 0.0), line)


def test_relaxed_hands_bend_fingers_only_and_mirror():
    pose = relaxed_hands().reshape(55, 3)
    assert not pose[:25].any()
    np.testing.assert_array_equal(pose[25:40, 2], -pose[40:, 2])
