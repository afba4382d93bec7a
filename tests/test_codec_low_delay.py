"""Streams without lookahead: a frame's bytes leave when it came, and depend on nothing later."""

import dataclasses
import io
import os
import threading

import numpy as np
import pytest
from test_codec_field import FPS, SIDE, clip, psnr  # noqa: F401

from hvc_jax.body.params import identity_vector
from hvc_jax.codec import low_delay
from hvc_jax.codec.field_codec import FieldCodec
from hvc_jax.codec.field_conceal import FieldRepairingDecoder
from hvc_jax.codec.options import CodecError, EncodeOptions
from hvc_jax.keyframes.sequence import encode_sequence
from hvc_jax.models.export import load_export
from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.edit import edit
from hvc_jax.stream.field_unit import field_group
from hvc_jax.stream.operations import parse_assignment
from hvc_jax.stream.units import SHORT, UnitType

LIVE = EncodeOptions(effort=0, key_qp=30, key_spacing=5, lookahead=0)


def encoded(frames: np.ndarray, options: EncodeOptions = LIVE) -> bytes:
    return FieldCodec().encode(iter(frames), fps=FPS, options=options)


@pytest.fixture(scope="module")
def live(clip: np.ndarray) -> bytes:  # noqa: F811
    return encoded(clip)


def test_frames_come_back_and_are_near(clip: np.ndarray, live: bytes) -> None:  # noqa: F811
    decoded = np.stack(list(FieldCodec().decode(live)))
    assert psnr(decoded, clip) > 28
    units = [u for u in StreamReader(io.BytesIO(live)).units() if u.type == UnitType.FIELD]
    groups = [field_group(unit) for unit in units]
    assert [group.frame for group in groups] == list(range(len(clip)))
    assert [g.frame for g in groups if g.pictures] == [5, 10]
    assert all(p.frame == g.frame for g in groups for p in g.pictures)
    assert sum(live[unit.offset] >= SHORT for unit in units) == 10  # all but those at a key


def test_a_prefix_is_coded_as_the_whole(clip: np.ndarray, live: bytes) -> None:  # noqa: F811
    """So nothing that was sent for a frame depends on those after it."""
    units = list(StreamReader(io.BytesIO(live)).units())
    for count in (2, 6, 9):
        before = encoded(clip[:count])
        last = [u for u in StreamReader(io.BytesIO(before)).units() if u.type == UnitType.FIELD][-1]
        end = last.offset + last.size
        assert before[:end] == live[:end]
        assert end in [u.offset for u in units]


def test_later_frames_change_no_earlier_bytes(clip: np.ndarray) -> None:  # noqa: F811
    """Also where the encoder places its key pictures."""
    options = EncodeOptions(effort=0, key_qp=30, lookahead=0)
    one, other = clip[:9], clip[:9].copy()
    other[7:] = np.random.default_rng(0).integers(0, 255, other[7:].shape)
    both = [list(StreamReader(io.BytesIO(encoded(f, options))).units()) for f in (one, other)]
    same = [[u for u in units if u.frame < 7 and u.type != UnitType.INDEX] for units in both]
    assert same[0] == same[1] and both[0] != both[1]


def test_a_growing_stream_shows_frames_as_they_come(clip: np.ndarray) -> None:  # noqa: F811
    read, write = os.pipe()
    shown: list[np.ndarray] = []
    arrived = threading.Semaphore(0)

    def watch() -> None:
        with os.fdopen(read, "rb", buffering=0) as file:
            for frame in FieldCodec().decode(io.BufferedReader(file, 1)):
                shown.append(frame)
                arrived.release()

    def frames():  # noqa: ANN202
        for t, frame in enumerate(clip):
            yield frame
            # The codec looks at two frames before it begins.
            assert t < 1 or arrived.acquire(timeout=60), f"frame {t} was not shown in time"

    watcher = threading.Thread(target=watch)
    watcher.start()
    with os.fdopen(write, "wb", buffering=0) as file:
        FieldCodec().encode(frames(), file, fps=FPS, options=LIVE)
    watcher.join()
    assert len(shown) == len(clip) and psnr(np.stack(shown), clip) > 28


def test_a_live_hybrid_has_its_parameters_frame_by_frame(clip: np.ndarray) -> None:  # noqa: F811
    export = load_export("semantic")
    hybrid = FieldCodec(export)
    bodies = np.stack([identity_vector() for _ in clip])
    bodies[:, 6] = np.linspace(0, 1, len(clip))
    data = hybrid.encode(iter(clip), fps=FPS, options=LIVE, bodies=bodies)
    units = list(StreamReader(io.BytesIO(data)).units())
    turns = [u.type for u in units if u.type in (UnitType.MOTION, UnitType.FIELD)]
    assert turns == [UnitType.MOTION, UnitType.FIELD] * len(clip)
    decoded = np.stack(list(hybrid.decode(data)))
    np.testing.assert_array_equal(decoded, list(FieldCodec().decode(encoded(clip))))
    changed = edit(data, [parse_assignment("left_shoulder_z-=45deg", 4, 8)], export.tables)
    edited = np.stack(list(hybrid.decode(changed)))
    moved = np.abs(edited.astype(int) - decoded).max((1, 2, 3))
    assert (moved[4:8] > 20).all() and not moved[:4].any() and not moved[8:].any()


def test_what_is_lost_is_held(clip: np.ndarray) -> None:  # noqa: F811
    export = load_export("semantic")
    bodies = np.stack([identity_vector() for _ in clip])
    options = EncodeOptions(effort=0, key_qp=30, key_spacing=5, lookahead=0, key_every=6)
    for codec in (FieldCodec(), FieldCodec(export)):
        data = codec.encode(
            iter(clip), fps=FPS, options=options, bodies=bodies if codec.export else None
        )
        whole = list(codec.decode(data))
        units = list(StreamReader(io.BytesIO(data)).units())
        lost = next(u for u in units if u.type == UnitType.FIELD and u.frame == 3)
        broken = data[: lost.offset] + data[lost.offset + lost.size :]
        repair = FieldRepairingDecoder(codec, io.BytesIO(broken))
        frames = list(repair.frames())
        assert repair.held == [3, 4, 5]
        np.testing.assert_array_equal(frames[:3] + frames[6:], whole[:3] + whole[6:])


def test_where_a_sequence_cannot_go_on_another_begins(
    clip: np.ndarray,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def anew(pictures: list, *args: object, **more: object) -> list:
        coded = encode_sequence(pictures, *args, **more)
        changed = coded[0]._replace(payload=coded[0].payload + b"x") if len(coded) > 2 else coded[0]
        return [changed, *coded[1:]]

    monkeypatch.setattr(low_delay, "encode_sequence", anew)
    options = dataclasses.replace(LIVE, key_spacing=2)
    data = encoded(clip[:7], options)
    units = list(StreamReader(io.BytesIO(data)).units())
    assert [u.frame for u in units if u.type == UnitType.KEY] == [0, 4]
    decoded = np.stack(list(FieldCodec().decode(data)))
    assert len(decoded) == 7 and psnr(decoded, clip[:7]) > 28


def test_targets_need_lookahead() -> None:
    with pytest.raises(CodecError, match="lookahead"):
        EncodeOptions(lookahead=0, target_kbps=10)
    with pytest.raises(CodecError, match="give 0"):
        EncodeOptions(lookahead=3)
