"""Parts of streams and damaged streams: the same pictures where they are intact, never a crash."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_export import FPS, SIDE, make_export, make_frames

from hvc_jax.cli.main import main
from hvc_jax.codec.codec import Codec
from hvc_jax.codec.conceal import RepairingDecoder
from hvc_jax.codec.options import EncodeOptions
from hvc_jax.data.cuts import CutDetector
from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.index import index_keys, key_offsets
from hvc_jax.stream.units import Unit, UnitType

COUNT = 24


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    return Codec(make_export(tmp_path_factory.mktemp("model"), "keypoint"))


@pytest.fixture(scope="module")
def data(codec: Codec) -> bytes:
    file = io.BytesIO()
    options = EncodeOptions(key_every=12, group_frames=3, resync_groups=2, cuts=False, hold=False)
    codec.encode(make_frames(COUNT), file, fps=FPS, options=options)
    return file.getvalue()


@pytest.fixture(scope="module")
def whole(codec: Codec, data: bytes) -> np.ndarray:
    return np.stack(list(codec.decode(io.BytesIO(data))))


def units(data: bytes, kind: UnitType) -> list[Unit]:
    return [unit for unit in StreamReader(io.BytesIO(data)).units() if unit.type == kind]


def test_a_part_is_decoded_from_the_nearest_key_frame(
    codec: Codec, data: bytes, whole: np.ndarray
) -> None:
    keys = units(data, UnitType.KEY)
    expected = [(unit.frame, unit.offset) for unit in keys]
    (index,) = units(data, UnitType.INDEX)
    assert index_keys(index) == expected == [(0, keys[0].offset), (12, keys[1].offset)]
    for stream in (data, data[: index.offset]):  # found at the end, or by going through the units
        file = io.BytesIO(stream)
        reader = StreamReader(file)
        assert key_offsets(file, reader.header_size) == expected
    reader.start_at(expected, 17)
    assert reader.next_frame == 12 and file.tell() == keys[1].offset
    part = np.stack(list(codec.decode(reader, 17, 20)))
    # Batches are cut elsewhere, and networks round with them.
    assert part.shape[0] == 3 and np.abs(part.astype(int) - whole[17:20]).max() <= 1


def damaged(data: bytes, lost: list[Unit]) -> io.BytesIO:
    out = bytearray(data)
    for unit in lost:
        out[unit.offset + unit.size - 1] ^= 0x55
    return io.BytesIO(out)


def test_lost_motion_holds_until_the_next_resync(
    codec: Codec, data: bytes, whole: np.ndarray
) -> None:
    repair = RepairingDecoder(codec, io.BytesIO(data))
    np.testing.assert_array_equal(np.stack(list(repair.frames())), whole)
    assert not repair.held and not repair.lost_keys
    lost = [unit for unit in units(data, UnitType.MOTION) if unit.frame in (3, 12)]
    repair = RepairingDecoder(codec, damaged(data, lost))
    frames = np.stack(list(repair.frames()))
    assert frames.shape == whole.shape and repair.held == [3, 4, 5, *range(12, 18)]
    assert (np.abs(frames[[0, 1, 2, 6, 20]].astype(int) - whole[[0, 1, 2, 6, 20]]) <= 1).all()


def test_anything_may_be_lost(codec: Codec, data: bytes) -> None:
    rng = np.random.default_rng(0)
    every = list(StreamReader(io.BytesIO(data)).units())
    losses = [every, units(data, UnitType.KEY), units(data, UnitType.STATIC)]
    losses += [[unit for unit in every if rng.random() < 0.3] for _ in range(6)]
    for lost in losses:
        repair = RepairingDecoder(codec, damaged(data, lost))
        frames = list(repair.frames())
        assert len(frames) in (0, COUNT)
        keys = [unit.frame for unit in lost if unit.type == UnitType.KEY]
        assert set(repair.lost_keys) <= set(keys)
        assert all(frame.shape == (SIDE, SIDE, 3) for frame in frames)


def test_the_command_line(
    codec: Codec, data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "a.hvc"
    path.write_bytes(data)
    model = ["--model", str(codec.export.path), "--quiet"]
    assert main(["decode", str(path), str(tmp_path / "part"), "--frames", "14:16", *model]) == 0
    assert len(list((tmp_path / "part").iterdir())) == 2
    lost = units(data, UnitType.MOTION)[1]
    path.write_bytes(damaged(data, [lost]).getvalue())
    assert main(["decode", str(path), str(tmp_path / "b"), *model]) == 2
    assert main(["decode", str(path), str(tmp_path / "b"), "--conceal", *model]) == 0
    assert "3 of them held" in capsys.readouterr().out
    assert len(list((tmp_path / "b").iterdir())) == COUNT


def test_cuts_are_found_and_motion_is_not_one(codec: Codec) -> None:
    frames = make_frames(16)
    detector = CutDetector()
    assert not any(detector.push(frame) for frame in frames)
    assert detector.push(255 - frames[0])
    assert not detector.push(255 - frames[1])

    def scenes() -> Iterator[np.ndarray]:
        yield from frames[:5]
        yield from 255 - frames[:5]

    file = io.BytesIO()
    codec.encode(scenes(), file, fps=FPS)
    assert [unit.frame for unit in units(file.getvalue(), UnitType.KEY)] == [0, 5]
