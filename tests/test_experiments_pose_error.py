"""Errors of bodies and keypoints: identities, invariances, hand-made cases."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "041_bodies"
pose_error = SimpleNamespace(**runpy.run_path(str(EXPERIMENT / "pose_error.py")))


@pytest.fixture
def joints():
    return np.random.default_rng(0).normal(size=(4, 22, 3))


def _turn(seed):
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return q * np.sign(np.linalg.det(q))


def test_similar_bodies_have_no_error_left(joints):
    moved = 1.7 * joints @ _turn(1).T + np.array([0.3, -2.0, 5.0])
    assert pose_error.mpjpe(moved, joints).min() > 1
    np.testing.assert_allclose(pose_error.pa_mpjpe(moved, joints), 0, atol=1e-9)


def test_a_mirrored_body_is_not_similar(joints):
    assert pose_error.pa_mpjpe(joints * [-1, 1, 1], joints).min() > 0.1


def test_procrustes_is_the_best_of_many(joints):
    noisy = joints + 0.1 * np.random.default_rng(2).normal(size=joints.shape)
    best = ((pose_error.procrustes(noisy, joints) - joints) ** 2).sum((1, 2))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        small = np.linalg.qr(np.eye(3) + 0.1 * rng.normal(size=(3, 3)))[0]
        small = small * np.sign(np.diag(small))
        other = rng.uniform(0.9, 1.1) * noisy @ small + 0.05 * rng.normal(size=3)
        assert (((other - joints) ** 2).sum((1, 2)) >= best).all()


def test_pck_counts_in_units_of_the_torso():
    points = np.zeros((3, 17, 2))
    points[:, 5], points[:, 6], points[:, 11], points[:, 12] = [1, 0], [-1, 0], [1, 2], [-1, 2]
    torso = pose_error.torso_size(points, np.ones((3, 17)))
    np.testing.assert_allclose(torso, np.sqrt(8))
    off = points + np.array([0.15 * np.sqrt(8), 0])
    assert not pose_error.correct_keypoints(off, points, torso, 0.1).any()
    assert pose_error.correct_keypoints(off, points, torso, 0.2).all()


def test_torso_without_hips_comes_from_the_shoulders():
    points = np.zeros((3, 17, 2))
    points[:, 5], points[:, 6] = [1, 0], [-1, 0]
    seen = np.ones((3, 17))
    seen[:, 11:] = 0
    np.testing.assert_allclose(pose_error.torso_size(points, seen), 3.2)
    assert np.isnan(pose_error.torso_size(points, 0 * seen)).all()


def test_iou_of_masks():
    a = np.zeros((3, 4, 4), bool)
    b = a.copy()
    a[:2, :2], b[0, :2], b[1, 1:3] = True, True, True
    np.testing.assert_allclose(pose_error.mask_iou(a, b), [1, 1 / 3, 1])


def test_steady_motion_does_not_accelerate():
    time = np.arange(6.0)[:, None, None]
    points = np.ones((1, 17, 2)) * time
    np.testing.assert_allclose(pose_error.acceleration(points), 0, atol=1e-12)
    fall = pose_error.acceleration(np.array([0.5, 0]) * time**2 * np.ones((1, 17, 2)))
    np.testing.assert_allclose(fall, 1)
