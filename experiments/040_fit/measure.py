"""What bodies are worth: PSNR of motion against the held key picture, per clip and effort.

    python experiments/040_fit/measure.py CLIPS [--names 016 054 ...] [--frames 32] [--stride 2]

Appends to fit.csv beside it, goes on where it stopped, and writes means over clips to
fit_means.csv. CLIPS is a folder of square clips. Levels are rounded as in the stream; nothing is
held in `gain`, and in `gain_held` what the encoder holds.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
from rows import append_row

from hvc_jax import keyframes
from hvc_jax.codec.codec import Codec
from hvc_jax.codec.hold import better_held
from hvc_jax.data.clips import read_clip, write_png
from hvc_jax.models.export import load_export
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.pose.confidence import DOUBT
from hvc_jax.pose.estimator import estimate_bodies
from hvc_jax.pose.overlay import overlay

TABLE = Path(__file__).parent / "fit.csv"
FIELDS = "clip effort frames hold_psnr gain held gain_held confidence doubtful seconds".split()

MEANS = "hold_psnr gain held gain_held confidence doubtful seconds".split()


def psnr(frames: np.ndarray, made: np.ndarray) -> np.ndarray:
    """PSNR of each frame, dB."""
    error = np.square(frames.astype(np.float32) - made).mean((1, 2, 3))
    return 10 * np.log10(255**2 / np.maximum(error, 1e-3))


def drawn(codec: Codec, key: np.ndarray, bodies: np.ndarray) -> np.ndarray:
    """The frames that the decoder makes of bodies [T, 188], the first being that of the key."""
    latents = bodies.copy()
    for slot in codec.export.tables.schema.dynamic:
        latents[:, slot.index] = np.round(latents[:, slot.index] / slot.step) * slot.step
    features = codec.networks.features(key)
    return np.stack(list(codec.networks.draw(key, features, latents[0], latents)))


def sheet(frames: np.ndarray, bodies: np.ndarray, count: int = 8) -> np.ndarray:
    """Frames above the same with the mesh on them, at half size."""
    pick = np.linspace(0, len(frames) - 1, count).round().astype(int)
    over = np.stack(list(overlay(frames[pick], bodies[pick])))
    rows = [np.concatenate(list(part), 1) for part in (frames[pick], over)]
    return np.concatenate(rows)[::2, ::2]


def write_means() -> None:
    """Writes the means over clips of every effort."""
    rows = list(csv.DictReader(TABLE.open()))
    with TABLE.with_name("fit_means.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["effort", "clips", *MEANS], lineterminator="\n")
        writer.writeheader()
        for effort in sorted({row["effort"] for row in rows}):
            part = [row for row in rows if row["effort"] == effort]
            means = {k: f"{np.mean([float(row[k]) for row in part]):.4g}" for k in MEANS}
            writer.writerow({"effort": effort, "clips": len(part)} | means)


def main() -> None:
    """Measures what is not in the table yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--names", nargs="*", default=[""], help="beginnings of file names")
    parser.add_argument("--efforts", type=int, nargs="*", default=[0, 1, 2, 3])
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--stride", type=int, default=2)
    parser.add_argument("--sheets", type=Path, help="folder for pictures of the overlays")
    settings = parser.parse_args()
    keep_compiled_programs()
    done = set()
    if TABLE.exists():
        done = {(row["clip"], int(row["effort"])) for row in csv.DictReader(TABLE.open())}
    codec = Codec(load_export("semantic"))
    paths = sorted(p for n in settings.names for p in settings.clips.glob(f"{n}*.mp4"))
    warm: set[int] = set()
    for path in paths:
        todo = [effort for effort in settings.efforts if (path.stem, effort) not in done]
        if not todo:
            continue
        frames = read_clip(path, frames=settings.frames, stride=settings.stride).frames
        coded = keyframes.encode(frames[0], 32, "auto")
        key = keyframes.decode(coded.codec, coded.payload, *frames.shape[1:3])
        hold = psnr(frames, np.repeat(key[None], len(frames), 0))
        for effort in todo:
            if effort not in warm:  # compiles
                estimate_bodies(frames, effort)
                warm.add(effort)
            begin = time.process_time()
            bodies, trust = estimate_bodies(frames, effort)
            seconds = (time.process_time() - begin) / len(frames)
            made = drawn(codec, key, bodies)
            held = better_held(frames, made, key)
            moved = psnr(frames, made)
            values = (path.stem, effort, len(frames), hold.mean(), (moved - hold).mean())
            values += (held.mean(), np.where(held, 0, moved - hold).mean(), trust.mean())
            values += ((trust < DOUBT).mean(), seconds)
            row = dict(zip(FIELDS, values, strict=True))
            row = {
                k: f"{v:.4g}" if isinstance(v, np.floating | float) else v for k, v in row.items()
            }
            append_row(TABLE, FIELDS, row)
            print(row, flush=True)
            if settings.sheets:
                settings.sheets.mkdir(parents=True, exist_ok=True)
                write_png(settings.sheets / f"{path.stem}_{effort}.png", sheet(frames, bodies))
    write_means()


if __name__ == "__main__":
    main()
