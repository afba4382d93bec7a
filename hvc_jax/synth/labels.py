"""Pixel labels of rendered clips: depth, body part, true flow and what it cannot reach.

They are drawn from the dressed mesh itself, at the size of the pictures, and stored as small
integers: millimetres, part numbers, sixteenths of a pixel.
"""

import functools
import io
import zipfile
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.raster import Fragments, motion_field, pixel_grid
from hvc_jax.body.raster import labels as labels_of
from hvc_jax.synth.mesh import dressed_body, part_ids

BACKGROUND = 255
"""Part number of pixels that show no person."""

_CHUNK = 8  # frames in one call
_MILLIMETRES, _PER_PIXEL = 1000, 16
_NO_DEPTH = np.iinfo(np.int16).min


class Labels(NamedTuple):
    """What the pixels of T frames of side S show."""

    # `[T, S, S]` float32 metres behind the pelvis, nearer is smaller; +inf off the person
    depth: np.ndarray
    # `[T, S, S]` uint8 part of the body, as `Body.part_ids`; a skirt and long hair have the two
    # numbers after those; BACKGROUND off the person
    parts: np.ndarray
    # `[T, S, S, 2]` float32 pixels (right, down) from a pixel to where its point was one frame
    # before; 0 on the background, which stands still, and in the first frame
    flow: np.ndarray
    visible: np.ndarray  # `[T, S, S]` float32 in [0, 1], how far the frame before shows that point


@functools.partial(jax.jit, static_argnames="size")
def _label_chunk(before: tuple, screen: jax.Array, size: int) -> tuple:
    """Returns labels of frames, each against the one before it, and what the next chunk needs."""
    faces, ids = jnp.asarray(dressed_body().faces), jnp.asarray(part_ids())

    def single(before, now):
        then, fragments = before
        field = motion_field(then, now[None], faces, size, size, key_fragments=fragments)
        mask = field.mask > 0
        flow = (field.grid - pixel_grid(size, size)) * (size / 2)
        # The background stands still; it is new where the person stood before.
        visible = jnp.where(mask, field.visible, fragments.triangle < 0)
        parts = jnp.where(mask, labels_of(field.target_fragments, faces, ids), BACKGROUND)
        made = Labels(field.target_fragments.depth, parts.astype(jnp.uint8), flow, visible)
        return (now[None], field.target_fragments), jax.tree.map(lambda x: x[0], made)

    return jax.lax.scan(single, before, screen)


def label_frames(screen: np.ndarray, size: int) -> Labels:
    """Returns labels of S x S frames from the dressed mesh, `[T, V', 3]` (u, v, depth)."""
    # The first frame is drawn twice: it is its own predecessor.
    frames = len(screen) + 1
    screen = np.concatenate([screen[:1], screen, np.repeat(screen[-1:], -frames % _CHUNK, 0)])
    blank = np.zeros((1, size, size, 3), np.float32)
    before = (screen[:1], Fragments(np.zeros(blank.shape[:3], np.int32), blank, blank[..., 0]))
    pieces = []
    for start in range(0, frames, _CHUNK):
        before, made = _label_chunk(before, screen[start : start + _CHUNK], size)
        pieces.append(made)
    return Labels(*(np.concatenate(parts)[1:frames] for parts in zip(*pieces, strict=True)))


def pack_labels(labels: Labels) -> bytes:
    """Returns the labels of a clip as the bytes of an .npz file."""
    frames = [_whole_numbers(Labels(*frame)) for frame in zip(*labels, strict=True)]
    buffer = io.BytesIO()
    # numpy's own level of compression, 6, takes twice the time for files a quarter smaller.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, arrays in zip(Labels._fields, zip(*frames, strict=True), strict=True):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.stack(arrays), allow_pickle=False)
    return buffer.getvalue()


def _whole_numbers(frame: Labels) -> tuple[np.ndarray, ...]:
    depth = np.where(np.isfinite(frame.depth), frame.depth * _MILLIMETRES, _NO_DEPTH)
    return (
        np.rint(depth).astype(np.int16),
        frame.parts,
        np.rint(frame.flow * _PER_PIXEL).astype(np.int16),
        np.rint(frame.visible * 255).astype(np.uint8),
    )


def write_labels(directory: Path, clip: str, packed: bytes) -> None:
    """Writes packed labels of a clip to the side-car `labels/<clip>.npz` of a data set."""
    folder = directory / "labels"
    folder.mkdir(exist_ok=True)
    (folder / f"{clip}.npz").write_bytes(packed)


def read_labels(directory: Path, clip: str) -> Labels:
    """Returns the labels of a clip of a built data set; FileNotFoundError: not stored."""
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
