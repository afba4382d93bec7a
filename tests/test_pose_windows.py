"""Windows of a person followed through a clip: which are believed, and which are replaced."""

import numpy as np
from numpy.testing import assert_allclose

from hvc_jax.pose.detect import PADDING
from hvc_jax.pose.windows import leap, pose_windows, settled, steadied

RIGHT = np.array([-0.2, 0.1, 0.8, 0.1], np.float32)
WRONG = np.array([-0.4, -0.4, 0.5, 0.6], np.float32)


def landmarks(windows):
    """Landmarks [N, 39, 2] that ask for windows [N, 4]."""
    points = np.zeros((len(windows), 39, 2), np.float32)
    along = np.stack([np.sin(windows[:, 3]), -np.cos(windows[:, 3])], -1)
    points[:, 33] = windows[:, :2]
    points[:, 34] = windows[:, :2] + along * windows[:, 2:3] / PADDING
    return points


class Network:
    """Asks for the right window through one that is near it, else creeps towards it by a sixth."""

    def __init__(self, presence):
        self.presence, self.looks = np.asarray(presence, np.float32), []

    def __call__(self, which, through):
        self.looks.append(list(which))
        far = leap(through, np.tile(RIGHT, (len(through), 1)))[:, None] > 0.3
        wanted = np.where(far, through + (RIGHT - through) / 6, RIGHT)
        return landmarks(wanted), self.presence[which]


def test_landmarks_ask_for_the_window_between_their_points():
    windows = np.stack([RIGHT, WRONG, WRONG + np.float32([0, 0, 0, 2.5])])
    assert_allclose(leap(pose_windows(landmarks(windows)), windows), 0, atol=1e-6)


def test_wrong_windows_take_those_of_their_neighbours():
    network = Network(np.ones(7))
    start = np.stack([RIGHT, WRONG, WRONG, WRONG, RIGHT, WRONG, RIGHT])
    assert_allclose(settled(start, network), np.tile(RIGHT, (7, 1)), atol=1e-5)
    # One alone creeps as far as four more looks go.
    alone = settled(WRONG[None], Network([1]))
    assert 0 < leap(alone, RIGHT[None])[0] < leap(WRONG[None], RIGHT[None])[0]


def test_windows_that_agree_are_looked_through_once():
    network = Network(np.ones(5))
    settled(np.tile(RIGHT, (5, 1)) + np.float32([0.01, 0, 0, 0]), network)
    assert network.looks == [[0, 1, 2, 3, 4]]


def test_a_picture_that_shows_nobody_keeps_its_window_and_lends_it_to_nobody():
    network = Network([1, 0, 1, 1])
    found = settled(np.stack([RIGHT, WRONG, RIGHT, RIGHT]), network)
    assert_allclose(found, [RIGHT, WRONG, RIGHT, RIGHT], atol=1e-5)
    assert network.looks[1:] == [[1, 1]]


def test_a_leap_is_the_largest_of_distance_size_and_half_the_angle():
    window = np.array([[0.1, 0.2, 0.5, 3.0]])
    others = window + np.array([[0.1, 0, 0, 0], [0, 0, 0, 0.6], [0, 0, 0.05, 0]])
    assert_allclose(leap(np.repeat(window, 3, 0), others), [0.2, 0.3, np.log(1.1)])
    turned = window + np.array([[0, 0, 0, 0.4 - 2 * np.pi]])
    assert_allclose(leap(window, turned), [0.2])


def test_a_window_that_leaps_is_replaced():
    windows = np.tile(np.array([0.0, 0.0, 0.5, 3.1], np.float32), (7, 1))
    for other in ([0.6, 0.2, 0.2, 3.1], [0.0, 0.0, 0.5, 1.1]):
        seen = windows.copy()
        seen[3] = other
        assert_allclose(leap(steadied(seen), windows), 0, atol=1e-6)
    # Across half a turn angles jump by a whole one, and nobody leaps.
    seen = windows.copy()
    seen[1::2, 3] = -3.1
    assert_allclose(leap(steadied(seen), seen), 0, atol=1e-6)
    assert_allclose(steadied(seen[:2]), seen[:2])
