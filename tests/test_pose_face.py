"""Expressions from the face mesh: known ones come back, however the head is held."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hvc_jax.body.params import EXPRESSION_NAMES
from hvc_jax.pose.face import _model, expressions
from hvc_jax.pose.face_sight import FaceSight
from hvc_jax.pose.procrustes import procrustes

SIDE = 256


def _sight(expression: np.ndarray, size: float = 2.0) -> FaceSight:
    """The mesh of a face with expressions [T, 10], its head turned and moved all the time."""
    rng = np.random.default_rng(0)
    neutral, directions = _model()
    shape = neutral + rng.normal(0, 0.002, neutral.shape)  # somebody's own face
    points = shape + np.einsum("te,ekc->tkc", expression, directions)
    turns = Rotation.from_rotvec(rng.normal(0, 0.2, (len(points), 3))).as_matrix()
    points = np.einsum("tcd,tkd->tkc", turns, points - neutral.mean(0))
    points = size * points + rng.normal(0, 0.1, (len(points), 1, 3))
    seen = np.ones(len(points), np.float32)
    return FaceSight((points * [1, -1, -1]).astype(np.float32), seen)


def test_points_are_laid_on_a_target_by_the_best_similarity():
    rng = np.random.default_rng(1)
    target = rng.normal(size=(20, 3))
    turns = Rotation.from_rotvec(rng.normal(size=(4, 3))).as_matrix()
    moved = 3.0 * np.einsum("tcd,kd->tkc", turns, target) + rng.normal(size=(4, 1, 3))
    np.testing.assert_allclose(procrustes(moved, target), target[None].repeat(4, 0), atol=1e-10)
    mirrored = procrustes((target * [-1, 1, 1])[None], target)[0]  # turns only: no mirror image
    assert np.abs(mirrored - target).max() > 0.1


def test_an_opening_mouth_and_a_blink_are_found_whatever_the_head_does():
    mouth, eyes = EXPRESSION_NAMES.index("lips_apart"), EXPRESSION_NAMES.index("eyes_closed")
    truth = np.zeros((24, 10))
    truth[8:16, mouth], truth[18:21, eyes] = 2.0, 2.0
    found = expressions(_sight(truth), SIDE)
    assert np.abs(found[:6]).max() < 0.5
    assert found[10:14, mouth] == pytest.approx(2.0, abs=0.6)
    assert found[19, eyes] > 0.8 > found[12, eyes]  # smoothed, and pulled towards zero


def test_small_and_unseen_faces_have_no_expression():
    truth = np.zeros((6, 10))
    truth[3:, 0] = 2.0
    assert np.abs(expressions(_sight(truth), SIDE)).max() > 0.5
    assert not expressions(_sight(truth, size=0.3), SIDE).any()
    unseen = _sight(truth)
    unseen.presence[3:] = 0.1
    assert not expressions(unseen, SIDE)[3:].any()
