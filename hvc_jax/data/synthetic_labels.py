"""Pixel labels of rendered clips: depth, body part, true flow and what it cannot reach.

They are drawn from the dressed mesh itself, at the size of the pictures, and stored as small
integers: millimetres, part numbers, sixteenths of a pixel.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from hvc_jax.body.raster import labels as labels_of
from hvc_jax.body.raster import motion_field, pixel_grid
from hvc_jax.data.synthetic_mesh import dressed_body

BACKGROUND = 255
"""Part number of pixels that show no person."""

_CHUNK = 8  # frames in one call
_MILLIMETRES, _PER_PIXEL = 1000, 16
_NO_DEPTH = np.iinfo(np.int16).min


class Labels(NamedTuple):
    """What the pixels of T frames of side S show.

    Attributes:
      depth: `[T, S, S]` float32 metres behind the pelvis, nearer is smaller; +inf off the person.
      parts: `[T, S, S]` uint8 part of the body, as `Body.part_ids`; a skirt and long hair have the
        two numbers after those; BACKGROUND off the person.
      flow: `[T, S, S, 2]` float32 pixels (right, down) from a pixel to where its point was one
        frame before; 0 on the background, which stands still, and in the first frame.
      visible: `[T, S, S]` float32 in [0, 1], how far the frame before shows that point.
    """

    depth: np.ndarray
    parts: np.ndarray
    flow: np.ndarray
    visible: np.ndarray


def part_ids() -> np.ndarray:
    """Returns the part number of every vertex of the dressed body, int32 `[V']`."""
    mesh = dressed_body()
    body = np.asarray(mesh.body.part_ids)
    sheets = [np.full(count, body.max() + 1 + i) for i, count in enumerate(mesh.counts[1:])]
    return np.concatenate([body, *sheets]).astype(np.int32)


def label_frames(screen: np.ndarray, size: int) -> Labels:
    """Returns the labels of frames from where the dressed mesh stands in them.

    Args:
      screen: `[T, V', 3]` (u, v, depth) of its vertices.
      size: S.
    """
    faces, ids = dressed_body().faces, part_ids()
    before = np.concatenate([screen[:1], screen[:-1]])
    place = np.asarray(pixel_grid(size, size))
    pieces = []
    for start in range(0, len(screen), _CHUNK):
        now, then = screen[start : start + _CHUNK], before[start : start + _CHUNK]
        count = len(now)
        now, then = (np.concatenate([x, np.repeat(x[-1:], _CHUNK - count, 0)]) for x in (now, then))
        field = motion_field(then, now, faces, size, size)
        parts = labels_of(field.target_fragments, faces, ids)
        grid, mask, visible, depth, parts, shown = jax.device_get(
            (
                field.grid,
                field.mask > 0,
                field.visible,
                field.target_fragments.depth,
                parts,
                field.key_fragments.triangle >= 0,
            )
        )
        flow = (grid - place) * (size / 2)
        # The background stands still; it is new where the person stood before.
        visible = np.where(mask, visible, 1.0 - shown)
        parts = np.where(mask, parts, BACKGROUND).astype(np.uint8)
        labels = Labels(depth, parts, flow.astype(np.float32), visible.astype(np.float32))
        pieces.append([x[:count] for x in labels])
    return Labels(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))


def write_labels(directory: Path, clip: str, labels: Labels) -> None:
    """Writes the labels of a clip to the side-car `labels/<clip>.npz` of a data set."""
    folder = directory / "labels"
    folder.mkdir(exist_ok=True)
    depth = np.where(np.isfinite(labels.depth), labels.depth * _MILLIMETRES, _NO_DEPTH)
    np.savez_compressed(
        folder / f"{clip}.npz",
        depth=np.round(depth).astype(np.int16),
        parts=labels.parts,
        flow=np.round(labels.flow * _PER_PIXEL).astype(np.int16),
        visible=np.round(labels.visible * 255).astype(np.uint8),
    )


def read_labels(directory: Path, clip: str) -> Labels:
    """Returns the labels of a clip of a built data set.

    Raises:
      FileNotFoundError: They were not stored.
    """
    path = directory / "labels" / f"{clip}.npz"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no labels; build with hvc data synthesise --labels")
    with np.load(path, allow_pickle=False) as stored:
        depth, flow = stored["depth"], stored["flow"]
        return Labels(
            np.where(depth == _NO_DEPTH, np.inf, depth / np.float32(_MILLIMETRES)),
            stored["parts"],
            flow / np.float32(_PER_PIXEL),
            stored["visible"] / np.float32(255),
        )
