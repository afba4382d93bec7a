"""How near `--bytes` comes to its target, on development clips; writes targets.csv.

    python experiments/050_field/targets.py CLIPS

A row for each clip and target: bytes asked for and bytes of the whole stream of the first 64 frames
at 256x256, and PSNR.
"""

import argparse
import csv
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
COLUMNS = ("clip", "effort", "target", "bytes", "miss_percent", "psnr")


def main() -> None:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--names", nargs="+", default=[""], help="how the files' names begin")
    parser.add_argument("--targets", nargs="+", type=int, default=[1500, 3000, 5000, 8000])
    parser.add_argument("--effort", type=int, default=1)
    arguments = parser.parse_args()
    keep_compiled_programs()
    codec = FieldCodec()
    paths = sorted({p for name in arguments.names for p in arguments.clips.glob(f"{name}*.mp4")})
    with (HERE / "targets.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for path in paths:
            frames = np.stack(list(read_clip(path, 256, frames=FRAMES).frames))
            for target in arguments.targets:
                options = EncodeOptions(target_bytes=target, effort=arguments.effort)
                data = codec.encode(
                    frames, fps=Fraction(25), options=options, frame_count=len(frames)
                )
                shown = np.stack(list(codec.decode(data)))
                row = {
                    "clip": path.stem,
                    "effort": arguments.effort,
                    "target": target,
                    "bytes": len(data),
                    "miss_percent": f"{100 * (len(data) / target - 1):.1f}",
                    "psnr": f"{psnr(frames, shown).mean():.2f}",
                }
                writer.writerow(row)
                file.flush()
                print(row, flush=True)


if __name__ == "__main__":
    main()
