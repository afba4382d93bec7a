import pytest

from hvc_jax.ops import ffmpeg


def test_what_it_says_and_what_it_writes() -> None:
    assert ffmpeg.listing("-version").startswith("ffmpeg version")
    command = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", "4x4", "-i", "-", "-f", "rawvideo", "-"]
    assert ffmpeg.run(command, bytes(range(16))) == bytes(range(16))


def test_failures_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ffmpeg.FfmpegError, match="No such file") as caught:
        ffmpeg.run(["-i", "nowhere.mp4", "-f", "null", "-"])
    assert "\n" not in str(caught.value)

    def missing() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(ffmpeg, "_program", missing)
    ffmpeg.listing.cache_clear()
    assert ffmpeg.listing("-encoders") == ""
    ffmpeg.listing.cache_clear()
    with pytest.raises(ffmpeg.FfmpegError, match="no ffmpeg that runs"):
        ffmpeg.run([])
