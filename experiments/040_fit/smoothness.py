"""How smooth fitted bodies should be: motion bytes and PSNR of whole streams, on training clips.

    python experiments/040_fit/smoothness.py CLIPS --names 002 029 ... [--frames 32]

CLIPS is the folder of training clips, so that no setting is chosen on validation clips. Effort 1,
shipped semantic model, nothing held, streams decoded back. `acceleration` and `velocity` multiply
the weights of `FitWeights` for pose and camera. Writes smoothness.csv and smoothness_means.csv.
"""

import argparse
import io
from fractions import Fraction
from pathlib import Path

import jax
import numpy as np

from hvc_jax.bitstream.container import StreamReader, UnitType
from hvc_jax.body.assets import load_body
from hvc_jax.body.fit_objective import FitWeights
from hvc_jax.body.lbs import posed_vertices
from hvc_jax.body.params import NUM_BODY_JOINTS, unpack
from hvc_jax.body.pose_error import acceleration
from hvc_jax.codec import Codec, EncodeOptions
from hvc_jax.data.clips import read_clip
from hvc_jax.evaluation.metrics import psnr
from hvc_jax.evaluation.table import csv_text
from hvc_jax.models.body_estimator import estimate
from hvc_jax.models.export import load_export
from hvc_jax.ops.compile import keep_compiled_programs

# Relative to the first weights of the fit: of squared accelerations, of velocities.
POINTS = ((1, 1), (2, 1), (4, 1), (2, 4), (16, 4))
FIRST = FitWeights(pose_acceleration=2.0, camera_acceleration=8.0)


@jax.jit
def _joints(vectors: jax.Array) -> jax.Array:
    return posed_vertices(load_body(), unpack(vectors))[1][:, :NUM_BODY_JOINTS]


def main() -> None:
    """Fits, codes and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--names", nargs="*", default=[""], help="beginnings of file names")
    parser.add_argument("--frames", type=int, default=32)
    given = parser.parse_args()
    keep_compiled_programs()
    codec, rows = Codec(load_export("semantic")), []
    for path in sorted(p for n in given.names for p in given.clips.glob(f"{n}*.mp4")):
        frames = read_clip(path, 256, frames=given.frames).frames
        for more, faster in POINTS:
            weights = FIRST._replace(
                pose_acceleration=FIRST.pose_acceleration * more,
                camera_acceleration=FIRST.camera_acceleration * more,
                pose_velocity=FIRST.pose_velocity * faster,
                camera_velocity=FIRST.camera_velocity * faster,
            )
            found = estimate(frames, 1, weights=weights)
            codec.body_finder = lambda effort, f=found: lambda pictures: f[:2]
            row = {"clip": path.stem, "acceleration": more, "velocity": faster}
            out = io.BytesIO()
            codec.encode(iter(frames), out, fps=Fraction(25), options=EncodeOptions(hold=False))
            out.seek(0)
            made = np.stack(list(codec.decode(out)))
            out.seek(0)
            units = StreamReader(out).units()
            row["motion_bytes"] = sum(u.size for u in units if u.type == UnitType.MOTION)
            score = psnr(frames[1:], made[1:])
            row["psnr"] = score.mean()
            row["hold_psnr"] = psnr(frames[1:], np.repeat(made[:1], len(frames) - 1, 0)).mean()
            row["jitter_mm"] = acceleration(np.asarray(_joints(found.bodies))).mean() * 1000
            rows.append(row)
            print(row, flush=True)
    means = []
    numbers = [n for n in rows[0] if n not in ("clip", "acceleration", "velocity")]
    for point in POINTS:
        mine = [row for row in rows if (row["acceleration"], row["velocity"]) == point]
        means.append({"acceleration": point[0], "velocity": point[1], "clips": len(mine)})
        means[-1] |= {n: f"{np.mean([row[n] for row in mine]):.5g}" for n in numbers}
    rows = [r | {n: f"{r[n]:.5g}" for n in numbers} for r in rows]
    for name, table in (("smoothness.csv", rows), ("smoothness_means.csv", means)):
        (Path(__file__).parent / name).write_text(csv_text(table))


if __name__ == "__main__":
    main()
