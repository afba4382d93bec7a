"""Landmarks, and the descent of a clip's bodies through its pixels."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.body.assets import load_body
from hvc_jax.body.landmarks import COCO_JOINTS, landmarks_of, pose_points
from hvc_jax.body.lbs import posed_vertices
from hvc_jax.body.params import BodyParams, identity_vector
from hvc_jax.ops import rotation
from hvc_jax.pose.appearance import (
    Reference,
    appearance_of,
    pose_surface,
    seen_points,
    shrunk,
    surface_of_open_body,
)
from hvc_jax.pose.fit import continuous_axis_angle, descend, smooth_over_time, through_pixels
from hvc_jax.pose.fit_objective import FitWeights, Seen, objective, relaxed_hands, to_vectors
from hvc_jax.pose.skeleton import open_skeleton
from hvc_jax.pose.solve import BONES, Measured, PosePrior, Solution, project_points

POSED = jax.jit(posed_vertices)
PRIOR = PosePrior(jnp.zeros(63), jnp.eye(63))
FRAMES = 32


@pytest.fixture(scope="module")
def landmarks():
    return landmarks_of(load_body())


def test_landmarks_ride_on_the_joints_of_the_full_body(landmarks):
    rng = np.random.default_rng(0)
    betas = rng.normal(size=(2, 10)).astype(np.float32)
    pose = np.zeros((2, 55, 3), np.float32)
    pose[:, :22] = rng.normal(size=(2, 22, 3)) * 0.4
    turns = rotation.axis_angle_to_matrix(jnp.asarray(pose[:, :22]))
    ride = jax.jit(lambda betas, turns: pose_points(landmarks, COCO_JOINTS, betas, turns))
    points, joints = ride(jnp.asarray(betas), turns)
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


def _textured_clip(count: int = FRAMES) -> tuple[np.ndarray, np.ndarray]:
    """Frames [T, 64, 64, 3] of a pattern that slides to the right, and by how much [T], (u)."""
    line = (np.arange(64) + 0.5) / 32 - 1
    u, v = np.meshgrid(line, line)
    shift = 0.004 * np.arange(count)
    moved = u - shift[:, None, None]
    waves = (np.sin(5 * moved + 3 * v), np.sin(4 * moved - 4 * v + 1), np.cos(6 * moved))
    return (127 + 120 * np.stack(waves, -1)).astype(np.uint8), shift


def test_pixels_carry_a_body_along_of_which_no_landmark_is_seen():
    frames, shift = _textured_clip()
    none = np.zeros((FRAMES, len(BONES)))
    unseen = Measured(
        np.zeros((FRAMES, 33, 2)), np.zeros((FRAMES, 33)), np.zeros((*none.shape, 3)), none,
        np.zeros((FRAMES, 22)), np.zeros(FRAMES), np.ones(FRAMES),
    )  # fmt: skip
    measured = Measured(*(jnp.asarray(a, jnp.float32) for a in unseen))
    start = Solution(jnp.zeros((FRAMES, 69)).at[:, -2:].set(jnp.array([0.1, -0.1])), jnp.zeros(10))
    found = through_pixels(start, measured, PRIOR, frames, 60)
    place = np.asarray(found.frames)[[0, 8, 16, 31], -3]
    np.testing.assert_allclose(place - place[0], shift[[0, 8, 16, 31]], atol=0.03)
    # A clip that goes on from a reference keeps its shape.
    told = Reference(frames[0], np.asarray(to_vectors(start))[0])
    kept = through_pixels(start, measured, PRIOR, frames, 10, reference=told)
    np.testing.assert_array_equal(kept.betas, start.betas)


def test_descent_on_pixels_is_never_worse_than_its_start():
    frames, _ = _textured_clip()
    rng, skeleton = np.random.default_rng(0), open_skeleton()
    pose = np.pad(rng.normal(size=(FRAMES, 66)) * 0.1, ((0, 0), (0, 3)))
    start = Solution(jnp.asarray(pose, jnp.float32), jnp.zeros(10))
    vectors = np.asarray(jax.jit(to_vectors)(start))
    pictures = shrunk(np.concatenate([frames[:1], frames]))
    looks = appearance_of(pictures, np.concatenate([vectors[:1], vectors]))
    screen, points = jax.jit(project_points)(skeleton, *start)
    seen = Seen(screen, jnp.ones((FRAMES, 33)), points[..., 2], jnp.ones(FRAMES), looks)
    value = jax.jit(objective)
    for pace in (0.01, 10.0):  # the second throws every body far away
        best, cost = descend(start, seen, skeleton, PRIOR, FitWeights(), 60, 1.0, pace)
        assert cost <= value(start, start, seen, skeleton, PRIOR, FitWeights())
        assert value(best, start, seen, skeleton, PRIOR, FitWeights()) == pytest.approx(
            float(cost), rel=1e-3
        )


def test_surface_points_are_vertices_of_the_mesh():
    body, surface = load_body(), surface_of_open_body()
    rng = np.random.default_rng(0)
    pose = np.zeros((2, 55, 3), np.float32)
    pose[:, :22] = rng.normal(size=(2, 22, 3)) * 0.4
    betas = rng.normal(size=(2, 10)).astype(np.float32)
    params = BodyParams(betas, np.zeros((2, 10), np.float32), pose[:, 0], pose[:, 1:], None)
    plain = body.directions[: body.num_betas + body.num_expression]  # without pose correctives
    slow, _ = POSED(dataclasses.replace(body, directions=plain), params)
    turns = rotation.axis_angle_to_matrix(jnp.asarray(pose[:, :22]))
    points = jax.jit(pose_surface)(surface, open_skeleton(), jnp.asarray(betas), turns)
    np.testing.assert_allclose(points, slow[:, surface.vertex], atol=2e-5)
    assert len(set(np.asarray(surface.vertex).tolist())) == len(surface.vertex)


def test_points_behind_the_body_are_hidden():
    surface, vector = surface_of_open_body(), identity_vector()
    places, seen = seen_points(surface, vector[None])
    rest = np.asarray(surface.points)
    front = (rest[:, 2] > 0.08) & (np.abs(rest[:, 0]) < 0.08)  # belly, chest and face
    back = (rest[:, 2] < -0.06) & (np.abs(rest[:, 0]) < 0.08)
    assert seen[0, front].mean() > 0.8 and not seen[0, back].any()
    assert np.abs(places).max() < 1.0


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
