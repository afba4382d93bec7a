import av
import numpy as np
import pytest

from hvc_jax import keyframes
from hvc_jax.keyframes import av1, gop, parameter_sets, vvc, vvc_units
from hvc_jax.keyframes.decoder import BITS
from hvc_jax.keyframes.picture import planes_of
from hvc_jax.ops.color import yuv420_to_rgb

needs_vvc = pytest.mark.skipif(not vvc.available(), reason="this ffmpeg has no libvvenc")
needs_av1 = pytest.mark.skipif(not av1.available(), reason="this PyAV has no SVT-AV1")
CODECS = [pytest.param("vvc", marks=needs_vvc), pytest.param("av1", marks=needs_av1)]
SIZE = 64, 96
QP = 28


def _pictures(count, height=SIZE[0], width=SIZE[1]):
    """A textured disc that moves over a still, textured background."""
    rng = np.random.default_rng(0)
    back = np.kron(rng.integers(60, 160, (height // 8, width // 8, 3)), np.ones((8, 8, 1)))
    disc = np.kron(rng.integers(90, 250, (height // 4, width // 4, 3)), np.ones((4, 4, 1)))
    y, x = np.mgrid[:height, :width]
    pictures = []
    for t in range(count):
        inside = (y - height / 2) ** 2 + (x - width / 3 - 2 * t) ** 2 < (height / 4) ** 2
        moved = np.roll(disc, 2 * t, axis=1)
        pictures.append(np.where(inside[..., None], moved, back).astype(np.uint8))
    return pictures


def _encode(count=6, codec="vvc", low_delay=False, **more):
    return keyframes.encode_sequence(
        _pictures(count), QP, low_delay=low_delay, codec=codec, preset="fast", **more
    )


def _decode(coded, height, width):
    """The pictures of a whole sequence, in the order of display."""
    decoder = keyframes.SequenceDecoder(height, width)
    shown = {key.index: decoder.push(key.codec, key.payload) for key in coded}
    return [shown[index] for index in sorted(shown)]


def _psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def _bytes(coded):
    return sum(len(key.payload) for key in coded)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("low_delay", [True, False])
def test_round_trip(codec, low_delay):
    pictures = _pictures(6)
    coded = _encode(6, codec, low_delay)
    assert sorted(key.index for key in coded) == list(range(6))
    assert coded[0].index == 0
    if low_delay:
        assert [key.index for key in coded] == list(range(6))
    back = _decode(coded, *SIZE)
    for index, picture in enumerate(back):
        assert picture.shape == (*SIZE, 3) and picture.dtype == np.uint8
        assert np.argmax([_psnr(picture, p) for p in pictures]) == index
        assert _psnr(picture, pictures[index]) > 25


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("low_delay", [True, False])
def test_prefix_shows_the_same_pictures(codec, low_delay):
    """Every picture is there as soon as its payload is, and does not depend on later ones."""
    coded = _encode(6, codec, low_delay)
    whole = _decode(coded, *SIZE)
    for length in range(1, 6):
        decoder = keyframes.SequenceDecoder(*SIZE)
        for key in coded[:length]:
            shown = decoder.push(key.codec, key.payload)
            np.testing.assert_array_equal(shown, whole[key.index])


@needs_vvc
@pytest.mark.parametrize("low_delay", [True, False])
def test_pictures_are_those_of_a_standard_player(low_delay):
    """Payloads as one .266 file, decoded with libvvenc's own SPS and output order."""
    coded = _encode(6, "vvc", low_delay)
    stream = b"".join(vvc.annex_b(key.payload, *SIZE) for key in coded)
    context = av.CodecContext.create("vvc", "r")
    packets = context.parse(stream) + context.parse(None)
    frames = [frame for packet in packets for frame in context.decode(packet)]
    frames += context.decode(None)
    back = _decode(coded, *SIZE)
    assert len(frames) == len(back)
    for frame, picture in zip(frames, back, strict=True):
        planes = planes_of(frame)
        np.testing.assert_array_equal(yuv420_to_rgb(*planes, BITS), picture)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("low_delay", [True, False])
def test_prediction_pays(codec, low_delay):
    coded = _encode(6, codec, low_delay)
    alone = [keyframes.encode(p, QP, codec) for p in _pictures(6)]
    assert _bytes(coded) < 0.7 * _bytes(alone)


@needs_vvc
@pytest.mark.parametrize("low_delay", [True, False])
def test_payloads_are_smaller_than_the_elementary_stream(low_delay):
    coded = _encode(6, "vvc", low_delay)
    stream = [vvc.annex_b(key.payload, *SIZE) for key in coded]
    sets = vvc_units.unpack(coded[0].payload, SIZE[1], SIZE[0])[:2]
    headers = sum(4 + len(unit) for unit in sets)
    assert _bytes(coded) <= sum(len(unit) for unit in stream) - headers - 4 * len(coded)


@pytest.mark.parametrize("codec", CODECS)
def test_one_picture_is_todays_intra_picture(codec):
    picture = _pictures(1)[0]
    (key,) = _encode(1, codec)
    assert key == (0, *keyframes.encode(picture, QP, codec))
    assert keyframes.encode_sequence([], QP, low_delay=True, codec=codec) == []


@pytest.mark.parametrize("codec", CODECS)
def test_an_intra_payload_starts_again(codec):
    coded = _encode(3, codec)
    still = keyframes.encode(_pictures(9)[8], QP, codec)
    decoder = keyframes.SequenceDecoder(*SIZE)
    first = [decoder.push(key.codec, key.payload) for key in coded]
    shown = decoder.push(*still)
    np.testing.assert_array_equal(shown, keyframes.decode(*still, *SIZE))
    again = [decoder.push(key.codec, key.payload) for key in coded]
    np.testing.assert_array_equal(first, again)


@needs_vvc
@needs_av1
def test_the_codec_may_change_at_an_intra_payload():
    vvc_keys, av1_keys = _encode(2, "vvc"), _encode(2, "av1")
    decoder = keyframes.SequenceDecoder(*SIZE)
    for key in [*vvc_keys, *av1_keys, *vvc_keys]:
        decoder.push(key.codec, key.payload)
    with pytest.raises(keyframes.KeyPictureError, match="missing"):
        decoder.push(av1_keys[1].codec, av1_keys[1].payload)


@pytest.mark.parametrize("codec", CODECS)
def test_a_predicted_payload_needs_its_sequence(codec):
    coded = _encode(3, codec)
    decoder = keyframes.SequenceDecoder(*SIZE)
    with pytest.raises(keyframes.KeyPictureError, match="start at an intra one"):
        decoder.push(coded[1].codec, coded[1].payload)
    decoder.push(coded[0].codec, coded[0].payload)
    decoder.lose()
    with pytest.raises(keyframes.KeyPictureError, match="start at an intra one"):
        decoder.push(coded[2].codec, coded[2].payload)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("low_delay", [True, False])
def test_damage_raises_or_gives_a_picture(codec, low_delay):
    coded = _encode(5, codec, low_delay)
    rng = np.random.default_rng(0)
    for trial in range(60):
        payloads = [key.payload for key in coded]
        if trial % 4 == 0:
            payloads = [payloads[0], *(payloads[i] for i in 1 + rng.permutation(4))]
        if trial % 4 == 1:
            payloads.pop(rng.integers(1, 5))
        for _ in range(trial % 3):
            at = rng.integers(len(payloads))
            damaged = bytearray(payloads[at] or b"\x80")
            damaged[rng.integers(len(damaged))] = rng.integers(256)
            payloads[at] = bytes(damaged[: rng.integers(len(damaged))] if trial % 5 else damaged)
        decoder = keyframes.SequenceDecoder(*SIZE)
        for payload in payloads:
            try:
                assert decoder.push(coded[0].codec, payload).shape == (*SIZE, 3)
            except keyframes.KeyPictureError as error:
                assert "\n" not in str(error)


def test_units_in_any_temporal_layer_are_packed():
    for layer in range(6):
        aps = bytes([0, 17 << 3 | layer + 1]) + b"adaptation"
        for kind in (0, 1):
            units = [aps, aps, bytes([0, kind << 3 | layer + 1]) + b"slice"]
            payload = vvc_units.pack(units, 64, 64)
            assert len(payload) == 1 + 2 * 11 + 5
            assert vvc_units.unpack(payload, 64, 64) == units
            raw = bytes([255]) + vvc_units.annex_b(units)
            assert vvc_units.unpack(raw, 64, 64) == units


@needs_vvc
@pytest.mark.parametrize("low_delay", [True, False])
def test_keys_are_appended_by_coding_again(low_delay):
    structure = (gop.LOW_DELAY if low_delay else gop.REORDERED)._replace(looks_ahead=False)
    short, long = (_encode(n, low_delay=low_delay, structure=structure) for n in (5, 9))
    assert long[:5] == short


@needs_vvc
@pytest.mark.parametrize("preset", ["fast", "medium", "slow"])
@pytest.mark.parametrize(
    "structure", [gop.LOW_DELAY, gop.REORDERED, gop.REORDERED._replace(looks_ahead=False)]
)
def test_built_parameter_sets_are_those_of_libvvenc(preset, structure):
    """Then nothing of them is in the payload; 255 would say that they had to be sent."""
    pictures = _pictures(2, 64, 64)
    for perceptual in (False, True):
        key = vvc.encode_sequence(pictures, 50, structure, preset, perceptual)[0]
        assert key[0] >> 4 == 2


@needs_vvc
@pytest.mark.parametrize("size", [(64, 1024), (1024, 64), (384, 256), (2048, 64)])
def test_built_parameter_sets_serve_other_sizes(size):
    coded = keyframes.encode_sequence(
        _pictures(2, *size), 60, low_delay=False, codec="vvc", preset="fast"
    )
    assert coded[0].payload[0] >> 4 == 2
    assert _decode(coded, *size)[1].shape == (*size, 3)


@needs_vvc
def test_foreign_parameter_sets_are_sent(monkeypatch):
    short = _encode(3)
    monkeypatch.setattr(parameter_sets, "find", lambda *_: None)
    long = _encode(3)
    monkeypatch.undo()
    assert long[0].payload[0] == 255 and len(long[0].payload) > len(short[0].payload) + 40
    assert [key.payload for key in long[1:]] == [key.payload for key in short[1:]]
    np.testing.assert_array_equal(_decode(long, *SIZE), _decode(short, *SIZE))


@needs_vvc
def test_a_predicted_payload_brings_no_parameter_sets():
    """Else a hostile one could ask for another size in the middle of a sequence."""
    coded = _encode(2)
    units = vvc_units.unpack(coded[0].payload, SIZE[1], SIZE[0])
    predicted = vvc_units.unpack(coded[1].payload, SIZE[1], SIZE[0])
    raw = bytes([255]) + vvc_units.annex_b([*units[:2], *predicted])
    decoder = keyframes.SequenceDecoder(*SIZE)
    decoder.push(coded[0].codec, coded[0].payload)
    shown = decoder.push(coded[1].codec, raw)  # sets in front of a predicted slice are dropped
    np.testing.assert_array_equal(shown, _decode(coded, *SIZE)[1])


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16])
def test_halving_refers_to_coded_pictures_only(size):
    structure = gop.Structure(False, size, (1, 2), 2, True)
    for count in (1, 2, 7, 2 * size + 1, 3 * size + 2):
        order = gop.coded_order(count, structure)
        assert sorted(order) == list(range(count)) and order[0] == 0
    entries = gop.entries(structure)
    known = {0, -size}
    for entry in entries:
        assert set(entry.forward) | set(entry.backward) <= known
        known.add(entry.position)


def test_bad_requests_are_refused():
    with pytest.raises(keyframes.KeyPictureError, match="out of range"):
        keyframes.encode_sequence(_pictures(2), 64, low_delay=True)
    with pytest.raises(keyframes.KeyPictureError, match="disagree"):
        keyframes.encode_sequence(_pictures(2), 40, low_delay=True, structure=gop.REORDERED)
    with pytest.raises(keyframes.KeyPictureError, match="one size"):
        keyframes.encode_sequence([*_pictures(1), *_pictures(1, 64, 64)], 40, low_delay=True)
    with pytest.raises(keyframes.KeyPictureError, match="unknown"):
        keyframes.SequenceDecoder(64, 64).push(9, b"abc")


def test_adaptation_parameter_sets_stand_in_the_layer_of_their_picture() -> None:
    sets, picture = b"\x00\x8a\x06\xc1", b"\x00\x0a" + bytes(range(9))
    payload = vvc_units.pack([sets, picture], 64, 64)
    assert payload[0] < 0xFF  # not as libvvenc wrote it
    assert vvc_units.unpack(payload, 64, 64) == [sets, picture]
    other = vvc_units.pack([b"\x00\x89\x06\xc1", picture], 64, 64)
    assert other[0] == 0xFF
    assert vvc_units.unpack(other, 64, 64) == [b"\x00\x89\x06\xc1", picture]
