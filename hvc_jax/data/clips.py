"""Clips in: any video that ffmpeg reads, or pictures, as uint8 RGB frames of one size and rate.

Frames come as a player shows them (see `display`), at a constant rate (see `timing`), fitted to
the wanted size by a centre crop or by padding, and resized with an antialiasing filter. Everything
is an iterator underneath, so that a long clip never has to fit in memory.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from hvc_jax.data.cropping import cropping
from hvc_jax.data.display import remarks, shown
from hvc_jax.data.errors import ClipError
from hvc_jax.data.image_files import (
    animation,
    animation_times,
    find_pictures,
    is_animated_webp,
    is_sequence,
    read_picture,
)
from hvc_jax.data.sound import ClipSound, sound_of
from hvc_jax.data.timing import DEFAULT_FPS, Timing, lasting, resampled, timing_of
from hvc_jax.data.track import Decoding, open_track
from hvc_jax.data.video_output import write_png, write_video

__all__ = [
    "Clip",
    "ClipError",
    "ClipInfo",
    "fit_picture",
    "open_clip",
    "probe",
    "read_clip",
    "write_png",
    "write_video",
]

MIN_SIDE = 32
"""Shortest side, in pixels, of a clip worth coding: below it a person is a few pixels."""

INPUT_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".y4m", ".gif")
"""Endings of the videos that are taken from a folder."""

_SEVERAL_SIZES = "pictures of several sizes, each fitted by itself"


class Clip(NamedTuple):
    """A clip in memory: frames [T, H, W, 3] uint8 RGB, exact frames a second, its file's name."""

    frames: np.ndarray
    fps: Fraction
    name: str


class ClipInfo(NamedTuple):
    """What is known of a clip before its frames are decoded."""

    width: int  # of the clip as shown, pixels
    height: int  # of the clip as shown, pixels
    fps: Fraction  # frames per second
    frames: int  # how many there are, 0 where that is not known
    name: str  # the file's name without its ending
    # what is done to the clip that a user should know; grows while frames are read
    notes: list[str]
    # its sound, which becomes ready while frames are read; None where none is wanted
    sound: ClipSound | None = None


def probe(path: str | os.PathLike) -> ClipInfo:
    """Returns what is known of a clip; ClipError: none, or smaller than `MIN_SIDE` pixels."""
    info, pictures = open_clip(path, size=None)
    pictures.close()
    _check_size(path, info.width, info.height)
    return info


def open_clip(
    path: str | os.PathLike,
    size: int | tuple[int, int] | None = 256,
    fit: str = "crop",
    start: int = 0,
    frames: int | None = None,
    fps: Fraction | None = None,
    stride: int = 1,
    audio_kbps: float = 0.0,
) -> tuple[ClipInfo, Iterator[np.ndarray]]:
    """Returns what is known of a clip, and an iterator over its frames [H, W, 3] uint8 RGB.

    Args:
        path: anything that ffmpeg reads, "-" for the standard input (which may be a pipe), a folder
            of pictures, or a pattern of their names (a/%06d.png, a/*.png).
        size: side of the square picture, or (height, width); None keeps the clip's own size.
        fit: "crop" cuts the centre out, "pad" keeps the whole picture on black.
        start: frames to skip first.
        frames: most frames to yield; None for all.
        fps: frames per second: of pictures, or to which a video is brought by its times. None is
            the rate of the video, and 25 for pictures.
        stride: keep every n-th frame.
        audio_kbps: rate at which sound is coded, kilobits a second; 0 for none.

    Raises ClipError: the file is missing, no video, sound only, too small, or breaks off.
    """
    if fit not in ("crop", "pad"):
        raise ClipError(f"fit is {fit!r}, which is neither 'crop' nor 'pad'; use one of them.")
    if start < 0 or stride < 1 or (frames is not None and frames < 1):
        raise ClipError(
            f"start {start}, frames {frames}, stride {stride} select nothing; "
            "use start >= 0, frames >= 1, stride >= 1."
        )
    shape = (size, size) if isinstance(size, int) else size
    wanted = _Wanted(shape, fit, start, frames, stride)
    pictures = _info_and_frames(path, wanted, fps, audio_kbps)
    info = next(pictures, None)
    if info is None:
        raise ClipError(f"{path} has no picture in it; give a clip of two or more frames.")
    return info, pictures


def read_clip(
    path: str | os.PathLike,
    size: int | tuple[int, int] | None = 256,
    fit: str = "crop",
    start: int = 0,
    frames: int | None = None,
    stride: int = 1,
    fps: Fraction | None = None,
) -> Clip:
    """Returns a whole clip in memory; see `open_clip`; ClipError: also of a single frame."""
    info, rest = open_clip(path, size, fit, start, frames, fps, stride)
    pictures = list(rest)
    if not pictures:
        raise ClipError(f"{path} has no frame at or after {start}; give a longer clip.")
    if len(pictures) < 2 and frames != 1:
        raise ClipError(f"{path} has only one frame to code; give a clip of two or more frames.")
    return Clip(np.stack(pictures), info.fps / stride, info.name)


class _Wanted(NamedTuple):
    """Which frames of a clip are wanted, and in which shape (height, width); see `open_clip`."""

    shape: tuple[int, int] | None
    fit: str
    start: int
    frames: int | None
    stride: int


class _Source(NamedTuple):
    """An opened clip: frames at their times, and how to make pictures of them."""

    items: Iterator[tuple[float | None, float, Any]]
    times: list[float]
    declared: Fraction | None
    picture: Any  # item -> [H, W, 3] uint8
    notes: Any  # item -> list of str
    count: int
    tick: float = 0.0
    sound: ClipSound | None = None
    hear_until: Any = None  # seconds -> nothing; the sound up to there is read
    cut: str | None = None  # what is known before decoding of a file that breaks off


def _video(
    path: str | os.PathLike, side: int | None, audio_kbps: float, stack: ExitStack
) -> _Source:
    track = stack.enter_context(open_track(path))
    sound = sound_of(track.container, audio_kbps)
    decoding, aspect = Decoding(track, sound), track.pixel_aspect
    crop = cropping(path, track.stream.index)

    def notes(frame: Any) -> list[str]:
        woven = []
        if decoding.interlaced:
            woven = ["interlaced frames deinterlaced by bwdif"]
        elif decoding.unflagged:
            woven = ["its container says interlaced and its frames do not: taken as they are"]
        return woven + remarks(frame, aspect, crop)

    return _Source(
        iter(decoding),
        decoding.times,
        track.declared_rate,
        lambda frame: shown(frame, aspect, side, crop),
        notes,
        len(decoding.times) or track.stream.frames,
        decoding.tick,
        sound,
        decoding.hear_until,
        decoding.cut,
    )


def _animation(path: str | os.PathLike) -> _Source:
    times = animation_times(path)
    return _Source(animation(path), times, None, lambda item: item, lambda item: [], len(times))


def _pictures(path: str | os.PathLike, fps: Fraction | None) -> _Source:
    files, gap = find_pictures(path)
    said = [f"{len(files)} pictures" + (f"; {gap}: taken one after the other" if gap else "")]
    if fps is None:
        said.append(f"taken at {DEFAULT_FPS} frames/s, say --fps for another rate")
    items = ((None, 0.0, file) for file in files)
    return _Source(items, [], fps or DEFAULT_FPS, read_picture, lambda file: said, len(files))


def _info_and_frames(
    path: str | os.PathLike, wanted: _Wanted, fps: Fraction | None, audio_kbps: float
) -> Iterator:
    """Yields the `ClipInfo` and then the frames of a file that has any."""
    shape, _, start, frames, stride = wanted
    with ExitStack() as stack:
        if is_sequence(path):
            source = _pictures(path, fps)
        elif is_animated_webp(path):
            source = _animation(path)
        else:
            source = _video(path, None if shape is None else max(shape), audio_kbps, stack)
        timing = timing_of(source.times, source.declared, fps, source.tick)
        there = source.count
        if not timing.constant and len(source.times) > 1:
            there = lasting(source.times, timing.fps)
        if source.cut and (frames is None or start + (frames - 1) * stride >= there):
            raise ClipError(source.cut)
        if source.sound is not None:
            source.sound.skip = start / timing.fps
        items = (item for _, _, item in source.items)
        if not timing.constant:
            items = resampled(source.items, timing.fps)
        yield from _selected(path, source, there, items, timing, wanted)


def _selected(
    path: str | os.PathLike,
    source: _Source,
    count: int,
    items: Iterator[Any],
    timing: Timing,
    wanted: _Wanted,
) -> Iterator:
    """Yields the `ClipInfo` and the frames that are wanted of `items`."""
    shape, fit, start, frames, stride = wanted
    info, before, picture = None, None, None
    given = 0
    for number, item in enumerate(items):
        if info is None:
            height, width = source.picture(item).shape[:2]
            notes = [timing.note] if timing.note else []
            name = Path(path).stem
            info = ClipInfo(width, height, timing.fps, count, name, notes, source.sound)
            info.notes.extend(source.notes(item))
            yield info
        if number < start or (number - start) % stride:
            continue
        if item is not before:  # a slow source shows one picture many times
            picture, before = source.picture(item), item
            _check_size(path, picture.shape[1], picture.shape[0])
            if picture.shape[:2] != (height, width) and _SEVERAL_SIZES not in info.notes:
                info.notes.append(_SEVERAL_SIZES)
            if shape is not None:
                picture = fit_picture(picture, *shape, fit)
            info.notes.extend(note for note in source.notes(item) if note not in info.notes)
        yield picture
        given += 1
        if given == frames:
            break
    if source.sound is not None:
        source.hear_until(float(given * stride / timing.fps))


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


def _check_size(path: str | os.PathLike, width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise ClipError(
            f"{path} is {width}x{height} pixels; the shorter side must have at least {MIN_SIDE}."
        )
