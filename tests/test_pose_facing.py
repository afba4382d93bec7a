"""Fronts and backs: where the head is looked at, and how left and right are ordered."""

import itertools

import numpy as np
import pytest
from scipy.special import expit

from hvc_jax.body.landmarks import COCO_MIRROR, landmarks_of
from hvc_jax.body.params import BODY_VECTOR_SIZE, CAMERA
from hvc_jax.pose.facing import (
    doubted,
    head_box,
    head_windows,
    ordered,
    shoulder_order,
    shown_over_time,
    turning,
)
from hvc_jax.pose.train.facing import heads_of, train_facing
from hvc_jax.pose.train.regressor import Pool
from hvc_jax.pose.train.rendered_labels import keypoints_of_bodies
from hvc_jax.synth.motion import turned


@pytest.fixture(scope="module")
def seen():
    """Keypoints of somebody from the front, from behind, from the side."""
    from hvc_jax.body.assets import load_body

    vectors = np.zeros((3, BODY_VECTOR_SIZE), np.float32)
    vectors[:, CAMERA] = [0.9, 0, 0]
    turns = np.radians([0, 180, 88])
    return keypoints_of_bodies(turned(vectors, turns), landmarks_of(load_body()))


def test_the_window_holds_head_and_shoulders_whichever_is_left(seen):
    points, confidence = seen
    box = head_box(points, confidence)
    for k in (0, 1, 2):
        assert (np.abs(points[k, :7] - box[k, :2]) < box[k, 2]).all()
        assert (np.abs(points[k, 11:] - box[k, :2]) > box[k, 2]).any(-1).all()
    exchanged = head_box(points[:, COCO_MIRROR], confidence[:, COCO_MIRROR])
    np.testing.assert_allclose(exchanged, box, atol=1e-6)


@pytest.mark.parametrize("side", [48, 64, 400])
def test_a_window_shows_what_lies_there(seen, side):
    points, confidence = seen
    line = (np.arange(side) + 0.5) / side
    frame = np.zeros((side, side, 3), np.float32)
    frame[..., 0], frame[..., 1] = 255 * line, 255 * line[:, None]
    frames = np.repeat(frame[None].round().astype(np.uint8), 3, 0)
    windows = head_windows(frames, points, confidence)
    assert windows.shape == (3, 48, 48, 3) and windows.dtype == np.uint8
    u, v, half = head_box(points, confidence)[0]
    at = (np.arange(48) + 0.5) / 48 * 2 - 1
    inside = (np.abs(u + at * half) < 0.9) & (np.abs(v + at * half) < 0.9)
    across = windows[0][24, :, 0].astype(float), windows[0][:, 24, 1].astype(float)
    for found, middle in zip(across, (u, v), strict=True):
        np.testing.assert_allclose(
            found[inside], (255 * (middle + at * half + 1) / 2)[inside], atol=3
        )


def test_left_and_right_follow_what_is_said(seen):
    points, confidence = seen
    order = shoulder_order(points)
    assert order[0] > 0.3 and order[1] < -0.3 and abs(order[2]) < 0.15
    for given in (points, points[:, COCO_MIRROR]):
        found, sure = ordered(given, np.ones((3, 17)), np.array([-9.0, 9.0, 9.0]))
        np.testing.assert_allclose(found[:2], points[:2], atol=1e-6)
        np.testing.assert_array_equal(found[2], given[2].astype(np.float32))  # no order there
        assert (sure[0] > 0.99).all() and (sure[1, :3] < 0.01).all() and (sure[1, 3:] > 0.99).all()
    _, unsure = ordered(points, np.ones((3, 17)), np.zeros(3))
    unsure = doubted(unsure, np.zeros(3))
    np.testing.assert_allclose(unsure, 0.5)


def test_it_learns_what_a_back_is(seen):
    """Light heads are fronts, dark ones backs."""
    points, confidence = (np.repeat(part[:2], 8, 0) for part in seen)
    pictures = np.full((16, 64, 64, 3), 230, np.uint8)
    pictures[8:] = 20
    heads = heads_of(
        Pool(pictures, pictures[..., 0], points, confidence, np.full(16, 1 / 16)), even=True
    )
    np.testing.assert_array_equal(heads.back, [0] * 8 + [1] * 8)
    assert heads.share.sum() == pytest.approx(1)
    told = []
    train_facing(
        [heads], [1.0], 30, 8, report=lambda _, parts, __: told.append(parts), report_every=10
    )
    assert told[-1]["told"] > 0.9 and told[-1]["loss"] < told[0]["loss"]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_what_a_clip_shows_is_the_sum_over_all_paths(count):
    rng = np.random.default_rng(count)
    logits, weight = 3 * rng.normal(size=count), rng.uniform(size=count)
    turns = rng.uniform(0.01, 0.5, count - 1)
    total = np.zeros((count, 2))
    for path in itertools.product((0, 1), repeat=count):
        chance = expit(weight * logits * (2 * np.array(path) - 1)).prod()
        chance *= np.where(np.diff(path), turns, 1 - turns).prod()
        total[np.arange(count), path] += chance
    found = expit(shown_over_time(logits, weight, turns, alike=1))
    np.testing.assert_allclose(found, total[:, 1] / total.sum(1), rtol=1e-9)


def test_a_lone_blunder_does_not_turn_anybody():
    logits, seldom = np.full(64, -2.0), np.full(63, 1e-3)
    found = shown_over_time(logits, np.ones(64), seldom)
    assert (found < -4).all()  # what is said again and again is surer
    logits[[11, 12]] = 4.0
    assert (shown_over_time(logits, np.ones(64), seldom) < -3).all()
    np.testing.assert_allclose(shown_over_time(logits[:1], np.ones(1), seldom[:0]), -2.0)


def test_who_turns_turns_once_and_is_doubted_in_between():
    logits = np.concatenate([np.full(32, -3.0), np.full(32, 3.0)])
    logits[[5, 50]] *= -1
    found = shown_over_time(logits, np.ones(64), np.full(63, 0.01))
    np.testing.assert_array_equal(found > 0, np.arange(64) >= 32)
    assert abs(found[31:33]).max() < 0.5 * abs(found[[16, 48]]).min()


def test_a_frame_of_which_nothing_is_seen_follows_its_neighbours():
    logits, weight, turns = np.full(9, 4.0), np.ones(9), np.full(8, 1e-3)
    logits[4], weight[4] = -4.0, 0.0
    assert (shown_over_time(logits, weight, turns) > 2).all()
    np.testing.assert_array_equal(shown_over_time(np.zeros(9), weight, turns), 0.0)


def test_people_turn_where_they_are_seen_from_the_side(seen):
    front, back, side = seen[0]
    chance = turning(np.stack([front, front, side, back, back]))
    assert chance[0] == chance[3] < 0.002 and (chance[1:3] > 0.05).all()
