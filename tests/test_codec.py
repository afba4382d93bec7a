"""Codec: what is decoded from the bytes alone, streaming, and streams that do not fit."""

import io
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_export import FPS, SIDE, make_bodies, make_export, make_frames

from hvc_jax import keyframes
from hvc_jax.codec.codec import Codec
from hvc_jax.codec.latent_encoder import _CHUNK
from hvc_jax.codec.networks import BATCH
from hvc_jax.codec.options import CodecError, EncodeOptions, Source, check_side
from hvc_jax.stream.container import StreamReader, key_unit
from hvc_jax.stream.edit import edit
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.operations import parse_assignment
from hvc_jax.stream.units import UnitType

COUNT = 19  # two full batches and a short one


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def semantic(folder: Path) -> Codec:
    return Codec(make_export(folder, "semantic"))


@pytest.fixture(scope="module")
def keypoint(folder: Path) -> Codec:
    return Codec(make_export(folder, "keypoint"))


def code(codec: Codec, count: int = COUNT, **options: int) -> bytes:
    """The stream of the toy clip."""
    out = io.BytesIO()
    codec.encode(
        iter(make_frames(count)),
        out,
        fps=FPS,
        options=EncodeOptions(key_codec="av1", hold=False, **options),
        source=Source("crop", 80, 64),
        bodies=make_bodies(count),
    )
    return out.getvalue()


def decode(codec: Codec, data: bytes) -> np.ndarray:
    return np.stack(list(codec.decode(io.BytesIO(data))))


def units_of(data: bytes, type_: int) -> list:
    return [unit for unit in StreamReader(io.BytesIO(data)).units() if unit.type == type_]


def test_encoding_holds_a_bounded_part_of_the_clip(semantic: Codec) -> None:
    count, alive, most, written = 420, 0, 0, []

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def frames() -> Iterator[np.ndarray]:
        nonlocal alive, most
        for i in range(count):
            frame = np.full((SIDE, SIDE, 3), i % 7, np.uint8)
            weakref.finalize(frame, gone)
            alive += 1
            most = max(most, alive)
            written.append(out.tell())
            yield frame

    out = io.BytesIO()
    options = EncodeOptions(key_codec="av1", hold=False, group_frames=16, cuts=False)
    semantic.encode(frames(), out, fps=FPS, options=options, bodies=make_bodies(count))
    assert most <= 2 * _CHUNK + 2
    assert written[2 * _CHUNK + 2] > written[1]  # units leave before the clip has ended


def test_stream_decodes_to_the_clip_and_its_header(semantic: Codec) -> None:
    data = code(semantic)
    header = StreamReader(io.BytesIO(data)).header
    assert (header.width, header.height, header.fps) == (SIDE, SIDE, FPS)
    assert (header.fit, header.source_width, header.source_height) == ("crop", 80, 64)
    frames = decode(semantic, data)
    assert frames.shape == (COUNT, SIDE, SIDE, 3) and frames.dtype == np.uint8
    key = key_unit(units_of(data, UnitType.KEY)[0])
    np.testing.assert_array_equal(frames[0], keyframes.decode(key.codec, key.payload, SIDE, SIDE))
    np.testing.assert_array_equal(frames, decode(semantic, data))


def test_frames_do_not_depend_on_the_batch_they_were_made_in(keypoint: Codec) -> None:
    whole = decode(keypoint, code(keypoint, group_frames=COUNT, rate_weight=0.0))
    parts = decode(keypoint, code(keypoint, group_frames=3, rate_weight=0.0))
    assert np.abs(whole.astype(int) - parts).max() <= 1


def test_key_frames_come_at_the_interval(semantic: Codec) -> None:
    data = code(semantic, key_every=7)
    assert [unit.frame for unit in units_of(data, UnitType.KEY)] == [0, 7, 14]
    assert len(decode(semantic, data)) == COUNT


def test_implicit_streams_say_so_and_decode(folder: Path) -> None:
    codec = Codec(make_export(folder, "implicit"))
    data = code(codec, count=5)
    assert StreamReader(io.BytesIO(data)).header.variant == "implicit"
    assert decode(codec, data).shape == (5, 64, 64, 3)


def test_decoding_starts_before_the_stream_ends(keypoint: Codec) -> None:
    file = io.BytesIO(code(keypoint, group_frames=4))
    next(keypoint.decode(file))
    assert file.tell() < len(file.getvalue()) - 20


def test_encoding_looks_a_bounded_way_ahead(keypoint: Codec) -> None:
    taken = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal taken
        for frame in np.resize(make_frames(8), (1000, SIDE, SIDE, 3)):
            taken += 1
            yield frame

    class Full(io.BytesIO):
        def write(self, data: bytes) -> int:
            if self.tell() > 100:
                raise OSError(28, "No space left on device")
            return super().write(data)

    with pytest.raises(OSError, match="No space"):
        keypoint.encode(
            endless(), Full(), fps=FPS, options=EncodeOptions(group_frames=BATCH, hold=False)
        )
    assert taken <= 128


def test_edit_moves_the_picture_and_keeps_the_key_bytes(semantic: Codec) -> None:
    data = code(semantic)
    edited = edit(data, [parse_assignment("head_yaw+=40deg")], semantic.export.tables)
    keys = [[unit.payload for unit in units_of(d, UnitType.KEY)] for d in (data, edited)]
    assert keys[0] == keys[1]
    before, after = decode(semantic, data), decode(semantic, edited)
    assert len(after) == COUNT
    assert (before[1:] != after[1:]).any()


def test_wrong_model_is_named(semantic: Codec, keypoint: Codec) -> None:
    with pytest.raises(CodecError, match=semantic.export.model_id.hex()):
        list(keypoint.decode(io.BytesIO(code(semantic, count=2))))


def test_cut_off_stream_gives_the_frames_before_the_cut(keypoint: Codec) -> None:
    data = code(keypoint, group_frames=8)
    last = units_of(data, UnitType.MOTION)[-1]
    frames = keypoint.decode(io.BytesIO(data[: last.offset + last.size - 3]))
    for _ in range(16):
        next(frames)
    with pytest.raises(BitstreamError):
        next(frames)


def test_missing_units_are_noticed(keypoint: Codec) -> None:
    data = code(keypoint, group_frames=8)
    for type_ in (UnitType.KEY, UnitType.STATIC, UnitType.MOTION):
        unit = units_of(data, type_)[0]
        with pytest.raises(BitstreamError):
            decode(keypoint, data[: unit.offset] + data[unit.offset + unit.size :])


def test_clips_that_do_not_fit_are_refused(semantic: Codec) -> None:
    def encode(frames: list[np.ndarray], bodies: np.ndarray | None = None) -> None:
        semantic.encode(frames, io.BytesIO(), fps=FPS, bodies=bodies)

    frames = list(make_frames(3))
    with pytest.raises(CodecError, match="fewer than two"):
        encode(frames[:1])
    with pytest.raises(CodecError, match="use 64"):
        encode([frame[:60] for frame in frames])
    with pytest.raises(CodecError, match="differ in size"):
        encode([*frames, frames[0][:32]], make_bodies(4))
    with pytest.raises(CodecError, match="body vectors"):
        encode(frames, make_bodies(2))
    with pytest.raises(CodecError, match="key_every"):
        EncodeOptions(key_every=-1)


@pytest.mark.parametrize(("pixels", "near"), [(250, 256), (10, 64), (5000, 2048), (0, 64)])
def test_sides_propose_the_nearest(pixels: int, near: int) -> None:
    assert check_side("--size", near) == near
    with pytest.raises(CodecError, match=f"use {near}"):
        check_side("--size", pixels)


def test_semantic_codes_square_pictures_and_says_so_before_it_writes(semantic: Codec) -> None:
    out = io.BytesIO()
    with pytest.raises(CodecError, match="square"):
        semantic.encode(np.zeros((3, 64, 96, 3), np.uint8), out, fps=FPS)
    assert out.getvalue() == b""


def test_streams_in_memory_are_those_in_files(keypoint: Codec) -> None:
    frames, options = make_frames(4), EncodeOptions(key_codec="av1")
    out = io.BytesIO()
    assert keypoint.encode(frames, out, fps=25, options=options) == b""
    data = keypoint.encode(frames, fps=25, options=options)
    assert data == out.getvalue()
    np.testing.assert_array_equal(list(keypoint.decode(data)), decode(keypoint, data))
