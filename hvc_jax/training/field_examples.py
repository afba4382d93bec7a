"""Examples for the generator of displacement fields: clips coded once, the frames they are made of.

    code_clips(paths, folder)                         # a .npy a clip and operating point
    examples = FieldExamples(folder)
    examples.batch(size=8, side=128, seed=0, step=1)  # random crops

Coding a clip takes far longer than a training step, so it is done beforehand, at random operating
points and key spacings, by the encoder that makes streams. What is kept of a frame are the 13
planes of `field_generator.Sources` and the 3 of the frame itself, as bytes.
"""

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from hvc_jax.codec.field_group import fields_of, references_at, sources
from hvc_jax.codec.rate import FIELD_STEP, GRID, Point, key_places
from hvc_jax.codec.segment import Quality, code_keys, code_segment
from hvc_jax.data.clips import read_clip
from hvc_jax.ops.files import write_bytes, write_text
from hvc_jax.stream.field import decode_levels
from hvc_jax.stream.field_layout import segments
from hvc_jax.stream.field_unit import grid_size

QPS = (34, 52)
"""Key pictures are coded at one of these and those between, drawn anew for every coding."""
SPACINGS = (8, 16, 16, 32, 64)
"""Frames between key pictures, drawn likewise."""
PLANES = 16


def code_frames(frames: np.ndarray, qp: int, spacing: int, effort: int = 1) -> np.ndarray:
    """What the decoder makes every frame of, and the frame: [T, H, W, 16] uint8.

    `frames`: [T, H, W, 3] uint8; `qp`: of the intra key picture, 0 to 63; `spacing`: frames between
    key pictures; `effort`: of the encoder, 0 to 3.
    """
    keys = code_keys(frames, key_places(len(frames), spacing), qp, preset="fast")
    quality = Quality(qp, Point(qp).lmbda, FIELD_STEP, GRID)
    coded = code_segment(frames, keys, quality, effort)
    planes = np.empty((*frames.shape[:3], PLANES), np.uint8)
    planes[..., 13:] = frames
    for t, picture in keys.pictures.items():
        planes[t, ..., :12] = np.tile(picture, 4)
        planes[t, ..., 12] = 128
    known: dict[int, np.ndarray] = {0: keys.pictures[0]}
    for group in coded.groups:
        known |= {p.frame: keys.pictures[p.frame] for p in group.pictures}
        shown = range(group.frame, group.frame + group.count)
        times = np.array([t for t in shown if t not in keys.pictures], int)
        if not len(times):
            continue
        at = np.array(sorted(known))
        references = references_at(times, at, np.stack([known[t] for t in at]))
        rows, columns = grid_size(group.grid, *frames.shape[1:3])
        parts = segments(references.past, references.future)
        levels = decode_levels(group.payload, parts, rows, columns, group.step)
        points = fields_of(levels, references)
        made = sources(references, points, levels.modes)
        planes[times, ..., :12] = _bytes(made.pictures)
        planes[times, ..., 12:13] = _bytes(made.share)
    return planes


def code_clips(
    paths: Sequence[Path],  # of the clips
    folder: Path,  # is made
    *,
    side: int = 256,  # of the pictures, pixels
    frames: int = 48,  # of each clip, from a random place on
    kept: int = 16,  # frames of them, evenly spaced, among them key pictures
    rounds: int = 1,  # codings of each clip
    seed: int = 0,  # of operating points and places
    effort: int = 1,  # of the encoder
) -> None:
    """Codes clips into a folder; what is there already, by its name, is not coded again."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(number, path) for number in range(rounds) for path in paths]
    for number, path in tqdm(jobs, desc="coding clips", unit="clip"):
        name = f"{path.stem}_{number}"
        if (folder / f"{name}.json").exists():
            continue
        rng = np.random.default_rng((seed, number, *path.stem.encode()))
        qp, spacing = int(rng.integers(QPS[0], QPS[1] + 1)), int(rng.choice(SPACINGS))
        pictures = np.stack(list(read_clip(path, side).frames))
        start = int(rng.integers(0, max(1, len(pictures) - frames + 1)))
        planes = code_frames(pictures[start : start + frames], qp, spacing, effort)
        with io.BytesIO() as memory:
            np.save(memory, planes[_spaced(len(planes), kept)])
            write_bytes(folder / f"{name}.npy", memory.getvalue())
        write_text(folder / f"{name}.json", json.dumps({"qp": qp, "spacing": spacing}))


class FieldExamples:
    """The examples of a folder that `code_clips` made; pictures stay on the disk until used."""

    def __init__(self, folder: Path) -> None:
        """Opens the folder. Raises ValueError: there are none."""
        records = sorted(Path(folder).glob("*.json"))
        if not records:
            raise ValueError(f"{folder} has no coded clips; make them with hvc data fields")
        self.planes = [np.load(path.with_suffix(".npy"), mmap_mode="r") for path in records]
        self.qps = [json.loads(path.read_text())["qp"] for path in records]

    def batch(self, size: int, side: int, seed: int, step: int) -> dict[str, np.ndarray]:
        """A batch of random crops, mirrored at random: a function of (seed, step).

        Returns:
            sources [B, side, side, 13] uint8, target and key [B, side, side, 3] uint8, and qp [B].
        """
        rng = np.random.default_rng((seed, step))
        crops, qps = [], []
        for _ in range(size):
            clip = int(rng.integers(len(self.planes)))
            planes = self.planes[clip]
            count, height, width, _ = planes.shape
            frame = int(rng.integers(count))
            top = int(rng.integers(0, height - side + 1))
            left = int(rng.integers(0, width - side + 1))
            crop = planes[frame, top : top + side, left : left + side]
            crops.append(crop[:, ::-1] if rng.integers(2) else crop)
            qps.append(self.qps[clip])
        return _named(np.stack(crops), qps)

    def batches(self, size: int, side: int, seed: int, start: int) -> Iterator[dict]:
        """Yields the batches from a step on, without end."""
        while True:
            yield self.batch(size, side, seed, start)
            start += 1

    def sequences(self, clips: int, frames: int) -> list[dict[str, np.ndarray]]:
        """Whole frames for validation: of `clips` codings, `frames` of each, both evenly spaced."""
        chosen = _spaced(len(self.planes), clips)
        return [
            _named(self.planes[i][_spaced(len(self.planes[i]), frames)], [self.qps[i]] * frames)
            for i in chosen
        ]


def _named(planes: np.ndarray, qps: Sequence[int]) -> dict[str, np.ndarray]:
    planes = np.ascontiguousarray(planes)
    return {
        "sources": planes[..., :13],
        "key": planes[..., 6:9],
        "target": planes[..., 13:],
        "qp": np.asarray(qps, np.float32),
    }


def _bytes(x: np.ndarray) -> np.ndarray:
    return np.clip(np.round(np.asarray(x) * 255), 0, 255).astype(np.uint8)


def _spaced(count: int, wanted: int) -> np.ndarray:
    """`wanted` of the numbers below `count`, evenly spaced, the first and the last among them."""
    return np.linspace(0, count - 1, wanted).round().astype(int)
