"""Clips out: frames as a video file, pictures as PNG; whole or not at all."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from PIL import Image

from hvc_jax.data.errors import ClipError
from hvc_jax.ops.files import atomic_path, is_special
from hvc_jax.stream.sound import PACKET_SAMPLES, SAMPLE_RATE, SoundQueue

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".ts", ".webm")
"""Endings of the containers that are written: H.264, in WebM VP9."""

SOUND_SUFFIXES = (".mp4", ".mkv", ".webm", ".ts")
"""Those that take sound as Opus."""

_MAX_TIME_BASE = 1 << 16  # time scales beyond it are not safe in AVI and MP4


def written_rate(fps: Fraction | float) -> Fraction:
    """Returns the rate nearest to `fps` that containers can hold.

    A clip of 2^20 frames a second or of one in twelve days cannot be said in their clocks; the
    rate is limited to 1/1000 to 65,535 frames a second.
    """
    rate = min(max(Fraction(fps), Fraction(1, 1000)), Fraction(_MAX_TIME_BASE - 1))
    if rate.numerator < _MAX_TIME_BASE and rate.denominator < _MAX_TIME_BASE:
        return rate
    limit = max(1, int((_MAX_TIME_BASE - 1) / max(rate, 1)))
    return max(rate.limit_denominator(limit), Fraction(1, 1000))


def write_video(
    path: str | os.PathLike,
    frames: Iterable[np.ndarray],
    fps: Fraction | float,
    sound: SoundQueue | None = None,
) -> int:
    """Writes frames as H.264 (yuv420p, BT.709) and returns how many were written.

    The file appears under its name only when it is complete. Odd sides grow by one pixel, because
    4:2:0 needs even ones.

    Args:
        path: target; its ending chooses the container, one of `VIDEO_SUFFIXES`. "-", the standard
            output, and other pipes and devices get Matroska, frame by frame.
        frames: [H, W, 3] uint8 RGB each, all of one size; may be a generator.
        fps: frames per second.
        sound: what goes with the frames; left out of containers that are not in SOUND_SUFFIXES.

    Raises:
        ClipError: the ending is unknown, or no frame came.
        OutputError: the place cannot be written, or the disk is full.
    """
    count, stream, track, rate = 0, None, None, written_rate(fps)
    with _container(path) as container:
        for frame in frames:
            padded = _even(frame)
            if stream is None:
                stream = _pictures(container, rate, padded.shape)
                if sound is not None and sound.groups and takes_sound(path):
                    track = _SoundStream(container, sound)
            picture = av.VideoFrame.from_ndarray(padded, format="rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG", threads=1
            )
            container.mux(stream.encode(picture))
            count += 1
            if track is not None:
                track.write_until(count / rate)
        if stream is None:
            raise ClipError(f"{path} was not written: there is no frame to write.")
        if track is not None:
            track.write_until(count / rate)
        container.mux(stream.encode(None))
    return count


def _pictures(container: Any, rate: Fraction, shape: tuple[int, ...]) -> Any:
    """A new picture track of [H, W, 3] frames."""
    webm = container.format.name == "webm"
    stream = container.add_stream("libvpx-vp9" if webm else "libx264", rate=rate)
    stream.width, stream.height = shape[1], shape[0]
    stream.pix_fmt = "yuv420p"
    fast = {"deadline": "realtime", "cpu-used": "6", "b": "0"} if webm else {"preset": "fast"}
    stream.options = {"crf": "14", **fast}
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = 1
    context.color_range = 1
    return stream


def takes_sound(path: str | os.PathLike) -> bool:
    """Whether `write_video` can put sound into a file of this name."""
    piped = os.fspath(path) == "-" or is_special(path)  # Matroska
    return piped or Path(path).suffix.lower() in SOUND_SUFFIXES


class _SoundStream:
    """A sound track of packets that are Opus already."""

    def __init__(self, container: Any, sound: SoundQueue) -> None:
        self._container, self._sound = container, sound
        layout = "mono" if sound.groups[0].channels == 1 else "stereo"
        # The encoder that it opens makes the track's head and is not used otherwise.
        self._stream = container.add_stream("libopus", rate=SAMPLE_RATE, layout=layout)

    def write_until(self, seconds: Fraction) -> None:
        """Writes the packets that begin before `seconds`."""
        for place, data in self._sound.until(seconds):
            packet = av.Packet(data)
            packet.stream, packet.time_base = self._stream, Fraction(1, SAMPLE_RATE)
            packet.pts = packet.dts = place
            packet.duration = PACKET_SAMPLES
            self._container.mux(packet)


@contextmanager
def _container(path: str | os.PathLike) -> Iterator[Any]:
    """An open container that becomes the file at `path`, or goes straight into a pipe."""
    if os.fspath(path) == "-" or is_special(path):
        to_stdout = os.fspath(path) == "-"
        with open(1, "wb", closefd=False) if to_stdout else open(path, "wb") as pipe:
            with av.open(_Forwards(pipe), "w", format="matroska") as container:
                yield container
        return
    if Path(path).suffix.lower() not in VIDEO_SUFFIXES:
        raise ClipError(
            f"{path} has no video ending that is known ({', '.join(VIDEO_SUFFIXES)}); use .mp4."
        )
    with atomic_path(path) as temporary, av.open(f"file:{temporary}", "w") as container:
        yield container


class _Forwards:
    """A file that can be written on only, whatever the system says of the device behind it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self._file.flush()
        return len(data)


def write_png(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Writes one picture [H, W, 3] uint8 RGB (or [H, W] grey) as PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")


def _even(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(picture)
