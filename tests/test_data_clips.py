import gc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from hvc_jax.data import clips
from hvc_jax.ops.files import OutputError, atomic_path


def _frames(count=6, height=48, width=64):
    rows, columns = np.mgrid[:height, :width]
    ramp = np.stack([columns * 3 % 256, rows * 4 % 256, rows * 0 + 90], axis=-1)
    return np.stack([np.roll(ramp, 2 * t, axis=1) for t in range(count)]).astype(np.uint8)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    clips.write_video(path, _frames(), Fraction(30000, 1001))
    return path


def test_round_trip_keeps_rate_name_and_pictures(clip):
    back = clips.read_clip(clip, size=None)
    assert back.fps == Fraction(30000, 1001)
    assert back.name == "clip"
    assert back.frames.shape == (6, 48, 64, 3) and back.frames.dtype == np.uint8
    assert np.abs(back.frames.astype(int) - _frames()).mean() < 4


def test_stride_start_and_count(clip):
    every = clips.read_clip(clip, size=None).frames
    some = clips.read_clip(clip, size=None, start=1, stride=2, frames=2)
    np.testing.assert_array_equal(some.frames, every[[1, 3]])
    assert some.fps == Fraction(15000, 1001)


def test_probe(clip):
    info = clips.probe(clip)
    assert (info.width, info.height, info.frames) == (64, 48, 6)


def test_crop_keeps_the_centre_and_pad_keeps_everything():
    picture = np.full((40, 80, 3), 50, np.uint8)
    picture[:, 30:50] = 200
    cropped = clips.fit_picture(picture, 40, 40, "crop")
    np.testing.assert_array_equal(cropped, picture[:, 20:60])
    padded = clips.fit_picture(picture, 80, 80, "pad")
    np.testing.assert_array_equal(padded[20:60], picture)
    assert not padded[:20].any() and not padded[60:].any()


def test_odd_sides_grow_by_one(tmp_path):
    clips.write_video(tmp_path / "odd.mp4", _frames(3, 47, 63), 25)
    assert clips.read_clip(tmp_path / "odd.mp4", size=None).frames.shape == (3, 48, 64, 3)


def test_write_png(tmp_path):
    from PIL import Image

    clips.write_png(tmp_path / "a.png", _frames(1)[0])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), _frames(1)[0])


def _sound_only(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    "kind, words",
    [
        ("missing", "does not exist"),
        ("folder", "is a folder"),
        ("text", "no video"),
        ("empty", "no video"),
        ("sound", "only sound"),
        ("one frame", "only one frame"),
        ("tiny", "16x16 pixels"),
        ("cut", "cut short"),
        ("beyond", "has no frame at or after"),
    ],
)
def test_bad_input_is_one_plain_sentence(tmp_path, clip, kind, words):
    path, start = tmp_path / "bad.mp4", 0
    if kind == "folder":
        path = tmp_path
    elif kind == "text":
        path.write_text("this is no video\n" * 100)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "sound":
        path = tmp_path / "bad.wav"
        _sound_only(path)
    elif kind == "one frame":
        clips.write_video(path, _frames(1), 25)
    elif kind == "tiny":
        clips.write_video(path, _frames(4, 16, 16), 25)
    elif kind == "cut":
        path.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    elif kind == "beyond":
        path, start = clip, 99
    with pytest.raises(clips.ClipError, match=words) as caught:
        clips.read_clip(path, start=start)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_a_stream_that_breaks_off_is_noticed_where_the_index_survives(tmp_path):
    """The index first (faststart), the pictures lost: the decoder alone would end quietly."""
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    rng = np.random.default_rng(0)
    with av.open(str(whole), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(40):
            noise = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(stream.encode(None))
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(clips.ClipError, match="after frame"):
        clips.read_clip(cut)
    assert len(clips.read_clip(cut, frames=5).frames) == 5


def test_selecting_nothing_is_refused(clip):
    for arguments in ({"stride": 0}, {"start": -1}, {"frames": 0}, {"fit": "stretch"}):
        with pytest.raises(clips.ClipError):
            clips.read_clip(clip, **arguments)


def test_failure_leaves_no_file(tmp_path):
    def broken():
        yield _frames(1)[0]
        raise RuntimeError("decoder died")

    with pytest.raises(RuntimeError):
        clips.write_video(tmp_path / "out.mp4", broken(), 25)
    with pytest.raises(clips.ClipError, match="no frame"):
        clips.write_video(tmp_path / "out.mp4", [], 25)
    with pytest.raises(OutputError, match="cannot be written"):
        clips.write_video(tmp_path / "nowhere" / "out.mp4", _frames(), 25)
    with pytest.raises(clips.ClipError, match="no video ending"):
        clips.write_video(tmp_path / "out.xyz", _frames(), 25)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_a_plain_error(tmp_path):
    with pytest.raises(OutputError, match="No space left"), atomic_path(tmp_path / "out.bin"):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_stored_rotation_is_applied(tmp_path, clip):
    import subprocess

    import imageio_ffmpeg

    turned = tmp_path / "turned.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-display_rotation", "90"]
    subprocess.run([*command, "-i", clip, "-c", "copy", turned], check=True)
    upright = clips.read_clip(turned, size=None).frames
    np.testing.assert_array_equal(upright, np.rot90(clips.read_clip(clip, None).frames, 1, (1, 2)))
    assert (clips.probe(turned).width, clips.probe(turned).height) == (48, 64)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads as Linux does")
def test_frames_leave_no_threads_behind(tmp_path: Path) -> None:
    clips.write_video(tmp_path / "clip.mp4", np.zeros((60, 64, 64, 3), np.uint8), 25)
    before = len(list(Path("/proc/self/task").iterdir()))
    _, frames = clips.open_clip(tmp_path / "clip.mp4", 64)
    assert sum(1 for _ in frames) == 60
    assert len(list(Path("/proc/self/task").iterdir())) < before + 20


def _living_frames() -> int:
    return sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())


def test_frames_are_freed_as_they_are_read(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (12, 64, 64, 3), dtype=np.uint8)
    clips.write_video(tmp_path / "clip.mp4", frames, 25)
    gc.collect()
    before = _living_frames()
    gc.disable()  # frames in cycles would stay
    try:
        for _ in clips.open_clip(tmp_path / "clip.mp4", 64)[1]:
            pass
        assert _living_frames() < before + 4
    finally:
        gc.enable()
