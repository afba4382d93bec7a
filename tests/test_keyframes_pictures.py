import os

import numpy as np
import pytest

from hvc_jax import keyframes
from hvc_jax.keyframes import av1, parameter_sets, vvc

needs_vvc = pytest.mark.skipif(not vvc.available(), reason="this ffmpeg has no libvvenc")
needs_av1 = pytest.mark.skipif(not av1.available(), reason="this PyAV has no SVT-AV1")
CODECS = [pytest.param("vvc", marks=needs_vvc), pytest.param("av1", marks=needs_av1)]


def _picture(height=64, width=72, shift=0):
    y, x = np.mgrid[:height, :width]
    disc = (y - height / 2) ** 2 + (x - width / 2 - shift) ** 2 < (height / 4) ** 2
    channels = [60 + x * 120 // width, 40 + y * 150 // height, 90 + 100 * disc]
    return np.stack(channels, -1).astype(np.uint8)


def _psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [(64, 72), (57, 33), (16, 200)])
def test_round_trip_of_any_size(codec, size):
    picture = _picture(*size)
    number, payload = keyframes.encode(picture, 27, codec)
    back = keyframes.decode(number, payload, *size)
    assert back.shape == picture.shape and back.dtype == np.uint8
    assert _psnr(back, picture) > 30


@pytest.mark.parametrize("codec", CODECS)
def test_qp_trades_bytes_for_quality(codec):
    picture = _picture(128, 128)
    fine, coarse = (keyframes.encode(picture, qp, codec) for qp in (22, 47))
    assert len(fine.payload) > 1.5 * len(coarse.payload)
    assert _psnr(keyframes.decode(*fine, 128, 128), picture) > 3 + _psnr(
        keyframes.decode(*coarse, 128, 128), picture
    )


@needs_vvc
@pytest.mark.parametrize("preset", ["medium", "fast"])
@pytest.mark.parametrize("size", [(64, 64), (136, 72), (256, 256), (384, 384), (1024, 64)])
def test_built_parameter_sets_are_those_of_libvvenc(preset, size):
    """Then nothing of them is in the payload; 255 would say that they had to be sent."""
    payload = vvc.encode(_picture(*size), 50, preset)
    assert payload[0] >> 4 == ("medium", "fast").index(preset)


@needs_vvc
def test_foreign_parameter_sets_are_sent(monkeypatch):
    picture = _picture()
    short = vvc.encode(picture, 40)
    monkeypatch.setattr(parameter_sets, "find", lambda *_: None)
    long = vvc.encode(picture, 40)
    assert long[0] == 255 and len(long) > len(short) + 40
    monkeypatch.undo()
    np.testing.assert_array_equal(vvc.Decoder(64, 72).push(long), vvc.Decoder(64, 72).push(short))


@needs_vvc
def test_decoding_needs_no_encoder(monkeypatch):
    number, payload = keyframes.encode(_picture(), 40, "vvc")

    def missing():
        raise RuntimeError("no ffmpeg")

    monkeypatch.setattr(vvc.ffmpeg, "run", missing)
    assert keyframes.decode(number, payload, 64, 72).shape == (64, 72, 3)


@needs_vvc
def test_annex_b_is_a_plain_stream():
    import av

    payload = vvc.encode(_picture(), 40)
    context = av.CodecContext.create("vvc", "r")
    stream = vvc.annex_b(payload, 64, 72)
    frames = context.decode(av.Packet(stream)) + context.decode(None)
    assert (frames[0].width, frames[0].height) == (72, 64)


@pytest.mark.parametrize("codec", CODECS)
def test_many_at_once_keep_their_order(codec):
    pictures = [_picture(shift=s) for s in (-10, 0, 10)]
    coded = keyframes.encode_pictures(pictures, 32, codec=codec)
    for i, picture in enumerate(pictures):
        assert np.argmax([_psnr(c, picture) for c in coded]) == i
    assert keyframes.encode_pictures([], 32) == []


@pytest.mark.parametrize("codec", CODECS)
def test_damage_raises_or_gives_a_picture(codec):
    number, payload = keyframes.encode(_picture(), 30, codec)
    rng = np.random.default_rng(0)
    hostile = [b"", b"\x00", payload[:1], payload[:7], payload[: len(payload) // 2], bytes(200)]
    hostile += [bytes([value]) + payload[1:] for value in (15, 32, 240, 254, 255)]
    for _ in range(20):
        flipped = bytearray(payload)
        flipped[rng.integers(len(payload))] ^= 1 << rng.integers(8)
        hostile.append(bytes(flipped))
    for data in hostile:
        try:
            assert keyframes.decode(number, data, 64, 72).shape == (64, 72, 3)
        except keyframes.KeyPictureError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="no such system call here")
def test_the_process_keeps_its_scheduling(codec):
    before = os.sched_getscheduler(0)
    keyframes.encode(_picture(), 30, codec)
    assert os.sched_getscheduler(0) == before


@needs_av1
def test_another_size_than_promised_is_refused():
    number, payload = keyframes.encode(_picture(), 30, "av1")
    with pytest.raises(keyframes.KeyPictureError, match="not 128x128"):
        keyframes.decode(number, payload, 128, 128)


@needs_vvc
def test_a_hostile_size_is_not_allocated():
    big = vvc.annex_b(vvc.encode(_picture(512, 512), 40), 512, 512)
    with pytest.raises(keyframes.KeyPictureError):
        vvc.Decoder(64, 72).push(bytes([255]) + big)


def test_bad_requests_are_refused():
    for arguments in ({"qp": 64}, {"qp": -1}, {"codec": "jpeg"}):
        with pytest.raises(keyframes.KeyPictureError):
            keyframes.encode(_picture(), **arguments)
    with pytest.raises(keyframes.KeyPictureError, match="unknown"):
        keyframes.decode(9, b"abc", 64, 72)


def test_av1_takes_over_where_vvc_is_missing(monkeypatch):
    monkeypatch.setattr(vvc, "available", lambda: False)
    assert keyframes.encode(_picture(), 40).codec == keyframes.AV1
    with pytest.raises(keyframes.KeyPictureError, match="cannot write vvc"):
        keyframes.encode(_picture(), 40, "vvc")
