"""Video files in and out: any clip that ffmpeg reads, as uint8 RGB frames of one size.

Frames are decoded in process by PyAV, turned upright (phones store a rotation), fitted to the
wanted size by a centre crop or by padding, and resized with an antialiasing filter. Everything is
an iterator underneath, so that a long clip never has to fit in memory.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from PIL import Image

MIN_SIDE = 32
"""Shortest side, in pixels, of a clip worth coding: below it a person is a few pixels."""

MAX_FPS = 1000
"""Rates above this are time bases mistaken for frame rates; they fall back to 25."""


class ClipError(ValueError):
    """A clip cannot be read or written; the message is one sentence with the file and the fix."""


class Clip(NamedTuple):
    """A clip in memory.

    Attributes:
        frames: [T, H, W, 3] uint8 RGB.
        fps: frames per second, exact, after `stride`.
        name: the file's name without its ending.
    """

    frames: np.ndarray
    fps: Fraction
    name: str


class ClipInfo(NamedTuple):
    """What a file says of itself before a frame is decoded (`frames` is 0 where it is silent)."""

    width: int
    height: int
    fps: Fraction
    frames: int
    name: str


def probe(path: str | os.PathLike) -> ClipInfo:
    """Returns size (upright, in pixels), frame rate and frame count that the file declares.

    Raises:
        ClipError: the file is missing, no video, sound only, or smaller than `MIN_SIDE`.
    """
    with _open(path) as (container, stream):
        frame = next(_decode(container, stream, path), None)
        if frame is None:
            raise ClipError(f"{path} has no picture in it; give a clip of two or more frames.")
        height, width = _upright(frame).shape[:2]
        _check_size(path, width, height)
        return ClipInfo(width, height, _rate(stream), stream.frames, Path(path).stem)


def iter_frames(
    path: str | os.PathLike,
    size: int | tuple[int, int] | None = 256,
    fit: str = "crop",
    start: int = 0,
    frames: int | None = None,
    stride: int = 1,
) -> Iterator[np.ndarray]:
    """Yields frames [H, W, 3] uint8 RGB of a video file, one at a time.

    Args:
        path: anything that ffmpeg reads.
        size: side of the square picture, or (height, width); None keeps the file's own size.
        fit: "crop" cuts the centre out, "pad" keeps the whole picture on black.
        start: frames to skip first.
        frames: most frames to yield; None for all.
        stride: keep every n-th frame.

    Raises:
        ClipError: the file is missing, no video, sound only, too small, or breaks off.
    """
    pictures = _info_and_frames(path, size, fit, start, frames, stride)
    next(pictures, None)
    yield from pictures


def open_clip(
    path: str | os.PathLike,
    size: int | tuple[int, int] | None = 256,
    fit: str = "crop",
    start: int = 0,
    frames: int | None = None,
) -> tuple[ClipInfo, Iterator[np.ndarray]]:
    """Returns what a file says of itself and its frames, as `probe` and `iter_frames` do, at once.

    The file is opened once and read onwards only: "-" is the standard input, which may be a pipe.
    The other arguments and errors are those of `iter_frames`.
    """
    pictures = _info_and_frames(path, size, fit, start, frames, 1)
    info = next(pictures, None)
    if info is None:
        raise ClipError(f"{path} has no picture in it; give a clip of two or more frames.")
    return info, pictures


def _info_and_frames(
    path: str | os.PathLike,
    size: int | tuple[int, int] | None,
    fit: str,
    start: int,
    frames: int | None,
    stride: int,
) -> Iterator:
    """Yields the `ClipInfo` and then the frames of a file that has any."""
    if fit not in ("crop", "pad"):
        raise ClipError(f"fit is {fit!r}, which is neither 'crop' nor 'pad'; use one of them.")
    if start < 0 or stride < 1 or (frames is not None and frames < 1):
        raise ClipError(
            f"start {start}, frames {frames}, stride {stride} select nothing; "
            "use start >= 0, frames >= 1, stride >= 1."
        )
    shape = (size, size) if isinstance(size, int) else size
    seen, given = 0, 0
    with _open(path) as (container, stream):
        for frame in _decode(container, stream, path):
            if not seen:
                height, width = _upright(frame).shape[:2]
                yield ClipInfo(width, height, _rate(stream), stream.frames, Path(path).stem)
            wanted = seen >= start and (seen - start) % stride == 0
            seen += 1
            if not wanted:
                continue
            picture = _upright(frame)
            _check_size(path, picture.shape[1], picture.shape[0])
            yield picture if shape is None else fit_picture(picture, *shape, fit)
            given += 1
            if given == frames:
                return
        # An index that promises clearly more than the file holds means a broken-off download;
        # a few frames less are normal (edit lists, encoder delay).
        if stream.frames > seen + max(2, stream.frames // 20):
            raise ClipError(
                f"{path} breaks off after frame {seen} of {stream.frames}; "
                "copy it again, or code its first part with a smaller number of frames."
            )


def read_clip(
    path: str | os.PathLike,
    size: int | tuple[int, int] | None = 256,
    fit: str = "crop",
    start: int = 0,
    frames: int | None = None,
    stride: int = 1,
) -> Clip:
    """Returns a whole clip in memory; arguments and errors as `iter_frames`.

    Raises:
        ClipError: also where fewer than two frames are left.
    """
    pictures = list(iter_frames(path, size, fit, start, frames, stride))
    if not pictures:
        raise ClipError(f"{path} has no frame at or after {start}; give a longer clip.")
    if len(pictures) < 2 and frames != 1:
        raise ClipError(f"{path} has only one frame to code; give a clip of two or more frames.")
    with _open(path) as (_, stream):
        fps = _rate(stream) / stride
    return Clip(np.stack(pictures), fps, Path(path).stem)


def fit_picture(picture: np.ndarray, height: int, width: int, fit: str = "crop") -> np.ndarray:
    """Returns a picture [H, W, 3] uint8 fitted to [height, width, 3] by crop or pad."""
    source_height, source_width = picture.shape[:2]
    if (source_height, source_width) == (height, width):
        return picture
    choose = max if fit == "crop" else min
    scale = choose(height / source_height, width / source_width)
    image = Image.fromarray(picture)
    if fit == "crop":
        # `box` lets the filter see sub-pixel crop borders: no shift by half a pixel.
        box_width, box_height = width / scale, height / scale
        left, top = (source_width - box_width) / 2, (source_height - box_height) / 2
        box = (left, top, left + box_width, top + box_height)
        resized = image.resize((width, height), Image.Resampling.LANCZOS, box=box)
        return np.asarray(resized)
    inner = (max(1, round(source_width * scale)), max(1, round(source_height * scale)))
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - inner[1]) // 2, (width - inner[0]) // 2
    canvas[top : top + inner[1], left : left + inner[0]] = np.asarray(
        image.resize(inner, Image.Resampling.LANCZOS)
    )
    return canvas


def write_video(
    path: str | os.PathLike,
    frames: Iterable[np.ndarray],
    fps: Fraction | float,
    crf: int = 14,
) -> int:
    """Writes frames as H.264 (yuv420p, BT.709) and returns how many were written.

    The file appears under its name only when it is complete. Odd sides grow by one pixel, because
    4:2:0 needs even ones.

    Args:
        path: target; its ending chooses the container (.mp4, .mkv, .webm is not H.264).
        frames: [H, W, 3] uint8 RGB each, all of one size; may be a generator.
        fps: frames per second.
        crf: x264 quality, 0 (lossless) to 51.

    Raises:
        ClipError: no frame came, the place cannot be written, or the disk is full.
    """
    rate = Fraction(fps).limit_denominator(60000)
    count = 0
    with atomic_path(path) as temporary:
        try:
            container = av.open(os.fspath(temporary), "w")
        except (ValueError, av.FFmpegError) as error:
            raise ClipError(f"{path} has no video ending that is known; use .mp4.") from error
        with container:
            stream = None
            for frame in frames:
                padded = _even(frame)
                if stream is None:
                    stream = container.add_stream("libx264", rate=rate)
                    stream.width, stream.height = padded.shape[1], padded.shape[0]
                    stream.pix_fmt = "yuv420p"
                    stream.options = {"crf": str(crf), "preset": "fast"}
                    context = stream.codec_context
                    context.colorspace = context.color_primaries = context.color_trc = 1
                    context.color_range = 1
                picture = av.VideoFrame.from_ndarray(padded, format="rgb24").reformat(
                    format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
                )
                container.mux(stream.encode(picture))
                count += 1
            if stream is None:
                raise ClipError(f"{path} was not written: there is no frame to write.")
            container.mux(stream.encode(None))
    return count


def write_png(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Writes one picture [H, W, 3] uint8 RGB (or [H, W] grey) as PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary name beside `path` that becomes `path` only if the block succeeds.

    Raises:
        ClipError: the folder is missing, the place is not writable, or the disk is full.
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent
        )
    except OSError as error:
        raise ClipError(
            f"{target} cannot be written ({error.strerror}); choose another place."
        ) from error
    os.close(handle)
    try:
        yield Path(name)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp makes private files; a video is an ordinary one
        os.replace(name, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ClipError(f"{target} cannot be written ({reason}); choose another place.") from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


@contextmanager
def _open(path: str | os.PathLike) -> Iterator[tuple]:
    """Yields (container, video stream) of a file that has one."""
    name = os.fspath(path)
    if name == "-":
        name = "pipe:0"
    elif not Path(path).exists():
        raise ClipError(f"{path} does not exist; check the name.")
    elif Path(path).is_dir():
        raise ClipError(f"{path} is a folder; give one video file.")
    try:
        container = av.open(name)
    except (OSError, ValueError, av.FFmpegError) as error:
        raise ClipError(
            f"{path} is no video that ffmpeg can read, or it is cut short; give another file."
        ) from error
    with container:
        if not container.streams.video:
            raise ClipError(f"{path} has no picture track, only sound or data; give a video.")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        yield container, stream


def _decode(container: object, stream: object, path: str | os.PathLike) -> Iterator[object]:
    """Yields decoded frames; a damaged place becomes a `ClipError` with the frame number."""
    count = 0
    try:
        for frame in container.decode(stream):
            yield frame
            count += 1
    except (av.FFmpegError, OSError) as error:
        raise ClipError(
            f"{path} is damaged or cut short after frame {count}; "
            "copy it again, or code its first part with a smaller number of frames."
        ) from error


def _upright(frame: object) -> np.ndarray:
    """Returns a decoded frame as [H, W, 3] uint8 RGB with its stored rotation applied."""
    picture = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


def _rate(stream: object) -> Fraction:
    """Returns the frame rate of a stream: the average, else the guess, else 25."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0 < rate <= MAX_FPS:
            return Fraction(rate)
    return Fraction(25)


def _check_size(path: str | os.PathLike, width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise ClipError(
            f"{path} is {width}x{height} pixels; the shorter side must have at least {MIN_SIDE}."
        )


def _even(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(picture)
