"""Adaptation of the lifter to clips without labels: its terms, its batches, a few steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.body.assets import load_body
from hvc_jax.body.landmarks import landmarks_of
from hvc_jax.body.params import NUM_BODY_JOINTS, POSE, unpack
from hvc_jax.models.codec_model import CodecModel
from hvc_jax.models.export import load_export
from hvc_jax.ops import rotation
from hvc_jax.ops.compile import fast_jit
from hvc_jax.pose.fit_objective import FitState, PosePrior, reproject
from hvc_jax.pose.regressor import BodyRegressor, Lifted
from hvc_jax.pose.train.lifter_adapt import (
    Track,
    Windows,
    adapt_lifter,
    draw_windows,
    drawn_term,
    real_terms,
    state_of,
)
from hvc_jax.synth.people import render_clip

PRIOR = PosePrior(jnp.zeros(63), jnp.eye(63))


@pytest.fixture(scope="module")
def landmarks():
    return landmarks_of(load_body())


def _state(rng: np.random.Generator) -> FitState:
    """Two windows of four bodies each, all bodies of a window alike."""
    pose = np.repeat(rng.normal(size=(2, 22, 3)) * 0.2, 4, 0).astype(np.float32)
    centre, scale = np.zeros((8, 2), np.float32), np.full(8, np.log(0.8), np.float32)
    return jax.tree.map(jnp.asarray, FitState(pose, np.zeros((8, 10), np.float32), centre, scale))


def test_terms_of_a_body_that_stands_where_it_is_seen(landmarks):
    state = _state(np.random.default_rng(0))
    points = np.asarray(reproject(landmarks, state)[0]).reshape(2, 4, 17, 2).copy()
    confidence = np.ones((2, 4, 17), np.float32)
    terms = jax.jit(real_terms)(state, points, confidence, landmarks, PRIOR)
    assert terms["keypoints"] < 1e-4 and terms["smooth"] < 1e-4
    squares = np.square(np.asarray(state.pose)[:, 1:]).sum((1, 2)).mean()
    assert float(terms["prior"]) == pytest.approx(squares, rel=1e-4)
    # One keypoint of 68 in each window a decimetre off; then the same, but nobody saw it.
    points[:, 1, 9, 0] += 0.08
    off = jax.jit(real_terms)(state, points, confidence, landmarks, PRIOR)
    assert float(off["keypoints"]) == pytest.approx(0.1 / 68, rel=2e-2)
    confidence[:, 1, 9] = 0.05
    unseen = jax.jit(real_terms)(state, points, confidence, landmarks, PRIOR)
    assert unseen["keypoints"] < 1e-4


def test_steady_motion_is_smooth_and_a_jump_is_not(landmarks):
    state = _state(np.random.default_rng(1))
    points, confidence = np.zeros((2, 4, 17, 2)), np.zeros((2, 4, 17))
    for jump in (0.0, 0.2):
        pose = np.array(state.pose)
        pose[[2, 6], 16, 1] += jump  # the middle frame's arm
        moved = state._replace(pose=jnp.asarray(pose))
        smooth = jax.jit(real_terms)(moved, points, confidence, landmarks, PRIOR)["smooth"]
        _, joints = reproject(landmarks, moved)
        rows = np.asarray(joints).reshape(2, 4, 22, 3)[:, 1:]
        slow = np.linalg.norm(np.diff(rows, 2, axis=1), axis=-1).mean()
        assert float(smooth) == pytest.approx(slow, abs=2e-5)
    assert smooth > 0.005


def test_lifted_bodies_become_unknowns_of_the_fit():
    rng = np.random.default_rng(2)
    pose = rng.normal(size=(3, 22, 3)).astype(np.float32) * 0.5
    six = rotation.axis_angle_to_matrix(jnp.asarray(pose))[..., :2]
    six = jnp.moveaxis(six, -1, -2).reshape(3, 22, 6)
    camera = np.array([[0.9, 0.1, -0.2]] * 3, np.float32)
    state = state_of(Lifted(six, jnp.zeros((3, 10)), jnp.asarray(camera)))
    np.testing.assert_allclose(state.pose, pose, atol=1e-5)
    np.testing.assert_allclose(state.centre, [[0.09, 0.18]] * 3, atol=1e-6)
    np.testing.assert_allclose(jnp.exp(state.log_scale), 0.9, rtol=1e-6)


def test_true_bodies_draw_frames_better_than_bodies_that_stand_still():
    clip = render_clip(7, 24, size=128, framing="hips")
    codec = load_export("semantic")
    params = unpack(clip.body)
    joints = slice(POSE.start, POSE.start + NUM_BODY_JOINTS * 3)

    def states(pick: list[int]) -> FitState:
        body = clip.body[pick]
        camera = params.camera[pick]
        centre = camera[:, :1] * camera[:, 1:] * np.array([1.0, -1.0])
        pose = body[:, joints].reshape(len(pick), 22, 3)
        parts = (pose, body[:, :10], centre, np.log(camera[:, 0]))
        return FitState(*(jnp.asarray(part, jnp.float32) for part in parts))

    frames = jnp.asarray(clip.frames)
    windows = Windows(frames[:1], frames[20:21], jnp.zeros((1, 4, 17, 2)), jnp.zeros((1, 4, 17)))
    model = CodecModel(codec.config.model)
    term = fast_jit(lambda variables, state, windows: drawn_term(model, variables, state, windows))
    variables = {"params": codec.params}
    still = term(variables, states([0, 0, 0, 0]), windows)
    true = term(variables, states([0, 19, 20, 21]), windows)
    assert float(still) == pytest.approx(1.0, abs=0.3)
    assert true < 0.9 * still


def test_windows_are_frames_in_a_row_and_pure_in_seed_and_step():
    frames = np.arange(9, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 2, 2, 3), np.uint8)
    points = np.arange(9.0)[:, None, None] + np.zeros((1, 17, 2))
    track = Track(frames, points, np.ones((9, 17)))
    one, two = (draw_windows([track], 3, 5) for _ in range(2))
    for _, a, b in zip(range(4), one, two, strict=False):
        jax.tree.map(np.testing.assert_array_equal, a, b)
        numbers = np.asarray(a.points)[:, :, 0, 0]
        assert (numbers[:, 0] == 0).all()
        np.testing.assert_array_equal(np.diff(numbers[:, 1:]), 1)
        np.testing.assert_array_equal(np.asarray(a.middle)[:, 0, 0, 0], numbers[:, 2])


def test_a_step_changes_the_lifter_alone(landmarks):
    poses = np.random.default_rng(0).normal(size=(50, 22, 3)).astype(np.float32) * 0.2
    model = BodyRegressor((8, 8, 8), 16)
    blank = (jnp.zeros((1, 17, 2)), jnp.ones((1, 17)))
    first = jax.jit(model.init, static_argnames="method")(jax.random.key(0), *blank, method="lift")
    rng = np.random.default_rng(0)
    track = Track(
        rng.integers(0, 256, (4, 128, 128, 3)).astype(np.uint8),
        rng.uniform(-0.5, 0.5, (4, 17, 2)).astype(np.float32),
        np.ones((4, 17), np.float32),
    )
    seen = []
    params = adapt_lifter(
        model, first, [track], poses, landmarks, PRIOR, None,
        steps=2, batch_size=1, report=lambda *row: seen.append(row[:2]), report_every=1,
    )  # fmt: skip
    assert set(params["params"]) == {"lifter"}
    assert set(seen[0][1]) == {"sampled", "keypoints", "prior", "smooth"}
    assert all(np.isfinite(v) for _, terms in seen for v in terms.values())
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), first, params)
    assert max(jax.tree.leaves(moved)) > 0
