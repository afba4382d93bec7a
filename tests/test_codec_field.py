"""Sparse key pictures and fields between them, through the whole codec on small pictures."""

import io
from fractions import Fraction

import numpy as np
import pytest
from tiny_export import make_generator

from hvc_jax.body.params import identity_vector
from hvc_jax.codec.field_codec import FieldCodec
from hvc_jax.codec.field_conceal import FieldRepairingDecoder
from hvc_jax.codec.field_encoder import LONGEST_SEGMENT, SEARCH_BYTES, segment_frames
from hvc_jax.codec.field_group import references_at, render, rendered
from hvc_jax.codec.memory import DEFAULT_MAX_MEMORY
from hvc_jax.codec.options import CodecError, EncodeOptions
from hvc_jax.codec.rate import descend, key_places, missed
from hvc_jax.codec.segment import unit_ranges
from hvc_jax.models.export import Export, ExportError, load_export
from hvc_jax.stream import binary_coder
from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.edit import edit
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.operations import parse_assignment
from hvc_jax.stream.tracks import read_tracks
from hvc_jax.stream.units import UnitType

SIDE, COUNT, FPS = 64, 13, Fraction(25)
FAST = EncodeOptions(effort=0, key_spacing=4, key_qp=30)


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    """A textured picture that slides and turns a little: [T, H, W, 3] uint8."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    frames = []
    for t in range(COUNT):
        u, v = x + 1.5 * t, y + 0.05 * t * (x - 32)
        wave = np.sin(u / 5) * np.cos(v / 7) + np.sin((u + v) / 11)
        frames.append(np.stack([128 + 50 * wave, 128 + 40 * np.roll(wave, 9, 1), 90 + u], -1))
    return np.clip(np.stack(frames), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def coded(clip: np.ndarray) -> bytes:
    return FieldCodec().encode(clip, fps=FPS, options=FAST, frame_count=COUNT)


@pytest.fixture(scope="module")
def divided(clip: np.ndarray) -> tuple[bytes, list[np.ndarray]]:
    """A stream with an intra key picture every five frames, and its frames."""
    options = EncodeOptions(effort=0, key_spacing=4, key_qp=30, key_every=5)
    data = FieldCodec().encode(clip, fps=FPS, options=options, frame_count=COUNT)
    return data, list(FieldCodec().decode(data))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean(np.square(a.astype(float) - b))))


def test_frames_come_back_and_are_near(clip: np.ndarray, coded: bytes) -> None:
    decoded = np.stack(list(FieldCodec().decode(coded)))
    assert decoded.shape == clip.shape and psnr(decoded, clip) > 28
    hold = np.broadcast_to(decoded[:1], clip.shape)
    assert psnr(decoded, clip) > psnr(hold, clip) + 6
    types = [unit.type for unit in StreamReader(io.BytesIO(coded)).units()]
    assert types == [UnitType.KEY, UnitType.FIELD]


def _coded_with(clip: np.ndarray, changed: dict[int, float]) -> tuple[list[int], np.ndarray]:
    """Frames of intra keys of the clip with some frames pulled to white, and PSNR of its frames."""
    lit = clip.copy()
    for t, left in changed.items():
        lit[t] = 255 - left * (255 - clip[t])
    data = FieldCodec().encode(lit, fps=FPS, options=FAST, frame_count=COUNT)
    units = list(StreamReader(io.BytesIO(data)).units())
    shown = list(FieldCodec().decode(data))
    assert len(shown) == COUNT
    scores = np.array([psnr(a, b) for a, b in zip(shown, lit, strict=True)])
    return [u.frame for u in units if u.type == UnitType.KEY], scores


@pytest.mark.parametrize("flash", [{6: 0.2}, {5: 0.1, 6: 0.4}, {12: 0.2}, {1: 0.3, 2: 0.3}])
def test_a_flash_costs_predicted_key_pictures(clip: np.ndarray, flash: dict[int, float]) -> None:
    """No scene cut, and no frame looks at what the flash shows; at the end it may be a cut."""
    keys, scores = _coded_with(clip, flash)
    assert keys == [0, 12] if 12 in flash else keys == [0]
    assert scores.min() > 26


def test_what_stays_changed_is_a_scene_of_its_own(clip: np.ndarray) -> None:
    keys, scores = _coded_with(clip, dict.fromkeys(range(5, 11), 0.2))
    assert keys == [0, 5, 11] and scores.min() > 26


def test_coding_is_deterministic(clip: np.ndarray, coded: bytes) -> None:
    again = FieldCodec().encode(iter(clip), fps=FPS, options=FAST, frame_count=COUNT)
    assert again == coded


def test_a_part_is_the_part_of_the_whole(coded: bytes) -> None:
    whole = list(FieldCodec().decode(coded))
    part = list(FieldCodec().decode(io.BytesIO(coded), 5, 9))
    np.testing.assert_array_equal(part, whole[5:9])


def test_intra_keys_divide_and_damage_ends_at_them(divided: tuple) -> None:
    data, whole = divided
    units = list(StreamReader(io.BytesIO(data)).units())
    assert [u.frame for u in units if u.type == UnitType.KEY] == [0, 5, 10]
    second = next(u for u in units if u.type == UnitType.KEY and u.frame == 5)
    broken = bytearray(data)
    broken[second.offset + second.size // 2] ^= 0x55
    with pytest.raises(BitstreamError):
        list(FieldCodec().decode(bytes(broken)))
    repair = FieldRepairingDecoder(FieldCodec(), io.BytesIO(bytes(broken)))
    frames = list(repair.frames())
    assert repair.held == [5, 6, 7, 8, 9] and repair.lost_keys == [5]
    np.testing.assert_array_equal(frames[:5] + frames[10:], whole[:5] + whole[10:])
    np.testing.assert_array_equal(frames[7], whole[4])


def test_a_key_picture_is_held_where_its_field_is_lost(divided: tuple) -> None:
    data, whole = divided
    broken = bytearray(data)
    for unit in StreamReader(io.BytesIO(data)).units():
        if unit.type == UnitType.FIELD and unit.frame < 10:
            broken[unit.offset + unit.size // 2] ^= 0x55
    frames = list(FieldRepairingDecoder(FieldCodec(), io.BytesIO(bytes(broken))).frames())
    np.testing.assert_array_equal(frames[:5], np.broadcast_to(whole[0], (5, *whole[0].shape)))
    np.testing.assert_array_equal(frames[5:10], np.broadcast_to(whole[5], (5, *whole[0].shape)))
    np.testing.assert_array_equal(frames[10:], whole[10:])


def test_little_memory_draws_fewer_frames_at_once_or_says_what_is_missing(coded: bytes) -> None:
    whole = list(FieldCodec().decode(coded))
    needed = []
    for max_memory in (1, 1 << 17):
        with pytest.raises(CodecError, match=r"add --max-memory \d+G") as caught:
            list(FieldCodec(max_memory=max_memory).decode(coded))
        needed.append(str(caught.value).split()[0])
    assert needed == ["4", "warping"]  # the key pictures, then what is drawn at once
    few = list(FieldCodec(max_memory=1 << 20).decode(coded))
    assert np.abs(np.stack(few).astype(int) - np.stack(whole)).max() <= 1


def test_frames_between_adjacent_key_pictures_are_those_that_are_drawn_alone() -> None:
    """So few frames look into more pictures than a batch takes."""
    rng = np.random.default_rng(1)
    keys = np.array([0, 3, 4, 5, 7, 8, 10])
    times = np.array([1, 6, 9])
    pictures = list(rng.integers(0, 256, (len(keys), 32, 32, 3)).astype(np.uint8))
    points = rng.normal(0, 2, (len(times), 4, 4, 5)).astype(np.float32)
    references = references_at(times, keys, pictures)
    assert len(np.unique([references.past, references.future])) > len(times) + 1
    together = render(references, points)
    for i, t in enumerate(times):
        alone = render(references_at(np.array([t]), keys, pictures), points[i : i + 1])
        assert np.abs(together[i].astype(int) - alone[0]).max() <= 1
    few = list(rendered(references, points, None, 1 << 18))
    assert np.abs(np.stack(few).astype(int) - together).max() <= 1


def test_units_are_divided_where_a_field_has_too_many_bits(
    clip: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = EncodeOptions(effort=0, key_spacing=64, lmbda=1e-3)
    monkeypatch.setattr(binary_coder, "MAX_BITS", 6000)
    data = FieldCodec().encode(clip, fps=FPS, options=options, frame_count=COUNT)
    units = [u for u in StreamReader(io.BytesIO(data)).units() if u.type == UnitType.FIELD]
    assert len(units) > 1 and len(list(FieldCodec().decode(data))) == COUNT


def test_hostile_bytes_are_errors_or_frames(coded: bytes) -> None:
    rng = np.random.default_rng(0)
    for _ in range(12):
        data = bytearray(coded)
        for at in rng.integers(40, len(data), 3):
            data[at] = rng.integers(256)
        repair = FieldRepairingDecoder(FieldCodec(), io.BytesIO(bytes(data)))
        assert sum(1 for _ in repair.frames()) == COUNT


def test_a_hybrid_is_edited_on_top_of_what_was_decoded(clip: np.ndarray, coded: bytes) -> None:
    export = load_export("semantic")
    bodies = np.stack([identity_vector() for _ in range(COUNT)])
    hybrid = FieldCodec(export)
    data = hybrid.encode(clip, fps=FPS, options=FAST, frame_count=COUNT, bodies=bodies)
    plain = np.stack(list(hybrid.decode(data)))
    np.testing.assert_array_equal(plain, list(FieldCodec().decode(coded)))
    operations = [parse_assignment("left_shoulder_z-=45deg", 4, 8)]
    changed = edit(data, operations, export.tables)
    keys = [
        [u.payload for u in StreamReader(io.BytesIO(d)).units() if u.type != UnitType.EDIT][:4]
        for d in (data, changed)
    ]
    assert keys[0] == keys[1]  # KEY, STATIC, MOTION and FIELD are what they were
    edited = np.stack(list(hybrid.decode(changed)))
    difference = np.abs(edited.astype(int) - plain).max((1, 2, 3))
    assert (difference[4:8] > 20).all() and not difference[:4].any() and not difference[8:].any()
    before, after = (read_tracks(d, export.tables) for d in (data, changed))
    slot = [s.name for s in before.schema.dynamic].index("left_shoulder_z")
    moved = after.values[:, slot] - before.values[:, slot]
    assert np.abs(moved[4:8] + np.radians(45)).max() < 0.05 and not moved[:4].any()
    undone = edit(changed, [parse_assignment("left_shoulder_z+=45deg", 4, 8)], export.tables)
    np.testing.assert_array_equal(list(hybrid.decode(undone)), plain)
    taller = edit(data, [parse_assignment("tall+=1")], export.tables)
    difference = np.abs(np.stack(list(hybrid.decode(taller))).astype(int) - plain)
    assert (difference.max((1, 2, 3)) > 20).all()


@pytest.fixture(scope="module")
def generators(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Export]:
    """Exports of a small generator that acts a little, by variant."""
    folder, tables = tmp_path_factory.mktemp("models"), load_export("semantic").tables
    return {"field": make_generator(folder), "hybrid": make_generator(folder, tables)}


def test_a_generator_changes_what_is_shown_and_nothing_in_the_stream(
    clip: np.ndarray, coded: bytes, generators: dict[str, Export]
) -> None:
    codec = FieldCodec(generators["field"])
    data = codec.encode(clip, fps=FPS, options=FAST, frame_count=COUNT)
    units = [[u.payload for u in StreamReader(io.BytesIO(d)).units()] for d in (data, coded)]
    assert units[0] == units[1] and data != coded  # the header names the model
    shown, blend = (np.stack(list(c.decode(d))) for c, d in ((codec, data), (FieldCodec(), coded)))
    assert (shown != blend).any((1, 2, 3)).sum() > COUNT // 2 and psnr(shown, blend) > 25
    np.testing.assert_array_equal(shown, list(codec.decode(data)))
    few = FieldCodec(generators["field"], max_memory=4 << 20)  # as fewer frames at once
    assert np.abs(np.stack(list(few.decode(data))).astype(int) - shown).max() <= 1
    with pytest.raises(CodecError, match="this codec is of field, 00000000"):
        next(FieldCodec().decode(data))
    with pytest.raises(ExportError, match="no parameters to code"):
        _ = generators["field"].tables
    # A hybrid shows what the field alone does.
    bodies = np.stack([identity_vector() for _ in range(COUNT)])
    codec = FieldCodec(generators["hybrid"])
    hybrid = codec.encode(clip, fps=FPS, options=FAST, frame_count=COUNT, bodies=bodies)
    np.testing.assert_array_equal(shown, list(codec.decode(hybrid)))
    assert read_tracks(hybrid, generators["hybrid"].tables).values.shape[0] == COUNT


def test_another_codec_says_so(coded: bytes) -> None:
    with pytest.raises(CodecError, match="variant field"):
        next(FieldCodec(load_export("semantic")).decode(coded))


def test_key_pictures_stand_evenly_with_one_at_the_end() -> None:
    assert key_places(64, 8) == [0, 8, 16, 24, 32, 39, 47, 55, 63]
    assert key_places(64, 64) == [0] and key_places(2, 1) == [0, 1]
    for count in range(2, 40):
        for spacing in range(1, count):
            places = key_places(count, spacing)
            assert places[0] == 0 and places[-1] == count - 1 and (np.diff(places) > 0).all()


def test_units_end_behind_key_pictures_and_cover_all_frames() -> None:
    for count, spacing in ((256, 8), (256, 100), (64, 64), (5, 2)):
        places = key_places(count, spacing)
        ranges = unit_ranges(places, count)
        assert [a for a, _ in ranges] == [0, *(b for _, b in ranges[:-1])]
        assert ranges[-1][1] == count
        assert all(b - 1 in places for _, b in ranges[:-1])


def test_descending_finds_the_lowest_of_a_valley() -> None:
    for lowest in range(5):
        assert descend(range(5), lambda x, at=lowest: (x - at) ** 2, start=1) == lowest


def test_a_missed_target_says_why() -> None:
    assert missed(1029, 1000) is None and missed(971, 1000) is None and missed(5, 0) is None
    assert "coarsest" in missed(1040, 1000) and "+4 %" in missed(1040, 1000)
    assert "finest" in missed(900, 1000)


def test_a_target_is_met(clip: np.ndarray, coded: bytes) -> None:
    target = len(coded) * 3 // 4
    options = EncodeOptions(effort=0, key_spacing=4, target_bytes=target)
    made = FieldCodec().encode(clip, fps=FPS, options=options, frame_count=COUNT)
    assert missed(len(made), target) is None


def test_segments_are_as_long_as_memory_allows():
    assert segment_frames(256, 256, 0, DEFAULT_MAX_MEMORY) == LONGEST_SEGMENT
    assert segment_frames(256, 256, 40, DEFAULT_MAX_MEMORY) == 40
    frame = 1024 * 1024 * 3 * SEARCH_BYTES
    assert segment_frames(1024, 1024, 0, 5 * frame) == 5
    assert segment_frames(1024, 1024, 0, None) == LONGEST_SEGMENT  # without delay
    with pytest.raises(CodecError, match=r"coding two frames of 1024x1024.*--max-memory 1G"):
        segment_frames(1024, 1024, 0, frame)
