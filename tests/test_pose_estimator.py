"""Bodies of rendered clips, those among them that are easily got wrong."""

import functools
import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hvc_jax.body.params import POSE
from hvc_jax.data.cuts import CutDetector, scene_starts
from hvc_jax.pose.confidence import body_cells
from hvc_jax.pose.estimator import Estimate, estimate
from hvc_jax.synth.people import SyntheticClip, render_clip

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "041_bodies"
_trouble = runpy.run_path(str(EXPERIMENT / "trouble.py"))
from_behind, two_people = _trouble["from_behind"], _trouble["two_people"]
hands_before_face = _trouble["hands_before_face"]


def _overlap(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    found, true = body_cells(found, 32), body_cells(true, 32)
    return (found & true).sum((1, 2)) / (found | true).sum((1, 2))


FRAMES = 2
HIPS, FULL = (930000, "hips"), (930002, "full")


@functools.cache
def _found(clip_of, seed, framing) -> tuple[SyntheticClip, Estimate]:
    """A short clip, and its bodies from landmarks alone."""
    clip = clip_of(seed, FRAMES, 128, framing=framing)
    return clip, estimate(clip.frames, effort=0)


@pytest.mark.parametrize("effort", [0, 1])
def test_a_body_lies_on_a_rendered_person(effort):
    clip, found = _found(render_clip, *HIPS)
    bodies, confidence = (estimate(clip.frames, effort) if effort else found)[:2]
    assert bodies.shape == (FRAMES, 188) and bodies.dtype == np.float32
    assert (confidence > 0.5).all() and (_overlap(bodies, clip.body) > 0.6).all()


@pytest.mark.parametrize("kind", ["black", "noise"])
def test_where_nobody_is_nothing_is_believed_and_nothing_moves(kind):
    frames = np.zeros((FRAMES, 128, 128, 3), np.uint8)
    if kind == "noise":
        frames = np.random.default_rng(0).integers(0, 256, frames.shape).astype(np.uint8)
    found = estimate(frames, effort=0)
    assert (found.confidence < 0.25).all()
    assert np.ptp(found.bodies, axis=0).max() == 0


def test_a_live_picture_is_looked_at_where_the_person_was(monkeypatch):
    clip, _ = _found(render_clip, *HIPS)
    first = estimate(clip.frames[:1], 0)
    monkeypatch.setattr("hvc_jax.pose.sight.detect", lambda *_: [[]])  # who searches finds nobody
    found = estimate(clip.frames[1:], 0, before=first.last)
    assert (_overlap(found.bodies, clip.body[1:]) > 0.6).all() and found.confidence[0] > 0.5
    gone = estimate(np.zeros_like(clip.frames[:1]), 0, before=first.last)
    assert gone.confidence[0] < 0.25 and gone.last is None


def test_two_people_are_counted_and_either_is_followed():
    both, left, _ = two_people(930000, FRAMES, 128)
    found = [estimate(both, 0, person=n) for n in (1, 2)]
    assert (found[0].people == 2).all()
    place = [each.bodies[0, 185] * each.bodies[0, 186] for each in found]
    assert abs(place[0] - place[1]) > 0.3
    clip, alone = _found(render_clip, *HIPS)
    np.testing.assert_array_equal(left.frames, clip.frames)
    assert (alone.people == 1).all()


@pytest.mark.parametrize("clip_of", [hands_before_face, from_behind])
def test_a_body_that_is_believed_lies_on_the_person(clip_of):
    clip, found = _found(clip_of, *HIPS)
    assert np.isfinite(found.bodies).all()
    overlap = _overlap(found.bodies, clip.body)
    assert (overlap[found.confidence >= 0.25] > 0.5).all()


@pytest.mark.parametrize(("seed", "framing"), [HIPS, FULL])
def test_who_shows_the_back_is_turned_away_and_who_faces_us_is_not(seed, framing):
    for turned, clip_of in ((-1, from_behind), (1, render_clip)):
        _, found = _found(clip_of, seed, framing)
        pelvis = Rotation.from_rotvec(found.bodies[:, POSE.start : POSE.start + 3])
        assert (turned * pelvis.apply([0, 0, 1])[:, 2] > 0.5).all()


@pytest.mark.parametrize(
    ("frames", "effort"),
    [
        (np.zeros((2, 64, 32, 3), np.uint8), 1),
        (np.zeros((2, 64, 64, 3), np.float32), 1),
        (np.zeros((2, 64, 64, 3), np.uint8), 4),
    ],
)
def test_wrong_inputs_are_one_sentence(frames, effort):
    with pytest.raises(ValueError, match="square uint8|effort"):
        estimate(frames, effort)


def test_scenes_begin_at_cuts_and_go_on_over_chunks():
    dark, light = np.full((3, 64, 64, 3), 20, np.uint8), np.full((4, 64, 64, 3), 200, np.uint8)
    cuts = CutDetector()
    assert scene_starts(np.concatenate([dark, light]), cuts) == [3]
    assert scene_starts(dark, cuts) == [0]  # the first of the next chunk
    assert scene_starts(dark, cuts) == []
