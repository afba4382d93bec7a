"""Pictures for the eye: clips side by side, and contact sheets of them."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hvc_jax.ops.files import atomic_path

_STRIP = 18  # pixels of the label strip above a picture; even, since 4:2:0 video needs even sides


def _label(text: str, width: int) -> np.ndarray:
    """A strip [_STRIP, width, 3] uint8 with `text` in it."""
    strip = Image.new("RGB", (width, _STRIP), (24, 24, 24))
    font = ImageFont.load_default(size=12)
    ImageDraw.Draw(strip).text((4, 2), text, fill=(235, 235, 235), font=font)
    return np.asarray(strip)


def side_by_side(clips: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    """Yields frames [H + 18, sum of W, 3] uint8 of clips next to each other under their names.

    The clips [T, H, W, 3] uint8 have one height; the shortest sets the length.
    """
    header = np.concatenate([_label(n, c.shape[2]) for n, c in clips.items()], axis=1)
    for frames in zip(*clips.values(), strict=False):
        yield np.concatenate([header, np.concatenate(frames, axis=1)], axis=0)


def contact_sheet(clips: Mapping[str, np.ndarray], columns: int = 6) -> np.ndarray:
    """A picture [rows * (H + 18), columns * W, 3] uint8 with one row per clip.

    Columns are evenly spaced times, the first and the last among them; clips [T, H, W, 3] uint8 are
    of one size.
    """
    times = _times(len(next(iter(clips.values()))), columns)
    text = f"frames {', '.join(map(str, times))}"
    return stack_strips({f"{name}   {text}": strip(clip, columns) for name, clip in clips.items()})


def strip(frames: np.ndarray, columns: int = 6) -> np.ndarray:
    """Evenly spaced frames [T, H, W, 3] uint8 next to each other: [H, columns * W, 3]."""
    return np.concatenate([frames[t] for t in _times(len(frames), columns)], axis=1)


def stack_strips(strips: Mapping[str, np.ndarray]) -> np.ndarray:
    """Strips [H, W, 3] uint8 of one size below each other, each under its name."""
    rows = []
    for name, picture in strips.items():
        rows += [_label(name, picture.shape[1]), picture]
    return np.concatenate(rows, axis=0)


def write_strip(path: Path, frames: np.ndarray) -> None:
    """Writes the strip of a clip [T, H, W, 3] uint8 as JPEG of high quality."""
    with atomic_path(path) as part:
        Image.fromarray(strip(frames)).save(part, format="JPEG", quality=95, subsampling=0)


class Strip(NamedTuple):
    """A strip on the disk, CODEC.qpQP.BYTES.jpg, with what its name says."""

    codec: str
    qp: str
    bytes: int
    path: Path


def read_strips(folder: Path) -> list[Strip]:
    """The strips of one clip's folder, without that of the source."""
    found = []
    for path in sorted(folder.glob("*.qp*.*.jpg")):
        if match := re.fullmatch(r"(.+)\.qp(.*)\.(\d+)\.jpg", path.name):
            found.append(Strip(match[1], match[2], int(match[3]), path))
    return found


def sheet_at_equal_rate(folder: Path, target_bytes: int, codecs: Sequence[str]) -> np.ndarray:
    """The source and every codec's strip that is nearest in size to a target, with its size.

    `folder` has the strips of one clip, by `write_strip`, and source.jpg; codecs without are left
    out.
    """
    strips = read_strips(folder)
    rows = {"source": np.asarray(Image.open(folder / "source.jpg"))}
    for codec in codecs:
        mine = [strip for strip in strips if strip.codec == codec]
        if mine:
            best = min(mine, key=lambda one: abs(math.log(one.bytes / target_bytes)))
            point = codec if best.qp is None else f"{codec}   QP {best.qp}"
            name = f"{point}   {best.bytes} bytes ({best.bytes / target_bytes:.0%})"
            rows[name] = np.asarray(Image.open(best.path))
    return stack_strips(rows)


def _times(count: int, columns: int) -> list[int]:
    """Evenly spaced frame numbers, the first and the last among them."""
    return np.linspace(0, count - 1, columns).round().astype(int).tolist()
