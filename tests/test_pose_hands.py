"""Wrists and fingers from hand landmarks: known poses come back, limits hold, gaps are bridged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hvc_jax.body.assets import load_body
from hvc_jax.body.lbs import posed_vertices
from hvc_jax.body.params import JOINT_INDEX, POSE, identity_vector, unpack
from hvc_jax.pose.hand_sight import HandSight, first_windows
from hvc_jax.pose.hands import finger_rotations, hand_of, palm_rotation, with_hands
from hvc_jax.pose.sight import Sight
from hvc_jax.pose.skeleton import INDEX


def _landmarks(hand, palm, fingers):
    """The 21 points [T, 21, 3] of a hand whose wrist is turned, slow and plain."""
    out = np.zeros((len(palm), 21, 3))
    for t in range(len(palm)):
        for finger in range(5):
            frame, at = palm[t], palm[t] @ hand.points[finger, 0]
            for k in range(4):
                out[t, 1 + 4 * finger + k] = at
                if k < 3:
                    frame = frame @ fingers[t, finger, k]
                    at = at + frame @ (hand.points[finger, k + 1] - hand.points[finger, k])
    return out


def _pose(hand, seed, count=20):
    """Rotations of palm and fingers within the limits of hands."""
    rng = np.random.default_rng(seed)
    palm = Rotation.random(count, rng=seed).as_matrix()
    fingers = np.tile(np.eye(3), (count, 5, 3, 1, 1))
    for finger in range(1, 5):
        for k in range(3):
            bent = Rotation.from_rotvec(rng.uniform(-0.2, 1.4, (count, 1)) * hand.bend)
            aside = rng.uniform(-0.3, 0.3, (count, 1)) * (k == 0)
            turn = bent * Rotation.from_rotvec(aside * hand.spread)
            fingers[:, finger, k] = turn.as_matrix()
    return palm, fingers


@pytest.mark.parametrize("side", ["left", "right"])
def test_known_hands_come_back(side):
    hand = hand_of(load_body(), side)
    palm, fingers = _pose(hand, seed=3)
    seen = _landmarks(hand, palm, fingers)
    np.testing.assert_allclose(palm_rotation(hand, seen), palm, atol=1e-9)
    found = finger_rotations(hand, seen, palm)
    again = _landmarks(hand, palm, found)
    np.testing.assert_allclose(again, seen, atol=2e-3)  # of 18 cm


@pytest.mark.parametrize("side", ["left", "right"])
def test_fingers_close_towards_the_palm(side):
    """In T-pose palms look down."""
    hand = hand_of(load_body(), side)
    assert hand.spread[1] > 0.7
    closed = Rotation.from_rotvec(0.8 * hand.bend).apply(hand.points[2, 3] - hand.points[2, 0])
    assert closed[1] < -0.03


def test_joints_do_not_bend_beyond_their_limits():
    hand = hand_of(load_body(), "left")
    wild = np.random.default_rng(0).normal(0, 0.05, (50, 21, 3))
    turns = finger_rotations(hand, wild, palm_rotation(hand, wild))
    angles = Rotation.from_matrix(turns.reshape(-1, 3, 3)).magnitude().reshape(50, 5, 3)
    assert angles[:, 0].max() <= 0.9 + 1e-9
    assert angles[:, 1:, 1:].max() <= 1.8 + 1e-9
    assert angles[:, 1:, 0].max() <= 1.8 + 0.4


def _bodies(count):
    bodies = np.tile(identity_vector(), (count, 1)).astype(np.float32)
    pose = bodies[:, POSE].reshape(count, -1, 3)
    pose[:, 0] = [0.1, 0.4, 0.0]
    pose[:, JOINT_INDEX["left_elbow"]] = [0.0, -0.9, 0.3]
    return bodies


def test_a_body_gets_the_hand_that_is_seen_and_keeps_the_other():
    body, count = load_body(), 9
    hand, bodies = hand_of(body, "left"), _bodies(9)
    truth = bodies.copy()
    pose = truth[:, POSE].reshape(count, -1, 3)
    pose[:, hand.wrist] = [0.3, 0.1, -0.2]
    pose[:, hand.joints[1:].ravel()] = 0.7 * hand.bend
    joints = np.asarray(jax.jit(posed_vertices)(body, unpack(jnp.asarray(truth)))[1])
    turn = Rotation.from_rotvec(pose[:, 0]).as_matrix()
    for name in ("spine1", "spine2", "spine3", "left_collar", "left_shoulder", "left_elbow",
                 "left_wrist"):  # fmt: skip
        turn = turn @ Rotation.from_rotvec(pose[:, JOINT_INDEX[name]]).as_matrix()
    fingers = np.tile(np.eye(3), (count, 5, 3, 1, 1))
    fingers[:, 1:] = Rotation.from_rotvec(0.7 * hand.bend).as_matrix()
    world = np.zeros((count, 2, 21, 3))
    world[:, 0] = _landmarks(hand, turn, fingers)
    # Our slow chain and the body layer agree on where the finger joints are.
    np.testing.assert_allclose(
        world[:, 0, [5, 6, 7]], joints[:, hand.joints[1]] - joints[:, [hand.wrist]], atol=1e-5
    )
    presence = np.zeros((count, 2))
    presence[[0, 1, 2, 6, 7, 8], 0] = 0.9  # not seen between
    found = with_hands(bodies, HandSight(np.zeros((count, 2, 21, 2)), world, presence))
    np.testing.assert_allclose(found, truth, atol=2e-3)
    presence[:] = 0
    unseen = with_hands(bodies, HandSight(np.zeros((count, 2, 21, 2)), world, presence))
    np.testing.assert_array_equal(unseen, bodies)


def test_windows_lie_over_the_knuckles_and_are_turned_with_the_hand():
    points = np.zeros((1, 33, 2))
    for name, at in (("wrist", (0.2, 0.5)), ("index", (0.3, 0.5)), ("pinky", (0.3, 0.5))):
        points[0, INDEX[f"left_{name}"]] = at
    empty = np.zeros((1, 1))
    window = first_windows(Sight(points, empty, empty, empty[0], empty, empty[0]), "left")[0]
    assert window[3] == pytest.approx(np.pi / 2)  # fingers to the right are upright in the window
    np.testing.assert_allclose(window[:3], [0.3 + 0.02, 0.5, 0.27], atol=1e-6)
