"""Pictures for the eye: clips side by side, and contact sheets of them."""

from collections.abc import Iterator, Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_STRIP = 18  # pixels of the label strip above a picture; even, since 4:2:0 video needs even sides


def _label(text: str, width: int) -> np.ndarray:
    """A strip [_STRIP, width, 3] uint8 with `text` in it."""
    strip = Image.new("RGB", (width, _STRIP), (24, 24, 24))
    font = ImageFont.load_default(size=12)
    ImageDraw.Draw(strip).text((4, 2), text, fill=(235, 235, 235), font=font)
    return np.asarray(strip)


def side_by_side(clips: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    """Yields frames with the clips next to each other under their names.

    Args:
        clips: Name to frames [T, H, W, 3] uint8, all of one height; the shortest sets the length.

    Yields:
        [H + 18, sum of W, 3] uint8.
    """
    header = np.concatenate([_label(n, c.shape[2]) for n, c in clips.items()], axis=1)
    for frames in zip(*clips.values(), strict=False):
        yield np.concatenate([header, np.concatenate(frames, axis=1)], axis=0)


def contact_sheet(clips: Mapping[str, np.ndarray], columns: int = 6) -> np.ndarray:
    """A picture with one row per clip and evenly spaced times as columns.

    Args:
        clips: Name to frames [T, H, W, 3] uint8, all of one size.
        columns: Frames per clip, the first and the last among them.

    Returns:
        [rows * (H + 18), columns * W, 3] uint8.
    """
    rows = []
    for name, frames in clips.items():
        times = np.linspace(0, len(frames) - 1, columns).round().astype(int)
        pictures = np.concatenate([frames[t] for t in times], axis=1)
        rows += [_label(f"{name}   frames {', '.join(map(str, times))}", pictures.shape[1])]
        rows += [pictures]
    return np.concatenate(rows, axis=0)
