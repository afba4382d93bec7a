import numpy as np
import pytest

from hvc_jax.evaluation import anchors
from hvc_jax.evaluation.metrics import psnr


def _clip(count=9, height=64, width=72):
    y, x = np.mgrid[:height, :width]
    frames = []
    for t in range(count):
        disc = (y - height / 2) ** 2 + (x - 20 - 3 * t) ** 2 < 200
        frames.append(np.stack([60 + x, 40 + 2 * y, 90 + 100 * disc], -1))
    return np.stack(frames).astype(np.uint8)


@pytest.mark.parametrize("codec", list(anchors.CODECS))
def test_each_standard_codes_a_clip(codec):
    if not anchors.available(codec):
        pytest.skip("this ffmpeg lacks the encoder")
    frames = _clip()
    fine = anchors.code_clip(frames, 25, codec, 30)
    assert fine.frames.shape == frames.shape and fine.frames.dtype == np.uint8
    assert psnr(frames, fine.frames).min() > 28
    coarse = anchors.code_clip(frames, 25, codec, 50)
    assert coarse.bytes < fine.bytes
    assert psnr(frames, coarse.frames).mean() < psnr(frames, fine.frames).mean()


def test_odd_sizes_and_half_size_come_back_at_full_size():
    frames = _clip(3, 71, 133)
    coded = anchors.code_clip(frames, 30, "hevc", 30, scale=0.5)
    assert coded.frames.shape == frames.shape
    assert psnr(frames, coded.frames).min() > 20


def test_hold_repeats_the_coded_first_frame():
    frames = _clip(4)
    held = anchors.hold(frames, 32)
    assert (held.frames == held.frames[0]).all() and 0 < held.bytes < 3000
    assert psnr(frames[:1], held.frames[:1])[0] > 30
    ceiling = anchors.hold(frames, None)
    np.testing.assert_array_equal(ceiling.frames[3], frames[0])
    assert ceiling.bytes == frames[0].size


def _model(frames, fps, codec, qp, effort="fast", scale=1.0):
    """An encoder whose size halves every seven QP."""
    return anchors.Anchor(codec, qp, scale, round(4e5 * scale * 2 ** (-qp / 7)), frames)


@pytest.mark.parametrize("target", [3000, 5000, 20000])
def test_the_search_comes_near_the_target(monkeypatch, target):
    monkeypatch.setattr(anchors, "code_clip", _model)
    found = anchors.nearest_rate(_clip(2, 256, 256), 25, "vvc", target)
    assert abs(np.log2(found.bytes / target)) < 0.1
    assert found.scale == 1


def test_unreachable_rates_are_coded_at_half_the_size(monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return _model(*arguments)

    monkeypatch.setattr(anchors, "code_clip", counted)
    found = anchors.nearest_rate(_clip(2, 256, 256), 25, "hevc", 1500)
    assert found.scale == 0.5 and found.bytes < 1700
    assert len(calls) <= 6


def test_an_unknown_codec_is_refused():
    with pytest.raises(anchors.AnchorError, match="unknown"):
        anchors.code_clip(_clip(2), 25, "h261", 30)


def test_a_failing_encoder_is_one_plain_sentence(monkeypatch):
    monkeypatch.setattr(anchors, "_arguments", lambda *_: ["-c:v", "nonesuch"])
    with pytest.raises(anchors.AnchorError, match="nonesuch"):
        anchors.code_clip(_clip(2), 25, "hevc", 30)
