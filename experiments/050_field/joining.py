"""Does the mesh flow as a prediction of the displacement field pay? The field alone against it.

python experiments/050_field/joining.py --clips CLIPS --out experiments/050_field/joining.csv

Same key pictures, same encoder, same lmbda. For every frame and each of its key pictures the flow
between the two meshes of the *decoded* parameters is averaged to the control points, rounded to a
lattice of quarter pixels, and given to the encoder as prediction, which the decoder can repeat.

    field        no parameters at all
    hybrid off   the same field, and the parameters, which are there to be edited
    hybrid mean  predicted by the mesh flow's mean over each cell, zero off the body
    hybrid body  predicted by its mean over the body's part of each cell

A unit with a flag would keep the better of "off" and one of the two others.
"""

import argparse
import csv
import functools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.codec.field_encoder import held_where_doubtful
from hvc_jax.codec.field_group import GroupReferences, fields_of, references_at, render
from hvc_jax.codec.options import EncodeOptions
from hvc_jax.codec.rate import Point, RateControl
from hvc_jax.codec.scenes import BodyFinder
from hvc_jax.codec.search import FieldOptions, encode_group
from hvc_jax.data.clips import read_clip
from hvc_jax.models.export import load_export
from hvc_jax.models.motion.mesh_flow import key_mesh, mesh_motion
from hvc_jax.ops.batching import batches, padded
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.ops.warp import identity_grid
from hvc_jax.pose.confidence import DOUBT
from hvc_jax.stream.field import FieldLevels
from hvc_jax.stream.field_layout import planes, segments
from hvc_jax.stream.field_unit import grid_size
from hvc_jax.stream.header import Header
from hvc_jax.stream.vectors import VectorDecoder, VectorEncoder

SIZE, FRAMES, KEY_QP = 256, 64, 42
LATTICE = 4
"""Steps of a pixel to which a prediction is rounded."""
MESH_SCALE = 4
"""Pixels of the picture along a side of a pixel of the mesh flow."""
BATCH = 8
COLUMNS = ("clip", "key_spacing", "effort", "joined", "key_pictures", "key_bytes", "field_bytes",
           "parameter_bytes", "bytes", "psnr", "psnr_without_field", "cost")  # fmt: skip


@functools.partial(jax.jit, static_argnames=("rows", "columns", "height", "width"))
def mesh_at_control_points(
    reference: jax.Array, body: jax.Array, rows: int, columns: int, height: int, width: int
) -> tuple[jax.Array, jax.Array]:
    """Displacement into a reference at control points, in pixels: two of [B, rows, columns, 2].

    The first is the mean over each cell, the second the mean over the body's part of it (zero in
    cells without the body).
    """
    h, w = height // MESH_SCALE, width // MESH_SCALE
    motion = mesh_motion(key_mesh(reference, h, w), body)
    moved = (motion.grid - identity_grid(h, w)) * jnp.array([width, height]) / 2
    near = (jnp.abs(moved).sum(-1, keepdims=True) > 0).astype(moved.dtype)

    def cells(x: jax.Array) -> jax.Array:
        return x.reshape(len(x), rows, h // rows, columns, w // columns, -1).mean((2, 4))

    mean = cells(moved)
    return mean, mean / jnp.maximum(cells(near), 1e-3)


def predictions(
    bodies: np.ndarray, times: np.ndarray, keys: np.ndarray, references: GroupReferences, grid
) -> dict[str, np.ndarray]:
    """What the meshes say of the fields of a group, [T, R, C, 4] each, by the kind of mean."""
    found = np.zeros((2, len(times), *grid, 4), np.float32)
    for side, number in enumerate((references.past, references.future)):
        for part in batches(np.flatnonzero(number >= 0), BATCH):
            at = padded(part, BATCH)
            made = mesh_at_control_points(
                bodies[keys[number[at]]], bodies[times[at]], *grid, SIZE, SIZE
            )
            for kind in range(2):
                found[kind, part, ..., 2 * side : 2 * side + 2] = made[kind][: len(part)]
    found = np.round(found * LATTICE) / LATTICE
    return {"hybrid mean": found[0], "hybrid body": found[1]}


def coded_bodies(frames: np.ndarray, effort: int) -> tuple[np.ndarray, int]:
    """Body vectors [T, 188] as the decoder has them, and the bytes that they cost."""
    tables = load_export("semantic").tables
    vectors, confidence = BodyFinder(effort)(frames)
    vectors, _ = held_where_doubtful(vectors, confidence >= DOUBT)
    usual = EncodeOptions()
    encoder = VectorEncoder(
        tables.schema, tables, group_frames=usual.group_frames, rate_weight=usual.rate_weight
    )
    static, _ = encoder.key(vectors[0], 0)
    groups = [g for v in vectors for g in encoder.push(v)] + encoder.flush()
    decoder = VectorDecoder(tables.schema, tables)
    decoder.key(static)
    decoded = np.concatenate([decoder.motion(group) for group in groups])
    return decoded.astype(np.float32), len(static) + sum(len(g.payload) for g in groups)


def measured(frames: np.ndarray, shown: np.ndarray) -> tuple[float, float]:
    """Mean PSNR in dB, and the squared error of every frame (8-bit steps, mean) summed."""
    pairs = zip(frames, shown, strict=True)
    errors = np.array([np.square(a.astype(np.float32) - b).mean() for a, b in pairs])
    return float(np.mean(10 * np.log10(255**2 / np.maximum(errors, 1e-3)))), float(errors.sum())


class Group:
    """The frames of a clip between given key pictures, and their coding without a prediction."""

    def __init__(self, frames: np.ndarray, spacing: int, effort: int) -> None:
        self.frames, self.effort, self.lmbda = frames, effort, Point(KEY_QP).lmbda
        options = EncodeOptions(key_qp=KEY_QP, effort=effort, key_spacing=spacing)
        header = Header("field", SIZE, SIZE, Fraction(25), len(frames))
        self.alone = RateControl(options, header).code(frames)
        (self.unit,) = self.alone.groups
        pictures = self.alone.keys.pictures
        self.keys = np.array(sorted(pictures))
        self.times = np.setdiff1d(np.arange(len(frames)), self.keys)
        self.references = references_at(
            self.times, self.keys, np.stack([pictures[t] for t in self.keys])
        )
        self.grid = grid_size(self.unit.grid, SIZE, SIZE)

    def coded(self, prediction: np.ndarray) -> tuple[int, np.ndarray]:
        """Bytes of the field on top of a prediction, and the frames [T, H, W, 3] uint8."""
        options = FieldOptions(self.lmbda, self.grid, self.unit.step, self.effort)
        made = encode_group(self.frames[self.times], self.references, options, prediction)
        return len(made.payload), self._shown(made.frames)

    def without_field(self, prediction: np.ndarray | None) -> np.ndarray:
        """The frames that a prediction makes by itself."""
        parts = segments(self.references.past, self.references.future)
        levels = np.zeros((len(planes(parts)), *self.grid), np.int32)
        nothing = FieldLevels(levels, np.zeros(len(self.times), np.uint8), 0)
        return self._shown(render(self.references, fields_of(nothing, self.references, prediction)))

    def row(self, joined: str, size: int, shown: np.ndarray, prediction, spent: int) -> dict:
        """Figures of one way of joining; `spent` are the bytes of the parameters."""
        whole = self.alone.keys.size + size + spent
        decibels, error = measured(self.frames, shown)
        before, _ = measured(self.frames, self.without_field(prediction))
        return {
            "joined": joined, "field_bytes": size, "parameter_bytes": spent, "bytes": whole,
            "psnr": round(decibels, 3), "psnr_without_field": round(before, 3),
            "cost": round(error + self.lmbda * 8 * whole, 1),
        }  # fmt: skip

    def _shown(self, between: np.ndarray) -> np.ndarray:
        shown = self.alone.frames.copy()
        shown[self.times] = between
        return shown


def rows_of(path: Path, spacings: list[int], effort: int) -> Iterator[dict]:
    """Yields the rows of one clip."""
    frames = read_clip(path, SIZE, "crop", frames=FRAMES).frames
    bodies, spent = coded_bodies(frames, effort)
    for spacing in spacings:
        group = Group(frames, spacing, effort)
        about = {"clip": path.stem, "key_spacing": spacing or "chosen", "effort": effort}
        about |= {"key_pictures": len(group.keys), "key_bytes": group.alone.keys.size}
        alone = len(group.unit.payload), group.alone.frames, None
        yield about | group.row("field", *alone, 0)
        yield about | group.row("hybrid off", *alone, spent)
        found = predictions(bodies, group.times, group.keys, group.references, group.grid)
        for joined, prediction in found.items():
            yield about | group.row(joined, *group.coded(prediction), prediction, spent)


def main() -> None:
    """Writes the table, a row at a time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="video files")
    parser.add_argument("--out", type=Path, required=True, help="CSV file")
    parser.add_argument("--effort", type=int, choices=range(4), default=0)
    parser.add_argument("--key-spacing", type=int, nargs="+", default=[0, FRAMES])
    arguments = parser.parse_args()
    keep_compiled_programs()
    with arguments.out.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        for path in arguments.clips:
            for found in rows_of(path, arguments.key_spacing, arguments.effort):
                table.writerow(found)
                file.flush()
                print(found)


if __name__ == "__main__":
    main()
