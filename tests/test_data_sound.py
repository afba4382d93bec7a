"""Sound in step with pictures: tones at known times come back within 20 ms, whatever was cut."""

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from sound_cases import FPS, SIDE, TONES, heard, make_clip

from hvc_jax.data.clips import open_clip, write_video
from hvc_jax.data.sound import OpusEncoder
from hvc_jax.stream.conceal import intact_sound, salvage
from hvc_jax.stream.container import StreamReader, StreamWriter
from hvc_jax.stream.header import Header
from hvc_jax.stream.sound import SAMPLE_RATE, SoundQueue, audio_group
from hvc_jax.stream.units import UnitType, motion_group
from hvc_jax.stream.vectors import Group

STEP = 0.02


def coded(path: Path, **options) -> bytes:
    """A stream with the sound of a clip; its pictures are made up."""
    clip, frames = open_clip(path, SIDE, audio_kbps=16, **options)
    file = io.BytesIO()
    with StreamWriter(file, Header("semantic", SIDE, SIDE, clip.fps), clip.sound) as writer:
        writer.write_key(0, 1, 32, b"picture")
        for number, _ in enumerate(frames):
            writer.write_motion(Group(number, 1, number == 0, b""))
    assert clip.sound is None or clip.sound.written == sum(
        unit.size for unit in units(file.getvalue()) if unit.type == UnitType.AUDIO
    )
    return file.getvalue()


def units(data: bytes) -> list:
    return list(StreamReader(io.BytesIO(data)).units())


def black_frames(reader: StreamReader) -> Iterator[np.ndarray]:
    for unit in reader.units():
        if unit.type == UnitType.MOTION:
            yield from [np.zeros((SIDE, SIDE, 3), np.uint8)] * motion_group(unit).count


def decoded(data: bytes, out: Path) -> None:
    """Writes a stream's sound with black pictures, as they come out of a pipe."""
    reader = StreamReader(io.BytesIO(data), keep_sound=True)
    write_video(out, black_frames(reader), reader.header.fps, sound=SoundQueue(reader.sound))


@pytest.mark.parametrize("ending", ["mp4", "mkv", "webm"])
@pytest.mark.parametrize(
    ("begins", "codec", "fps"),
    [(0.0, "aac", FPS), (0.3, "aac", Fraction(30000, 1001)), (1.2, "libopus", FPS)],
)
def test_tones_come_back_in_step(
    begins: float, codec: str, fps: Fraction, ending: str, tmp_path: Path
) -> None:
    make_clip(tmp_path / "in.mkv", begins, codec, fps)
    data = coded(tmp_path / "in.mkv")
    decoded(data, tmp_path / f"out.{ending}")
    wanted = [tone for tone in TONES if tone > begins]
    np.testing.assert_allclose(heard(tmp_path / f"out.{ending}"), wanted, atol=STEP)
    first = units(data)[0]
    assert first.type == UnitType.AUDIO  # so that a decoder knows before the first picture
    assert data[4] == 3  # readers of this version skip what they do not know


@pytest.mark.parametrize(("start", "frames"), [(10, 80), (30, 20), (0, 13)])
def test_a_part_of_a_clip_keeps_its_own_sound(start: int, frames: int, tmp_path: Path) -> None:
    make_clip(tmp_path / "in.mp4")
    data = coded(tmp_path / "in.mp4", start=start, frames=frames)
    decoded(data, tmp_path / "out.mkv")
    begin, end = start / FPS, (start + frames) / FPS
    wanted = [tone - float(begin) for tone in TONES if begin < tone < end]
    np.testing.assert_allclose(heard(tmp_path / "out.mkv"), wanted, atol=STEP)
    packets = sum(len(audio_group(u).packets) for u in units(data) if u.type == UnitType.AUDIO)
    assert 0 <= packets * 960 - frames / FPS * SAMPLE_RATE < 2 * 960


@pytest.mark.parametrize("begin", [0, 11, 40, 61])
def test_a_part_of_a_stream_keeps_its_own_sound(begin: int, tmp_path: Path) -> None:
    make_clip(tmp_path / "in.mkv")
    file = io.BytesIO(coded(tmp_path / "in.mkv"))
    reader = StreamReader(file)
    reader.find_sound()
    queue = SoundQueue(reader.sound, begin / FPS)
    pictures = list(black_frames(reader))[begin:]
    write_video(tmp_path / "out.mp4", pictures, FPS, sound=queue)
    wanted = [tone - begin / 25 for tone in TONES if tone > begin / 25]
    np.testing.assert_allclose(heard(tmp_path / "out.mp4"), wanted, atol=STEP)


def test_lost_sound_is_silence_and_the_rest_stays_in_step(tmp_path: Path) -> None:
    make_clip(tmp_path / "in.mkv")
    data = bytearray(coded(tmp_path / "in.mkv"))
    lost = [u for u in units(bytes(data)) if u.type == UnitType.AUDIO and u.frame // 25 == 1][0]
    data[lost.offset + lost.size // 2] ^= 0x55
    _, found = salvage(io.BytesIO(data))
    groups = intact_sound(list(found))
    pictures = [np.zeros((SIDE, SIDE, 3), np.uint8)] * 100
    write_video(tmp_path / "out.mkv", pictures, FPS, sound=SoundQueue(groups))
    np.testing.assert_allclose(heard(tmp_path / "out.mkv"), [TONES[0], TONES[2]], atol=STEP)


def test_without_sound_there_are_no_units(tmp_path: Path) -> None:
    pictures = np.zeros((6, SIDE, SIDE, 3), np.uint8)
    write_video(tmp_path / "in.mp4", pictures, FPS)
    assert UnitType.AUDIO not in {unit.type for unit in units(coded(tmp_path / "in.mp4"))}
    make_clip(tmp_path / "loud.mkv")
    clip, frames = open_clip(tmp_path / "loud.mkv", SIDE)
    frames.close()
    assert clip.sound is None


@pytest.mark.parametrize(("kbps", "channels"), [(24, 1), (64, 2)])
def test_packets_hold_all_samples_at_about_the_rate(kbps: int, channels: int) -> None:
    encoder = OpusEncoder(kbps, channels)
    noise = np.random.default_rng(0).normal(0, 0.1, (5 * SAMPLE_RATE + 123, channels))
    packets = encoder.push(noise[:1000]) + encoder.push(noise[1000:]) + encoder.close()
    assert len(packets) * 960 >= len(noise) + encoder.pre_skip
    assert sum(map(len, packets)) * 8 / 5 == pytest.approx(1000 * kbps, rel=0.2)
    assert max(map(len, packets)) <= 1275
