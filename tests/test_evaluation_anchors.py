import numpy as np
import pytest

from hvc_jax.evaluation import anchor_codecs, anchors
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
    monkeypatch.setattr(anchors, "encoder_options", lambda *_: ["-c:v", "nonesuch"])
    with pytest.raises(anchors.AnchorError, match="nonesuch"):
        anchors.code_clip(_clip(2), 25, "hevc", 30)


def test_a_stream_is_coded_once_and_decoded_every_time(monkeypatch, tmp_path):
    frames, calls = _clip(3), []

    def count(frames, *rest):
        calls.append(rest[-1])
        return encode(frames, *rest)

    encode = anchors._ffmpeg
    monkeypatch.setattr(anchors, "_ffmpeg", count)
    first = anchors.code_clip(frames, 25, "hevc", 40, cache=tmp_path / "kept")
    again = anchors.code_clip(frames, 25, "hevc", 40, cache=tmp_path / "kept")
    assert calls == ["hevc", "hevc", "hevc"]  # coded, decoded, decoded
    np.testing.assert_array_equal(first.frames, again.frames)
    assert again.bytes == first.bytes and again.encode_seconds == first.encode_seconds > 0
    anchors.code_clip(frames, 25, "hevc", 41, cache=tmp_path / "kept")
    anchors.code_clip(frames[:2], 25, "hevc", 40, cache=tmp_path / "kept")
    assert len(calls) == 7 and len(list((tmp_path / "kept").iterdir())) == 6


def test_anchor_names_say_codec_and_scale():
    assert anchor_codecs.codec_and_scale("vvc-ld-half") == ("vvc-ld", 0.5)
    assert anchor_codecs.codec_and_scale("av1") == ("av1", 1.0)
    for name in anchor_codecs.ANCHORS:
        qps, codec = anchor_codecs.default_qps(name), anchor_codecs.codec_and_scale(name)[0]
        low, high = anchor_codecs.CODECS[codec].qp_range
        assert len(qps) == 4 and low <= min(qps) and max(qps) <= high
