"""Landmarks and the fit of a clip's bodies to keypoints."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.body.assets import load_body
from hvc_jax.body.camera import project
from hvc_jax.body.landmarks import COCO_JOINTS, landmarks_of, pose_landmarks
from hvc_jax.body.lbs import posed_vertices
from hvc_jax.body.params import BodyParams, identity_vector, unpack
from hvc_jax.ops import rotation
from hvc_jax.pose.appearance import (
    Reference,
    appearance_of,
    pose_surface,
    seen_points,
    surface_of_open_body,
)
from hvc_jax.pose.fit import (
    _descend,
    absent_limbs,
    continuous_axis_angle,
    fit_clip,
    smooth_over_time,
)
from hvc_jax.pose.fit_objective import (
    FitState,
    FitWeights,
    Measured,
    PosePrior,
    objective,
    relaxed_hands,
    reproject,
    to_vectors,
)
from hvc_jax.pose.outline import Outline, outline_cost, shrunk_masks
from hvc_jax.pose.silhouette import soft_silhouette

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
    depth = np.asarray(reproject(landmarks, start)[1])[..., 2]
    measured = Measured(points, confidence, absent_limbs(confidence), depth, np.ones(FRAMES))
    rest = (start, jax.tree.map(jnp.asarray, measured), landmarks, prior)
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


def _textured_clip(count: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Frames [T, 64, 64, 3] of a pattern that slides to the right, and by how much [T], (u)."""
    line = (np.arange(64) + 0.5) / 32 - 1
    u, v = np.meshgrid(line, line)
    shift = 0.004 * np.arange(count)
    moved = u - shift[:, None, None]
    waves = (np.sin(5 * moved + 3 * v), np.sin(4 * moved - 4 * v + 1), np.cos(6 * moved))
    return (127 + 120 * np.stack(waves, -1)).astype(np.uint8), shift


def test_pixels_carry_a_body_along_that_keypoints_say_stands_still(landmarks, prior):
    frames, shift = _textured_clip()
    pose = np.zeros((32, 22, 3, 3)) + np.eye(3)
    camera = np.tile(np.array([0.9, 0.0, -0.1], np.float32), (32, 1))
    inputs = (np.zeros((32, 17, 2)), np.zeros((32, 17)), pose, np.zeros((32, 10)), camera)
    blind, _ = fit_clip(*inputs, landmarks, prior, steps=150)
    vectors, _ = fit_clip(*inputs, landmarks, prior, steps=150, frames=frames)
    place = (vectors[:, 185] * vectors[:, 186])[[0, 8, 16, 31]]
    np.testing.assert_allclose(place - place[0], shift[[0, 8, 16, 31]], atol=0.02)
    assert np.abs(blind[:, 186]).max() < 0.01
    # A clip that goes on from a reference keeps its looks and its shape.
    told = Reference(frames[0], np.concatenate([np.full(10, 0.2), vectors[0, 10:]]))
    rest = tuple(array[16:] for array in inputs)
    later, _ = fit_clip(*rest, landmarks, prior, steps=150, frames=frames[16:], reference=told)
    np.testing.assert_array_equal(later[:, :10], np.float32(0.2) + np.zeros((16, 10), np.float32))
    assert later[8, 185] * later[8, 186] - place[0] == pytest.approx(shift[24], abs=0.03)


def test_descent_on_pixels_is_never_worse_than_its_start(landmarks, prior):
    frames, _ = _textured_clip()
    rng = np.random.default_rng(0)
    start = FitState(
        jnp.asarray(rng.normal(size=(32, 22, 3)) * 0.1, jnp.float32),
        jnp.zeros(10),
        jnp.zeros((32, 2)),
        jnp.zeros(32),
    )
    vectors = np.asarray(jax.jit(to_vectors)(start))
    seen = appearance_of(frames, vectors, Reference(frames[0], vectors[0]))
    points, joints = reproject(landmarks, start)
    sure, none = jnp.ones((32, 17)), jnp.zeros((32, 12))
    measured = Measured(points, sure, none, joints[..., 2], jnp.ones(32), seen)
    for pace in (0.01, 10.0):  # the second throws every body far away
        best, cost = _descend(start, measured, landmarks, prior, FitWeights(), 60, pace, 1.0)
        value = jax.jit(objective)
        at_start = value(start, start, measured, landmarks, prior, FitWeights())
        assert cost <= at_start
        assert value(best, start, measured, landmarks, prior, FitWeights()) == pytest.approx(
            float(cost), rel=1e-3
        )


def test_masks_move_a_body_to_where_they_are(landmarks, prior):
    """The body's own soft silhouette elsewhere: gradients outside of the contour lead there."""
    body, truth = load_body(), identity_vector(0.8)[None].repeat(2, 0)
    truth[:, 186] += 0.08
    state = unpack(truth)
    screen = project(POSED(body, state)[0], state.camera)
    masks = np.asarray(soft_silhouette(screen, body.faces, 64, 64) > 0.5)
    np.testing.assert_array_equal(shrunk_masks(masks), masks)
    big = np.repeat(np.repeat(masks, 2, 1), 2, 2).astype(np.uint8) * 255
    np.testing.assert_array_equal(shrunk_masks(big), masks)
    with pytest.raises(ValueError, match="multiple of 64"):
        shrunk_masks(big[:, :100, :100])
    outline = Outline(body, jnp.asarray(masks, jnp.float32))

    @jax.jit
    @jax.value_and_grad
    def cost(shift):
        return outline_cost(jnp.asarray(truth).at[:, 186].add(shift), outline).sum()

    values, slopes = zip(*(cost(shift) for shift in (-0.08, -0.04, 0.0, 0.04, 0.08)), strict=True)
    assert values[0] > values[1] > values[2] < values[3] < values[4]
    assert slopes[1] < 0 < slopes[3]


def test_surface_points_are_vertices_of_the_mesh(landmarks):
    body, surface = load_body(), surface_of_open_body()
    rng = np.random.default_rng(0)
    pose = np.zeros((2, 55, 3), np.float32)
    pose[:, :22] = rng.normal(size=(2, 22, 3)) * 0.4
    betas = rng.normal(size=(2, 10)).astype(np.float32)
    params = BodyParams(betas, np.zeros((2, 10), np.float32), pose[:, 0], pose[:, 1:], None)
    plain = body.directions[: body.num_betas + body.num_expression]  # without pose correctives
    slow, _ = POSED(dataclasses.replace(body, directions=plain), params)
    turns = rotation.axis_angle_to_matrix(jnp.asarray(pose[:, :22]))
    points = jax.jit(pose_surface)(surface, landmarks, jnp.asarray(betas), turns)
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


def test_a_trunk_whose_hips_are_cut_off_is_kept_upright(landmarks, prior):
    pose = np.zeros((4, 22, 3), np.float32)
    leaning = pose.copy()
    leaning[:, 0, 0] = 0.6  # towards the camera
    points, confidence = np.zeros((4, 17, 2), np.float32), np.zeros((4, 17), np.float32)
    state = FitState(jnp.asarray(pose), jnp.zeros(10), jnp.zeros((4, 2)), jnp.zeros(4))
    tilted = state._replace(pose=jnp.asarray(leaning))
    cost = jax.jit(objective)

    def costs_of_leaning(hips_cut_off: float) -> float:
        absent = np.zeros((4, 12), np.float32)
        absent[:, 6:8] = hips_cut_off
        depth = np.zeros((4, 22), np.float32)
        known = (points, confidence, absent, depth)
        measured = Measured(*map(jnp.asarray, known), jnp.ones(4))
        rest = (measured, landmarks, prior)
        with_it, without = (FitWeights(unseen=0.0, depth=0.0, upright=w) for w in (1.0, 0.0))
        return float(cost(tilted, state, *rest, with_it) - cost(tilted, state, *rest, without))

    assert costs_of_leaning(0.0) == pytest.approx(0, abs=1e-5)
    assert costs_of_leaning(1.0) == pytest.approx(np.sin(0.6) ** 2, rel=1e-3)


def test_noise_in_keypoints_does_not_shake_bodies(landmarks, prior):
    """Keypoints that jump by a centimetre, independently: joints shake far less than they do."""
    frames, rng = 32, np.random.default_rng(2)
    turns = np.zeros((frames, 22, 3, 3), np.float32) + np.eye(3, dtype=np.float32)
    camera = np.tile(np.array([0.9, 0.0, -0.1], np.float32), (frames, 1))
    state = FitState(
        jnp.zeros((frames, 22, 3)), jnp.zeros(10), jnp.tile(jnp.array([0.0, 0.09]), (frames, 1)),
        jnp.full(frames, jnp.log(0.9)),
    )  # fmt: skip
    exact = np.asarray(reproject(landmarks, state)[0])
    noise = rng.normal(size=exact.shape) * 0.9 * 0.01
    inputs = (np.full((frames, 17), 0.9), turns, np.zeros((frames, 10)), camera)
    vectors, _ = fit_clip(exact + noise, *inputs, landmarks, prior, steps=150)
    joints = np.asarray(POSED(load_body(), unpack(vectors))[1])[:, COCO_JOINTS[5:]]
    shake = np.linalg.norm(np.diff(joints, 2, axis=0), axis=-1).mean()
    shake_in = np.linalg.norm(np.diff(noise[:, 5:] / 0.9, 2, axis=0), axis=-1).mean()
    assert shake < 0.2 * shake_in


def test_depth_that_one_view_does_not_show_stays_where_it_began(landmarks, prior):
    """A body seen from the front whose arms the keypoints say are shorter: either way round."""
    pose = np.zeros((4, 22, 3), np.float32)
    for forwards in (-1.0, 1.0):
        pose[:, 16, 1], pose[:, 17, 1] = -0.7 * forwards, 0.7 * forwards
        state = FitState(jnp.asarray(pose), jnp.zeros(10), jnp.zeros((4, 2)), jnp.zeros(4))
        points, joints = reproject(landmarks, state)
        start = np.asarray(rotation.axis_angle_to_matrix(state.pose * 0.8))
        camera = np.tile(np.array([1.0, 0.0, 0.0], np.float32), (4, 1))
        inputs = (np.asarray(points), np.full((4, 17), 0.9), start, np.zeros((4, 10)), camera)
        vectors, _ = fit_clip(*inputs, landmarks, prior, steps=150)
        _, found = POSED(load_body(), unpack(vectors))
        np.testing.assert_allclose(found[:, 20:22, 2], joints[:, 20:22, 2], atol=0.1)
        assert (np.sign(found[:, 20:22, 2]) == forwards).all()
