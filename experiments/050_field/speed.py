"""Frames a second of encoding and decoding fields, by effort; writes speed.csv.

    python experiments/050_field/speed.py CLIPS --names 283 072

A row for each clip and way of encoding, of the first 64 frames at 256x256: the second of two runs,
so that nothing is compiled in it. Seconds of the processor are those of all cores together,
libvvenc's process included; they say more than the clock's where the machine has other work, whose
load is written down too.
"""

import argparse
import csv
import os
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from hvc_jax.codec.field_codec import FieldCodec
from hvc_jax.codec.options import EncodeOptions
from hvc_jax.data.clips import read_clip
from hvc_jax.evaluation.metrics import psnr
from hvc_jax.ops.compile import keep_compiled_programs

HERE = Path(__file__).parent
FRAMES = 64
COLUMNS = ("clip", "coding", "bytes", "psnr", "encode_cpu_ms", "encode_ms", "encode_fps",
           "decode_cpu_ms", "decode_ms", "decode_fps", "load")  # fmt: skip


def timed(what: Callable) -> tuple[object, float, float]:
    """What `what` gives the second time; milliseconds a frame of the processor, of the clock."""
    what()
    before, started = os.times(), time.perf_counter()
    result = what()
    spent, seconds = os.times(), time.perf_counter() - started
    cpu = sum(spent[:4]) - sum(before[:4])
    return result, 1000 * cpu / FRAMES, 1000 * seconds / FRAMES


def row(path: Path, coding: str, options: EncodeOptions) -> dict:
    """Figures of a clip coded with `options`."""
    frames = np.stack(list(read_clip(path, 256, frames=FRAMES).frames))
    codec = FieldCodec()
    data, cpu, wall = timed(
        lambda: codec.encode(frames, fps=Fraction(25), options=options, frame_count=FRAMES)
    )
    shown, decode_cpu, decode_wall = timed(lambda: np.stack(list(codec.decode(data))))
    return {
        "clip": path.stem, "coding": coding, "bytes": len(data),
        "psnr": f"{psnr(frames, shown).mean():.2f}",
        "encode_cpu_ms": f"{cpu:.0f}", "encode_ms": f"{wall:.0f}",
        "encode_fps": f"{1000 / wall:.1f}",
        "decode_cpu_ms": f"{decode_cpu:.1f}", "decode_ms": f"{decode_wall:.1f}",
        "decode_fps": f"{1000 / decode_wall:.0f}", "load": f"{os.getloadavg()[0]:.1f}",
    }  # fmt: skip


def main() -> None:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--names", nargs="+", required=True, help="how the files' names begin")
    parser.add_argument("--efforts", nargs="+", type=int, default=[0, 1])
    arguments = parser.parse_args()
    keep_compiled_programs()
    ways = {f"effort {effort}": EncodeOptions(effort=effort) for effort in arguments.efforts}
    ways["lookahead 0, effort 0"] = EncodeOptions(effort=0, lookahead=0)
    with (HERE / "speed.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for name in arguments.names:
            path = next(arguments.clips.glob(f"{name}*.mp4"))
            for coding, options in ways.items():
                writer.writerow(found := row(path, coding, options))
                file.flush()
                print(found, flush=True)


if __name__ == "__main__":
    main()
