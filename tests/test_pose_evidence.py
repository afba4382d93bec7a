"""How far bodies are trusted: what the person mask says, and clips that are easily got wrong."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hvc_jax.body.params import CAMERA, POSE
from hvc_jax.data.cuts import CutDetector, scene_starts
from hvc_jax.pose.estimator import estimate, regressor_path
from hvc_jax.pose.evidence import agreement, body_cells, widened
from hvc_jax.pose.pose_error import mask_iou
from hvc_jax.synth.people import render_clip
from hvc_jax.synth.trouble import from_behind, hands_before_face, two_people

shipped = pytest.mark.skipif(not regressor_path().is_file(), reason="no regressor is shipped")


@pytest.fixture(scope="module")
def trouble():
    """Frames of two people, and the clip of the left one."""
    return two_people(930000, 4, 128)[:2]


def test_widening_is_the_square_about_every_cell():
    mask = np.zeros((1, 9, 9), bool)
    mask[0, 4, 3] = mask[0, 0, 8] = True
    grown = widened(mask, 2)[0]
    rows, columns = np.nonzero(grown)
    near = np.maximum(abs(rows - 4), abs(columns - 3)) <= 2
    corner = np.maximum(rows, abs(columns - 8)) <= 2
    assert (near | corner).all() and grown.sum() == 25 + 9


def test_a_mask_of_the_body_itself_agrees_and_one_elsewhere_does_not(trouble):
    body = trouble[1].body[:2]
    cells = body_cells(body, 32)
    assert 50 < cells[0].sum() < 700
    same = agreement(body, cells.astype(np.float32))
    np.testing.assert_array_equal(same, 1.0)
    other = agreement(body, (~widened(cells, 3)).astype(np.float32))
    np.testing.assert_array_equal(other[:3], 0.0)
    nobody = agreement(body, np.zeros((2, 32, 32), np.float32))  # the keypoints decide alone
    np.testing.assert_array_equal(nobody[:2], 1.0)
    vague = agreement(body, np.where(cells, 0.6, 0.0))
    assert (vague.overlap == 1).all() and np.allclose(vague.crisp, 0.04)


def test_a_second_person_leaves_half_of_the_mask_unexplained(trouble):
    body = trouble[1].body[:1].copy()
    body[:, CAMERA.start] *= 0.3  # small, so that two fit into the picture
    body[:, CAMERA.start + 1] -= 0.5 / body[:, CAMERA.start]
    mask = body_cells(body, 32)
    assert not mask[:, :, 16:].any()
    agreed = agreement(body, (mask | mask[:, :, ::-1]).astype(np.float32))
    assert agreed.explained[0] == 0.5 and agreed.supported[0] == 1


@shipped
def test_two_people_are_believed_less_than_one_of_them(trouble):
    both, left = trouble
    alone, crowd = estimate(left.frames, effort=0), estimate(both, effort=0)
    assert alone.confidence.min() > 0.5 and alone.explained.min() > 0.95
    assert crowd.explained.max() < 0.85
    assert crowd.confidence.mean() < 0.5 * alone.confidence.mean()


@shipped
@pytest.mark.parametrize("clip_of", [hands_before_face, from_behind])
def test_a_body_that_is_believed_lies_on_the_person(clip_of):
    clip = clip_of(930000, 4, 128)
    found = estimate(clip.frames, effort=0)
    assert np.isfinite(found.bodies).all()
    overlap = mask_iou(body_cells(found.bodies, 32), body_cells(clip.body, 32))
    assert (overlap[found.confidence >= 0.25] > 0.5).all()


@shipped
@pytest.mark.parametrize(("seed", "framing"), [(930000, "hips"), (930002, "full")])
def test_who_shows_the_back_is_turned_away_and_who_faces_us_is_not(seed, framing):
    for turned, clip_of in ((-1, from_behind), (1, render_clip)):
        clip = clip_of(seed, 4, 128, framing=framing)
        found = estimate(clip.frames, effort=0)
        pelvis = Rotation.from_rotvec(found.bodies[:, POSE.start : POSE.start + 3])
        assert (turned * pelvis.apply([0, 0, 1])[:, 2] > 0.7).all()
        assert (found.confidence > 0.25).all()


def test_scenes_begin_at_cuts_and_go_on_over_chunks():
    dark, light = np.full((3, 64, 64, 3), 20, np.uint8), np.full((4, 64, 64, 3), 200, np.uint8)
    cuts = CutDetector()
    assert scene_starts(np.concatenate([dark, light]), cuts) == [3]
    assert scene_starts(dark, cuts) == [0]  # the first of the next chunk
    assert scene_starts(dark, cuts) == []
