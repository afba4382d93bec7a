"""How far bodies are trusted: the cues, one by one, and what they weigh together."""

import numpy as np
import pytest

from hvc_jax.pose.confidence import WEIGHTS, body_cells, bridge_doubted, cues, overlap, trusted
from hvc_jax.pose.sight import Sight


@pytest.fixture
def good():
    """Four frames in which everything speaks for the body."""
    zeros = np.zeros((4, 33, 3))
    sight = Sight(
        zeros[..., :2], zeros, np.full((4, 33), 0.98), np.full(4, 0.99), zeros[..., :1], np.ones(4)
    )
    return {"sight": sight, "error": np.full((4, 33), 0.02), "covered": np.full(4, 0.85)}


@pytest.mark.parametrize(
    ("name", "part", "change"),
    [
        ("present", "sight", lambda s: s._replace(presence=s.presence - 0.5)),
        ("met", "error", lambda e: e + 0.2),
        ("overlap", "covered", lambda c: c - 0.5),
    ],
)
def test_every_cue_speaks_against_what_it_is_there_for(good, name, part, change):
    before, after = cues(**good), cues(**good | {part: change(good[part])})
    assert (after >= 0).all() and (after <= 1).all() and (before <= 1).all()
    column = list(WEIGHTS).index(name)
    assert (after[:, column] < before[:, column] - 0.2).all()
    assert WEIGHTS[name] >= 0 and (trusted(after) <= trusted(before)).all()


def test_good_bodies_are_believed_with_and_without_mask(good):
    assert (trusted(cues(**good)) > 0.5).all()
    assert (trusted(cues(**good | {"covered": None})) > 0.5).all()


def test_nobody_and_a_body_far_off_are_doubted(good):
    nobody = good["sight"]._replace(presence=np.zeros(4), visibility=np.full((4, 33), 0.05))
    far = good | {"error": np.ones((4, 33)), "covered": np.zeros(4)}
    for given in (good | {"sight": nobody, "covered": np.zeros(4)}, far):
        assert (trusted(cues(**given)) < 0.25).all()


def test_a_mask_of_the_body_itself_is_covered_and_one_elsewhere_is_not():
    body = np.zeros((2, 188), np.float32)
    body[:, 185], body[:, 186] = 0.5, -0.8
    cells = body_cells(body, 64)
    assert cells[0].any() and not cells[:, :, 40:].any()
    np.testing.assert_array_equal(overlap(body, cells.astype(np.float32)), 1.0)
    np.testing.assert_array_equal(overlap(body, cells[:, :, ::-1].astype(np.float32)), 0.0)


def test_doubted_frames_are_bridged():
    bodies = np.arange(6, dtype=np.float32)[:, None] * np.ones((1, 188), np.float32)
    wild = bodies.copy()
    wild[[0, 2, 3, 5]] = 99.0
    out = bridge_doubted(wild, np.array([0.02, 0.9, 0.0, 0.04, 0.1, 0.02]))
    np.testing.assert_allclose(out[:, 0], [1, 1, 2, 3, 4, 4], atol=1e-6)
    still = bridge_doubted(bodies, np.array([0.0, 0.01, 0.04, 0.02, 0.0, 0.0]))
    np.testing.assert_array_equal(still, np.repeat(bodies[2:3], 6, 0))
    np.testing.assert_array_equal(bridge_doubted(bodies, np.ones(6)), bodies)
