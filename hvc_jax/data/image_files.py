"""Pictures as clips: folders, numbered or starred names, and animated WebP, which ffmpeg lacks."""

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from hvc_jax.body.frame_numbers import natural
from hvc_jax.data.display import over_background
from hvc_jax.data.errors import ClipError

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".jp2")
_NUMBER = re.compile(r"%(0?)(\d*)d")


class Sequence(NamedTuple):
    """The pictures of a clip in order, and in `gap` the numbers that are missing, "" for none."""

    files: list[Path]
    gap: str


def is_sequence(path: str | os.PathLike) -> bool:
    """Whether a path stands for pictures: a folder, or a pattern such as a/%06d.png or a/*.png."""
    text = os.fspath(path)
    if Path(path).is_dir():
        return True
    return not Path(path).exists() and bool(_NUMBER.search(text) or glob.has_magic(text))


def find_pictures(path: str | os.PathLike) -> Sequence:
    """Returns pictures of a folder or pattern, numbers by value; ClipError: none, or mixed."""
    text = os.fspath(path)
    if Path(path).is_dir():
        files = [f for f in Path(path).iterdir() if f.suffix.lower() in PICTURE_SUFFIXES]
        files = [f for f in files if not f.name.startswith(".")]
        if not files:
            raise ClipError(
                f"{path} is a folder without pictures; give one video file, or a folder of "
                f"{', '.join(PICTURE_SUFFIXES)}."
            )
        kinds = sorted({f.suffix.lower() for f in files})
        if len(kinds) > 1:
            raise ClipError(
                f"{path} has pictures of several kinds ({', '.join(kinds)}); "
                f"name those of one, as {Path(path) / ('*' + kinds[0])}."
            )
    elif _NUMBER.search(text):
        # As printf writes them: %06d has at least six digits, %d none in front.
        pieces = re.split(_NUMBER.pattern, text)
        starred, exact = glob.escape(pieces[0]), re.escape(pieces[0])
        for zero, digits, rest in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
            width = int(digits or 1) if zero else 1
            starred += "*" + glob.escape(rest)
            exact += rf"(?:\d{{{width}}}|[1-9]\d{{{width},}})" + re.escape(rest)
        files = [Path(f) for f in glob.glob(starred) if re.fullmatch(exact, f)]
    else:
        folder = Path(text).parent
        if folder.is_dir():  # brackets in its name are no pattern
            text = os.path.join(glob.escape(os.fspath(folder)), Path(text).name)
        files = [Path(f) for f in glob.glob(text) if Path(f).is_file()]
    if not files:
        raise ClipError(f"{path} names no picture; check the name and the numbers.")
    files.sort(key=lambda file: natural(str(file)))
    return Sequence(files, _gap(files))


def _gap(files: list[Path]) -> str:
    """Which numbers are left out, where names differ in one number only; "" for none."""
    numbers = [re.findall(r"\d+", f.stem) for f in files]
    if len({len(n) for n in numbers}) != 1 or not numbers[0]:
        return ""
    last = [int(n[-1]) for n in numbers]
    missing = last[-1] - last[0] + 1 - len(last)
    if missing <= 0:
        return ""
    at = next(a + 1 for a, b in zip(last, last[1:], strict=False) if b != a + 1)
    return f"{missing} numbers are left out, the first is {at}"


def read_picture(path: Path) -> np.ndarray:
    """Returns a picture [H, W, 3] uint8 RGB, upright, transparency on black; else ClipError."""
    try:
        with Image.open(path) as image:
            return _rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError as error:
        raise ClipError(f"{path} does not exist; check the name.") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ClipError(f"{path} is no picture that can be read ({error}); replace it.") from error


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.asarray(image).astype(np.float64)
        # PNG of 16 bits; some readers give them as 32.
        grey = np.rint(np.clip(grey, 0, 65535) / 257).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        return over_background(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def is_animated_webp(path: str | os.PathLike) -> bool:
    """Whether a file is WebP; ffmpeg reads no moving ones."""
    if not Path(path).is_file():
        return False
    with open(path, "rb") as file:
        head = file.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"WEBP"


def animation(path: str | os.PathLike) -> Iterator[tuple[float, float, np.ndarray]]:
    """Yields (time, duration, picture) of what Pillow reads; seconds, RGB uint8; ClipError."""
    try:
        with Image.open(path) as image:
            time = 0.0
            for frame in ImageSequence.Iterator(image):
                picture = _rgb(frame)
                # As browsers do: no delay, or one too short for any screen, means a tenth.
                delay = frame.info.get("duration", 0) / 1000
                delay = delay if delay > 0.01 else 0.1
                yield time, delay, picture
                time += delay
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise ClipError(f"{path} is damaged ({error}); copy it again.") from error


def animation_times(path: str | os.PathLike) -> list[float]:
    """Returns the times of the frames of an animation, in seconds."""
    return [time for time, _, _ in animation(path)]
