"""Bodies from landmarks: of a known body, of one whose hips are hidden, of given keypoints."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.pose.bodies import bodies_from_sight, pose_prior
from hvc_jax.pose.fit import vectors_of
from hvc_jax.pose.sight import Sight, with_keypoints
from hvc_jax.pose.skeleton import COCO, INDEX, open_skeleton
from hvc_jax.pose.solve import NUM_POSE, TRUNK, project_points

FRAMES = 24
PROJECT = jax.jit(project_points)


def _seen(frames: np.ndarray) -> Sight:
    """What exact networks see of bodies [T, 69] of the mean shape."""
    screen, points = PROJECT(open_skeleton(), jnp.asarray(frames), jnp.zeros(10))
    screen, points = np.asarray(screen), np.asarray(points)
    sure = np.full((len(frames), 33), 0.99, np.float32)
    empty = np.ones((len(frames), 1, 1))
    return Sight(screen, points, sure, sure[:, 0], empty, np.ones(len(frames), int))


@pytest.fixture(scope="module")
def truth():
    """A person who raises the left arm, turns the head and sways, [T, 69]."""
    t = np.linspace(0, 1, FRAMES)
    pose = np.zeros((FRAMES, 22, 3), np.float32)
    pose[:, 16, 2] = -1.2 + 1.0 * t
    pose[:, 17, 2] = 1.2
    pose[:, 18, 1] = -0.6
    pose[:, 15, 1] = 0.4 * np.sin(3 * t)
    pose[:, 0, 1] = 0.3
    camera = np.stack([0.1 * t, 0.1 + 0 * t, np.full(FRAMES, np.log(0.7))], 1)
    return np.concatenate([pose.reshape(FRAMES, -1), camera], 1).astype(np.float32)


def test_a_body_is_found_where_its_landmarks_are(truth):
    fitted = bodies_from_sight(_seen(truth))
    vectors = vectors_of(fitted.bodies, FRAMES)
    assert vectors.shape == (FRAMES, 188) and fitted.error.shape == (FRAMES, 33)
    assert np.ptp(vectors[:, :10], axis=0).max() == 0  # one shape per clip
    assert np.median(fitted.error) < 0.02
    found = PROJECT(open_skeleton(), fitted.bodies.frames, fitted.bodies.betas)[1][:FRAMES]
    exact = PROJECT(open_skeleton(), jnp.asarray(truth), jnp.zeros(10))[1]
    assert np.median(np.linalg.norm(found - exact, axis=-1)) < 0.04  # metres


def test_a_known_shape_stays(truth):
    shape = np.linspace(-0.5, 0.5, 10)
    fitted = bodies_from_sight(_seen(truth), shape)
    np.testing.assert_allclose(fitted.bodies.betas, shape, atol=1e-6)


def test_legs_that_nobody_sees_are_held_as_people_usually_do(truth):
    folded = np.array(truth)
    for joint, angle in ((1, -2.0), (2, -2.0), (4, 2.2), (5, 2.2)):
        folded[:, 3 * joint] = angle
    seen = _seen(folded)  # what networks make up below the picture's edge
    legs = [
        k for name, k in INDEX.items() if name.endswith(("knee", "ankle", "heel", "foot_index"))
    ]
    seen.visibility[:, legs] = 0.0
    pose = np.asarray(bodies_from_sight(seen, np.zeros(10)).bodies.frames)[:FRAMES, :NUM_POSE]
    thighs_and_knees = [3 * joint + axis for joint in (1, 2, 4, 5) for axis in range(3)]
    usual = np.concatenate([np.zeros(3), pose_prior().mean])[thighs_and_knees]
    assert np.abs(pose[:, thighs_and_knees] - usual).max() < 0.2
    assert np.abs(pose[:, 3 * 16 + 2] - truth[:, 3 * 16 + 2]).max() < 0.2  # the arm that is seen


def _one(sight: Sight, t: int) -> Sight:
    return Sight(*(None if column is None else column[t : t + 1] for column in sight))


def test_a_live_body_is_drawn_to_the_one_before(truth):
    seen, rng = _seen(np.repeat(truth[:1], 8, 0)), np.random.default_rng(3)
    seen = seen._replace(
        points=seen.points + 0.01 * rng.normal(size=seen.points.shape),
        world=seen.world + 0.04 * rng.normal(size=seen.world.shape),
    )
    alone, held, before = [], [], None
    for t in range(8):
        alone.append(bodies_from_sight(_one(seen, t), np.zeros(10)).bodies.frames[0])
        before = np.asarray(bodies_from_sight(_one(seen, t), np.zeros(10), before).bodies.frames[0])
        held.append(before)
    alone, held = (np.abs(np.diff(np.stack(x)[:, :NUM_POSE], axis=0)).mean() for x in (alone, held))
    assert held < 0.6 * alone


def test_a_live_body_turns_past_half_a_turn(truth):
    turning = np.repeat(truth[:1], 2, 0)
    turning[:, 1] = 3.10, 3.20  # the yaw of the pelvis, of which -3.08 is another name
    seen = _seen(turning)
    found = bodies_from_sight(_one(seen, 1), np.zeros(10), turning[0]).bodies.frames[0]
    assert abs(float(found[1]) - 3.2) < 0.1


def test_noise_does_not_shake_bodies(truth):
    still = np.repeat(truth[:1], FRAMES, 0)
    seen, rng = _seen(still), np.random.default_rng(2)
    noise = rng.normal(size=seen.points.shape) * 0.7 * 0.01  # a centimetre
    rough = rng.normal(size=seen.world.shape) * 0.01
    fitted = bodies_from_sight(seen._replace(points=seen.points + noise, world=seen.world + rough))
    found = PROJECT(open_skeleton(), fitted.bodies.frames, fitted.bodies.betas)[1][:FRAMES]
    shake = np.linalg.norm(np.diff(found, 2, axis=0), axis=-1).mean()
    assert shake < 0.2 * np.linalg.norm(np.diff(rough, 2, axis=0), axis=-1).mean()


def test_whose_hips_are_hidden_stands_still_while_the_head_nods(truth):
    nodding = np.repeat(truth[:1], FRAMES, 0)
    nodding[:, 3 * 15] = 0.3 * np.sin(np.arange(FRAMES) * 0.8)
    seen = _seen(nodding)
    hidden = seen.visibility.copy()
    low = [k for name, k in INDEX.items() if name.endswith(("hip", "knee", "ankle", "heel"))]
    hidden[:, [*low, INDEX["left_foot_index"], INDEX["right_foot_index"]]] = 0.01

    def sway(visibility: np.ndarray) -> float:
        frames = bodies_from_sight(seen._replace(visibility=visibility)).bodies.frames[:FRAMES]
        return float(np.ptp(np.asarray(frames)[:, :NUM_POSE][:, TRUNK], axis=0).max())

    assert sway(hidden) < 0.05
    assert sway(hidden) < sway(seen.visibility) + 0.02


def test_given_keypoints_stand_for_landmarks_and_lie_flat_where_nobody_is_seen(truth):
    seen = _seen(truth)
    points, sure = seen.points[:, COCO], np.full((FRAMES, 17), 0.9)
    near = with_keypoints(seen, points + 0.01, sure)
    np.testing.assert_allclose(near.points[:, COCO], points + 0.01, atol=1e-6)
    np.testing.assert_array_equal(near.world, seen.world.astype(np.float32))
    assert not np.delete(near.visibility, COCO, 1).any() and (near.presence == 1).all()
    assert not with_keypoints(seen, points, 0 * sure).presence.any()
    for other in (None, seen._replace(points=seen.points + 5)):
        alone = with_keypoints(other, points, sure)
        fitted = bodies_from_sight(alone)
        assert np.median(fitted.error[:, COCO]) < 0.03
