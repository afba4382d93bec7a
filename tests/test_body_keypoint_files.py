"""Keypoint files: every layout gives the same points, and people are followed."""

import json

import numpy as np
import pytest

from hvc_jax.body.keypoint_files import KeypointFileError, load_keypoints
from hvc_jax.body.keypoint_layouts import LAYOUTS
from hvc_jax.body.parameter_cameras import View

_OPENPOSE, _BLAZEPOSE = list(LAYOUTS[25].coco), list(LAYOUTS[33].coco)
VIEW = View(320, 240)
FRAMES = 12


@pytest.fixture
def pixels():
    """[T, 17, 3]: x and y inside the centre crop, confidence."""
    rng = np.random.default_rng(0)
    points = rng.uniform([50, 10], [270, 230], (FRAMES, 17, 2))
    return np.concatenate([points, rng.uniform(0.1, 1, (FRAMES, 17, 1))], -1).astype(np.float32)


def _openpose(folder, pixels, others=()):
    folder.mkdir()
    for t, frame in enumerate(pixels):
        full = np.zeros((25, 3))
        full[_OPENPOSE] = frame
        people = [*others, full]
        rows = [{"pose_keypoints_2d": p.reshape(-1).tolist()} for p in people]
        (folder / f"clip_{t}_keypoints.json").write_text(json.dumps({"people": rows}))


def _blazepose(pixels):
    full = np.zeros((FRAMES, 33, 4))
    full[:, _BLAZEPOSE, 0] = (pixels[..., 0] + 0.5) / VIEW.width
    full[:, _BLAZEPOSE, 1] = (pixels[..., 1] + 0.5) / VIEW.height
    full[:, _BLAZEPOSE, 3] = pixels[..., 2]
    return full


def test_every_layout_gives_the_same_points(tmp_path, pixels):
    coco = [
        {"image_id": 100 + t, "keypoints": frame.reshape(-1).tolist(), "score": 1.0}
        for t, frame in enumerate(pixels)
    ]
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    named = [entry | {"image_id": f"{k}.jpg"} for k, entry in enumerate(coco)]
    (tmp_path / "alphapose.json").write_text(json.dumps(named[::-1]))
    (tmp_path / "truth.json").write_text(json.dumps({"annotations": coco}))
    _openpose(tmp_path / "openpose", pixels)
    blaze = _blazepose(pixels)
    keys = ("x", "y", "z", "visibility")
    listed = [[dict(zip(keys, p, strict=True)) for p in frame.tolist()] for frame in blaze]
    (tmp_path / "mediapipe.json").write_text(json.dumps(listed))
    np.savetxt(
        tmp_path / "mediapipe.csv",
        np.concatenate([np.arange(FRAMES)[:, None], blaze.reshape(FRAMES, -1)], 1),
        delimiter=",",
        header="frame," + ",".join(f"{k}{i}" for i in range(33) for k in keys),
        comments="",
    )
    np.savez(tmp_path / "blaze.npz", keypoints=blaze)
    np.save(tmp_path / "coco.npy", pixels)
    expected = (2 * pixels[..., :2] + 1 - [320, 240]) / 240
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 8
    for name in names:
        points, confidence, _ = load_keypoints(tmp_path / name, VIEW, FRAMES + 2)
        np.testing.assert_allclose(points[:FRAMES], expected, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(confidence[:FRAMES], pixels[..., 2], atol=1e-6, err_msg=name)
        assert not confidence[FRAMES:].any()  # the clip goes on, the file does not


def test_frames_without_a_person_and_points_outside_count_for_nothing(tmp_path, pixels):
    pixels[2, 4, 0] = 5  # outside of the centre crop
    rows = [{"image_id": t, "keypoints": pixels[t].reshape(-1).tolist()} for t in (0, 1, 2, 5)]
    (tmp_path / "c.json").write_text(json.dumps(rows))
    _, confidence, _ = load_keypoints(tmp_path / "c.json", VIEW, FRAMES)
    assert not confidence[[3, 4]].any() and confidence[2, 4] == 0
    assert (confidence[5] > 0).all()


def test_the_same_person_is_followed_among_several(tmp_path, pixels):
    pixels[:] = pixels[:1]
    pixels[..., 0] += np.arange(FRAMES)[:, None]
    full = np.zeros((25, 3))
    full[_OPENPOSE] = pixels[0] + [0, 0, 0]
    other = full.copy()
    other[:, 0], other[:, 2] = 320 - other[:, 0], 0.05  # elsewhere, less sure
    _openpose(tmp_path / "two", pixels, others=(other,))
    points, *_ = load_keypoints(tmp_path / "two", VIEW, FRAMES)
    expected = (2 * pixels[..., :2] + 1 - [320, 240]) / 240
    inside = (np.abs(expected) <= 1).all(-1)
    np.testing.assert_allclose(points[inside], expected[inside], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "{"),
        ("a.json", '{"annotations": [{"keypoints": [1, 2, 3], "image_id": 0}]}'),
        ("a.json", '[{"image_id": 0}]'),
        ("a.csv", "a,b\nc,d\n"),
        ("a.csv", "1,2,3\n"),
        ("a.npy", "x"),
        ("a.txt", ""),
        ("none", None),
    ],
)
def test_other_files_are_one_sentence(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(KeypointFileError, match=name):
        load_keypoints(tmp_path / name, VIEW, FRAMES)


def test_more_frames_than_the_clip_are_refused(tmp_path, pixels):
    np.save(tmp_path / "k.npy", pixels)
    with pytest.raises(KeypointFileError, match="cut one"):
        load_keypoints(tmp_path / "k.npy", VIEW, FRAMES - 1)
