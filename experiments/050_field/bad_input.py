"""Clips that displacement fields are not made for, beside VVC and hold at equal bytes.

    python experiments/050_field/bad_input.py CLIPS --names 283 072

Makes a clip of 64 frames at 256x256 with a moving camera, with nobody in it, with two people, with
a cut, flashes, and black frames from two clips, codes each with the field codec, and writes
bad_input.csv: PSNR (of the clip's mean squared error) of the field stream, and of VVC (random
access, as in `hvc evaluate`) and of the held key picture at its bytes, between the two nearest of
several QPs.
"""

import argparse
import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from hvc_jax.codec.field_codec import FieldCodec
from hvc_jax.codec.options import EncodeOptions
from hvc_jax.data.clips import read_clip
from hvc_jax.evaluation.anchors import code_clip, hold
from hvc_jax.ops.compile import keep_compiled_programs

HERE = Path(__file__).parent
FRAMES, SIZE, FPS = 64, 256, Fraction(25)
VVC_QPS, HOLD_QPS = (40, 45, 50, 55, 60), (22, 27, 32, 37, 42, 47, 52)
COLUMNS = ("clip", "bytes", "field", "vvc", "vvc_bytes", "hold", "hold_bytes")


def moving_camera(frames: np.ndarray) -> np.ndarray:
    """A window of three quarters of the picture that sways over it, by up to 4 pixels a frame."""
    side = 3 * SIZE // 4
    turn = np.linspace(0, 4 * np.pi, len(frames))
    corner = (SIZE - side) / 2 * (1 + np.stack([np.sin(turn), np.cos(turn / 2)], 1))
    return np.stack(
        [
            f[y : y + side, x : x + side]
            for f, (y, x) in zip(frames, corner.astype(int), strict=True)
        ]
    )


def nobody(seed: int) -> np.ndarray:
    """Smooth noise that slides by 2 pixels a frame."""
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.normal(size=(SIZE, SIZE + 2 * FRAMES, 3)), (3, 3, 0))
    noise = 128 + 40 * noise / noise.std()
    return np.stack([noise[:, 2 * t : 2 * t + SIZE] for t in range(FRAMES)]).clip(0, 255)


def trouble(one: np.ndarray, other: np.ndarray) -> dict[str, np.ndarray]:
    """The clips [64, H, W, 3] uint8 by name, of two clips of people."""
    middle = slice(SIZE // 4, 3 * SIZE // 4)
    flashes, black = one.astype(float), one.copy()
    flashes[20:22] = 255 - 0.4 * (255 - flashes[20:22])
    flashes[45] = 255 - 0.2 * (255 - flashes[45])
    black[30:40] = 0
    clips = {
        "moving camera": moving_camera(one),
        "nobody": nobody(0),
        "two people": np.concatenate([one[:, :, middle], other[:, :, middle]], 2),
        "a cut": np.concatenate([one[: FRAMES // 2], other[: FRAMES // 2]]),
        "flashes": flashes,
        "black frames": black,
    }
    return {name: np.round(clip).astype(np.uint8) for name, clip in clips.items()}


def psnr(frames: np.ndarray, shown: np.ndarray) -> float:
    """Of the mean squared error of all frames: black ones are coded without any."""
    return float(-10 * np.log10(np.square(frames / 255.0 - shown / 255.0).mean()))


def at_bytes(points: list[tuple[int, float]], size: int) -> tuple[float, int]:
    """PSNR at a size, linear in log bytes between points, and the size meant: the nearest end's
    where no two points lie around it.
    """
    points = sorted(points)
    meant = int(np.clip(size, points[0][0], points[-1][0]))
    sizes, scores = np.transpose(points)
    return float(np.interp(np.log(meant), np.log(sizes), scores)), meant


def main() -> None:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--names", nargs=2, required=True, help="how the files' names begin")
    parser.add_argument("--key-qp", type=int, default=44)
    arguments = parser.parse_args()
    keep_compiled_programs()
    codec, options = FieldCodec(), EncodeOptions(key_qp=arguments.key_qp)
    paths = [next(arguments.clips.glob(f"{name}*.mp4")) for name in arguments.names]
    people = [np.stack(list(read_clip(path, SIZE, frames=FRAMES).frames)) for path in paths]
    with (HERE / "bad_input.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for name, frames in trouble(*people).items():
            data = codec.encode(frames, fps=FPS, options=options, frame_count=FRAMES)
            shown = np.stack(list(codec.decode(data)))
            vvc = [code_clip(frames, FPS, "vvc", qp, "best") for qp in VVC_QPS]
            held = [hold(frames, qp) for qp in HOLD_QPS]
            row = {"clip": name, "bytes": len(data), "field": psnr(frames, shown)}
            for codec_name, made in (("vvc", vvc), ("hold", held)):
                points = [(a.bytes, psnr(frames, a.frames)) for a in made]
                row[codec_name], row[f"{codec_name}_bytes"] = at_bytes(points, len(data))
            row |= {key: f"{row[key]:.2f}" for key in ("field", "vvc", "hold")}
            writer.writerow(row)
            file.flush()
            print(row, flush=True)


if __name__ == "__main__":
    main()
