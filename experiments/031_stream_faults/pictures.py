"""What lost MOTION units cost in the decoded frames: PSNR against the clip, in dB.

python experiments/031_stream_faults/pictures.py --clips DIR   # writes pictures.csv
"""

import argparse
import io
from fractions import Fraction
from pathlib import Path

import numpy as np
from losses import patterns

from hvc_jax.codec.codec import Codec
from hvc_jax.codec.conceal import RepairingDecoder
from hvc_jax.codec.options import EncodeOptions
from hvc_jax.data.clips import read_clip
from hvc_jax.evaluation.metrics import psnr
from hvc_jax.evaluation.table import csv_text
from hvc_jax.models.export import load_export
from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.units import UnitType

HERE = Path(__file__).parent
SIDE, FRAMES = 256, 64
SETTINGS = ((1, 10), (5, 5))
"""Frames of a unit, and units from one that decodes on its own to the next."""


def damaged(data: bytes, lost: np.ndarray) -> bytes:
    """Returns the stream with wrong checksums in the MOTION units that are lost."""
    motion = [u for u in StreamReader(io.BytesIO(data)).units() if u.type == UnitType.MOTION]
    out = bytearray(data)
    for unit, gone in zip(motion, lost, strict=True):
        if gone:
            out[unit.offset + unit.size - 1] ^= 0x55
    return bytes(out)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, required=True, help="folder of video files")
    parser.add_argument("--count", type=int, default=4, help="clips, spread over the folder")
    arguments = parser.parse_args()
    files = sorted(arguments.clips.glob("*.mp4"))
    chosen = np.linspace(0, len(files) - 1, arguments.count).astype(int)
    rows = []
    for variant in ("semantic", "implicit"):
        codec = Codec(load_export(variant))
        scores: dict[tuple, list[tuple[float, ...]]] = {}
        for number, path in enumerate(files[i] for i in chosen):
            source = read_clip(path, SIDE, frames=FRAMES).frames
            for frames_of_unit, resync in SETTINGS:
                file = io.BytesIO()
                options = EncodeOptions(
                    group_frames=frames_of_unit, resync_groups=resync, cuts=False
                )
                codec.encode(source, file, fps=Fraction(25), options=options)
                data = file.getvalue()
                units = list(StreamReader(io.BytesIO(data)).units())
                motion = [unit for unit in units if unit.type == UnitType.MOTION]
                bits = 8 * sum(unit.size for unit in motion) / len(source)
                rng = np.random.default_rng(number)
                none = {"nothing": np.zeros(len(motion), bool)}
                for name, lost in (none | patterns(len(motion), rng)).items():
                    repair = RepairingDecoder(codec, io.BytesIO(damaged(data, lost)))
                    quality = psnr(source, np.stack(list(repair.frames()))).mean()
                    held = len(repair.held) / len(source)
                    case = (variant, frames_of_unit, resync, name)
                    scores.setdefault(case, []).append((bits, held, quality))
                    print(path.stem, *case, f"{held:.1%} {quality:.2f}", sep="\t", flush=True)
        for (_, frames_of_unit, resync, name), clips in scores.items():
            bits, held, quality = np.mean(clips, 0)
            whole = np.mean(scores[variant, frames_of_unit, resync, "nothing"], 0)[2]
            rows.append(
                {
                    "model": variant,
                    "frames_per_unit": frames_of_unit,
                    "resync_every_units": resync,
                    "motion_bits_per_frame": round(bits, 1),
                    "lost": name,
                    "held_frames": f"{held:.1%}",
                    "psnr": round(quality, 2),
                    "psnr_less": round(whole - quality, 2),
                }
            )
    (HERE / "pictures.csv").write_text(csv_text(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
