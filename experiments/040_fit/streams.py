"""Whole semantic streams, decoded back, by effort: adds rows to streams.csv.

    python experiments/040_fit/streams.py CLIPS --bodies NAME [--names 260 072 259] [--efforts 0 1]

NAME says whose bodies the program at hand finds: rows of other names stay, those of this name, clip
and effort are replaced. Writes means over clips to streams_means.csv. `overlap` is the intersection
over union of the bodies with the person mask of MediaPipe's pose landmark network.
"""

import argparse
import io
from fractions import Fraction
from pathlib import Path

import numpy as np

from hvc_jax.codec.codec import Codec
from hvc_jax.codec.options import EncodeOptions
from hvc_jax.codec.scenes import BodyFinder
from hvc_jax.data.clips import read_clip
from hvc_jax.evaluation.metrics import psnr
from hvc_jax.evaluation.table import csv_text, read_rows
from hvc_jax.models.export import load_export
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.pose.confidence import overlap
from hvc_jax.pose.sight import see
from hvc_jax.stream.container import StreamReader, UnitType

TABLE = Path(__file__).parent / "streams.csv"
NUMBERS = "bytes motion_bytes psnr overlap".split()


def coded(codec: Codec, frames: np.ndarray, effort: int, masks: np.ndarray | None) -> dict:
    """Returns sizes and scores of a clip's stream."""
    bodies, confidence = BodyFinder(effort)(frames)
    codec = Codec(codec.export, body_finder=lambda _: lambda _: (bodies, confidence))
    options = EncodeOptions(effort=effort)
    stream = codec.encode(iter(frames), fps=Fraction(25), options=options)
    units = StreamReader(io.BytesIO(stream)).units()
    return {
        "bytes": len(stream),
        "motion_bytes": sum(unit.size for unit in units if unit.type == UnitType.MOTION),
        "psnr": f"{psnr(frames, np.stack(list(codec.decode(stream)))).mean():.2f}",
        "overlap": "" if masks is None else f"{overlap(bodies, masks).mean():.3f}",
    }


def write(rows: list[dict]) -> None:
    """Writes both tables."""
    TABLE.write_text(csv_text(rows))
    means = []
    for bodies, effort in sorted({(row["bodies"], int(row["effort"])) for row in rows}):
        mine = [r for r in rows if r["bodies"] == bodies and int(r["effort"]) == effort]
        numbers = {n: f"{np.mean([float(row[n]) for row in mine]):.4g}" for n in NUMBERS}
        means.append({"bodies": bodies, "effort": effort, "clips": len(mine)} | numbers)
    TABLE.with_name("streams_means.csv").write_text(csv_text(means))


def main() -> None:
    """Codes, measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--bodies", required=True)
    parser.add_argument("--names", nargs="*", default=[""], help="beginnings of file names")
    parser.add_argument("--efforts", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--frames", type=int, default=32)
    given = parser.parse_args()
    keep_compiled_programs()
    codec = Codec(load_export("semantic"))
    rows = read_rows(TABLE) if TABLE.exists() else []
    for path in sorted(p for n in given.names for p in given.clips.glob(f"{n}*.mp4")):
        frames = read_clip(path, 256, frames=given.frames).frames
        seen = see(frames)
        for effort in given.efforts:
            name = {"bodies": given.bodies, "clip": path.stem, "effort": effort}
            scores = coded(codec, frames, effort, None if seen is None else seen.mask)
            rows = [r for r in rows if any(str(r[k]) != str(v) for k, v in name.items())]
            rows.append(name | scores)
            print(rows[-1], flush=True)
            write(rows)


if __name__ == "__main__":
    main()
