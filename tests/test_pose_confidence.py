"""How far bodies are trusted: the witnesses, one by one, and what they weigh together."""

import numpy as np
import pytest

from hvc_jax.body.params import BODY_VECTOR_SIZE, POSE
from hvc_jax.pose.confidence import WEIGHTS, WITNESSES, bridge_hopeless, trusted, witnesses
from hvc_jax.pose.evidence import Agreement
from hvc_jax.pose.fit_objective import PosePrior

PRIOR = PosePrior(np.zeros(63, np.float32), np.eye(63, dtype=np.float32))


@pytest.fixture
def good():
    """Four frames in which everything speaks for the body."""
    points = np.zeros((4, 17, 2))
    points[:, [5, 6], 0], points[:, [5, 6], 1] = (0.2, -0.2), -0.3
    points[:, [11, 12], 0], points[:, [11, 12], 1] = (0.1, -0.1), 0.3
    return {
        "bodies": np.zeros((4, BODY_VECTOR_SIZE), np.float32),
        "confidence": np.full((4, 17), 0.95),
        "error": np.full((4, 17), 0.02),
        "points": points,
        "prior": PRIOR,
        "back": np.full(4, -6.0),
        "agreed": Agreement(*np.full((4, 4), (1.0, 1.0, 0.85, 0.85)).T),
    }


def column(name, said):
    return said[:, WITNESSES.index(name)]


def shaken(bodies):
    bodies = bodies.copy()
    bodies[:, POSE] += 0.2 * (np.arange(4) % 2)[:, None]
    return bodies


def unlikely(bodies):
    bodies = bodies.copy()
    bodies[:, POSE] = 2.0
    return bodies


@pytest.mark.parametrize(
    ("name", "part", "change"),
    [
        ("upper", "confidence", lambda c: np.where(np.arange(17) < 7, 0.1, c)),
        ("hips", "confidence", lambda c: np.where(np.isin(np.arange(17), (11, 12)), 0.1, c)),
        ("met", "error", lambda e: e + 0.2),
        ("ordered", "back", np.zeros_like),
        ("explained", "agreed", lambda a: a._replace(explained=a.explained - 0.5)),
        ("supported", "agreed", lambda a: a._replace(supported=a.supported - 0.5)),
        ("overlap", "agreed", lambda a: a._replace(overlap=a.overlap - 0.5)),
        ("crisp", "agreed", lambda a: a._replace(crisp=a.crisp - 0.5)),
        ("likely", "bodies", unlikely),
        ("steady", "bodies", shaken),
    ],
)
def test_every_witness_speaks_against_what_it_is_there_for(good, name, part, change):
    before, after = witnesses(**good), witnesses(**good | {part: change(good[part])})
    assert (after >= 0).all() and (after <= 1).all() and (before <= 1).all()
    assert (column(name, after) < column(name, before) - 0.2).all()
    assert WEIGHTS[name] >= 0 and (trusted(after) <= trusted(before)).all()


def test_good_bodies_are_believed_with_and_without_mask(good):
    assert (trusted(witnesses(**good)) > 0.5).all()
    assert (trusted(witnesses(**good | {"agreed": None, "back": None})) > 0.5).all()


def test_nothing_that_is_seen_and_a_body_far_off_are_doubted(good):
    unseen, far = good | {"confidence": np.full((4, 17), 0.02)}, good | {"error": np.ones((4, 17))}
    for given in (unseen, far):
        assert (trusted(witnesses(**given)) < 0.25).all()


def test_whose_shoulders_lie_one_behind_the_other_cannot_be_exchanged(good):
    side = good["points"].copy()
    side[:, [5, 6], 0] = 0
    for back in (-6.0, 0.0, 6.0):
        given = good | {"points": side, "back": np.full(4, back)}
        np.testing.assert_allclose(column("ordered", witnesses(**given)), 1.0)


def test_a_lone_frame_is_steady(good):
    one = {k: v if k in ("prior", "agreed") else v[:1] for k, v in good.items()}
    one["agreed"] = Agreement(*(part[:1] for part in good["agreed"]))
    assert column("steady", witnesses(**one)) == 1


def test_hopeless_frames_are_bridged():
    bodies = np.arange(6, dtype=np.float32)[:, None] * np.ones((1, 188), np.float32)
    wild = bodies.copy()
    wild[[0, 2, 3, 5]] = 99.0
    out = bridge_hopeless(wild, np.array([0.02, 0.9, 0.0, 0.04, 0.1, 0.02]))
    np.testing.assert_allclose(out[:, 0], [1, 1, 2, 3, 4, 4], atol=1e-6)
    still = bridge_hopeless(bodies, np.array([0.0, 0.01, 0.04, 0.02, 0.0, 0.0]))
    np.testing.assert_array_equal(still, np.repeat(bodies[2:3], 6, 0))
    np.testing.assert_array_equal(bridge_hopeless(bodies, np.ones(6)), bodies)
