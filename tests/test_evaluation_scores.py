"""Scores inside regions and by a pose network, on frames whose answer is known."""

import numpy as np
import pytest

from hvc_jax.evaluation import keypoints, metrics, regions, scores
from hvc_jax.evaluation.scores import Original, ScoreOptions, unavailable
from hvc_jax.ops import ssim


def _clip(count=3, side=64, seed=0):
    y, x = np.mgrid[:side, :side]
    frames = [np.stack([x * 2 + t, y * 2, 90 + 50 * np.sin(x / 5 + t)], -1) for t in range(count)]
    return np.stack(frames).clip(0, 255).astype(np.uint8)


def _worse_on_the_left(frames, seed=0):
    noise = np.random.default_rng(seed).normal(0, 20, frames.shape)
    noise[:, :, frames.shape[2] // 2 :] = 0
    return np.clip(frames + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("metric", [ssim.ssim, metrics.flicker, metrics.psnr, ssim.ms_ssim])
def test_masks_weigh_pixels(metric):
    a = _clip(2, 176 if metric is ssim.ms_ssim else 48)
    b = _worse_on_the_left(a)
    mask = np.ones(a.shape[:3])
    np.testing.assert_allclose(metric(a, b, mask), metric(a, b), rtol=1e-5)
    # Far enough to the right that no window of SSIM reaches the noise.
    mask[:, :, : a.shape[2] // 2 + 5] = 0
    if metric is not ssim.ms_ssim:  # whose windows are 176 pixels wide at the last scale
        np.testing.assert_allclose(metric(a, b, mask), metric(a, a), atol=1e-6)
    better = metric(a, b, mask) > metric(a, b)
    assert better.all() != (metric is metrics.flicker)
    assert np.isnan(metric(a, b, 0 * mask)).all()


def test_the_body_window_holds_all_masks_and_only_the_person_differs():
    masks = np.zeros((2, 96, 96), bool)
    masks[0, 10:40, 30:60] = masks[1, 20:52, 36:70] = True
    region = regions.body_region(masks)
    # The union is 42 rows high; the window is the next multiple of the step.
    assert region.side == -(-42 // regions.STEP) * regions.STEP
    assert region.mask.sum() == masks.sum()
    a = _clip(2, 96)
    np.testing.assert_array_equal(region.weights(96, 96), masks)
    cut = region.cut(a)
    shown = region.composite(cut, 255 - cut)
    np.testing.assert_array_equal(shown[region.mask == 0], cut[region.mask == 0])
    np.testing.assert_array_equal(shown[region.mask == 1], 255 - cut[region.mask == 1])
    assert regions.body_region(np.zeros((2, 96, 96), bool)) is None


def test_the_face_window_follows_the_face():
    points = np.zeros((40, 17, 2), np.float32)
    points[:, 3], points[:, 4], points[:, 0] = (50, 40), (30, 40), (40, 44)
    points[20:, :5] += (20, 10)
    confidence = np.zeros((40, 17), np.float32)
    confidence[:, [0, 3, 4]] = 0.9
    confidence[1] = 0
    region = regions.face_region(points, confidence, 128)
    assert region.side == 32 and region.mask is None
    centres = region.corners + region.side / 2
    np.testing.assert_allclose(centres[0], (41, 40), atol=1)
    np.testing.assert_allclose(centres[1], centres[0], atol=4)  # not seen: between its neighbours
    np.testing.assert_allclose(centres[-1] - centres[0], (10, 20), atol=1)
    assert (np.abs(np.diff(centres, axis=0)) < 6).all()  # calm
    assert regions.face_region(points, 0 * confidence, 128) is None


def test_distance_counts_what_both_show_and_missing_what_one_lost():
    points = np.zeros((2, 17, 2))
    confidence = np.zeros((2, 17))
    confidence[:, :4] = 1
    other, other_confidence = points + (3, 4), confidence.copy()
    other_confidence[0, 0] = 0
    other[0, 0] = 1000
    other_confidence[:, 16] = 1  # the original does not show it
    akd, mkr = keypoints.distance_and_missing(points, confidence, other, other_confidence)
    assert akd == pytest.approx(5) and mkr == pytest.approx(1 / 8)
    assert np.isnan(keypoints.distance_and_missing(points, 0 * confidence, other, confidence)).all()


def test_posenet_maps_are_read_as_published():
    """The nose in cell (row 2, column 5) of nine, moved by (dy, dx) = (4, -8) pixels of 257."""

    class Network:
        side = 257

        def __call__(self, picture):
            assert picture.shape == (257, 257, 3) and -1 <= picture.min() < 0 < picture.max() <= 1
            heat, offsets = np.full((9, 9, 17), -4.0), np.zeros((9, 9, 34))
            heat[2, 5] = 3.0
            heat[2, 5, 1], heat[4, 3, 1] = -4.0, 0.0
            offsets[2, 5, :17], offsets[2, 5, 17:] = 4, -8
            return heat, offsets

    points, confidence = keypoints.personlab_keypoints(Network(), _clip(1)[0])
    x, y = (points[0] + 1) / 2 * 256
    assert (x, y) == pytest.approx((5 * 32 - 8, 2 * 32 + 4), abs=1e-3)
    assert (points[1] + 1) / 2 * 256 == pytest.approx((3 * 32, 4 * 32), abs=1e-3)
    assert confidence[:2] == pytest.approx([1 / (1 + np.exp(-3)), 0.5])


def test_other_networks_are_refused_as_pose_networks(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "net.onnx").write_bytes(b"no network")
    with pytest.raises(ssim.MetricError, match="can be read"):
        keypoints.PoseNet(tmp_path / "net.onnx")


def test_a_row_has_whole_frame_body_face_and_pose_scores(monkeypatch):
    frames = _clip(6)

    class Pose:
        def __init__(self, path):
            pass

        def __call__(self, frame, box=None):
            points = np.full((17, 2), 20.0) + np.arange(17)[:, None]
            return points + (4 if (frame == 0).all() else 0), np.ones(17), box

    def masks(network, frames):
        found = np.zeros(frames.shape[:3], bool)
        found[:, 8:40, 8:40] = True
        return found

    monkeypatch.setattr(scores, "PoseNet", Pose)
    monkeypatch.setattr(scores, "LiteNetwork", lambda path: None)
    monkeypatch.setattr(scores, "person_masks", masks)
    names = ("psnr", "ssim", "flicker")
    regions = [f"{region}_{name}" for region in scores.REGIONS for name in names]
    wanted = (*names, "akd", "mkr", *regions)
    options = ScoreOptions(wanted, 2, None, "m", "p")
    original = Original(frames, 25, options)
    row = original.score(frames)
    assert row["psnr"] == row["body_psnr"] == row["face_psnr"] == 100
    assert row["akd"] == row["mkr"] == row["face_flicker"] == 0
    assert row["body_ssim"] == pytest.approx(1)
    background = frames.copy()
    background[:, 48:] = 0
    row = original.score(background)
    assert row["psnr"] < 30 and row["body_psnr"] == 100
    assert original.score(0 * frames)["akd"] == pytest.approx(np.hypot(4, 4))
    assert set(row) == set(wanted)
    only = Original(frames, 25, ScoreOptions(("psnr", "body_psnr"), 2, None, "m", "p"))
    assert only.score(background) == {n: row[n] for n in ("psnr", "body_psnr")}


def test_reasons_are_plain_and_name_the_way_out(tmp_path):
    (tmp_path / "net.tflite").write_bytes(b"no network")
    options = ScoreOptions(dists_weights=None, pose_net=tmp_path / "net.tflite")
    reasons = unavailable(options, 128)
    assert "--dists-weights" in reasons["dists"] and "--mask-net" in reasons["body scores"]
    assert "net.tflite" in reasons["akd"] or "ai-edge-litert" in reasons["akd"]
    assert "160 pixels" in reasons["ms_ssim"] and "psnr" not in reasons
    only = ScoreOptions(("psnr", "body_lpips_vgg"), dists_weights=None)
    assert {"dists", "face scores"}.isdisjoint(unavailable(only, 128))
    with pytest.raises(ssim.MetricError, match="unknown"):
        ScoreOptions(("ssim", "beauty"))
    assert scores.score_of("body_lpips_vgg").title == "LPIPS-VGG, body"
    assert not scores.score_of("face_flicker").higher_is_better
