"""What the codec makes of estimated bodies and of the true ones, on rendered people.

    python experiments/040_fit/truth.py [--clips 8] [--frames 64]

Whole streams of the shipped semantic model, decoded back. Clips of
`hvc_jax.synth.people.render_clip`, seeds from 910000 on, which no training saw, 256 x 256,
framings in turn. Writes truth.csv and truth_means.csv beside it.
"""

import argparse
import io
from fractions import Fraction
from pathlib import Path

import numpy as np

from hvc_jax.codec.codec import Codec
from hvc_jax.codec.options import EncodeOptions
from hvc_jax.evaluation.learned_metrics import lpips_vgg
from hvc_jax.evaluation.metrics import psnr
from hvc_jax.evaluation.table import csv_text
from hvc_jax.models.export import load_export
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.stream.container import StreamReader, UnitType
from hvc_jax.synth.people import SyntheticClip, render_clip

FRAMINGS = ("upper", "hips", "knees", "full")
BODIES = {"true": 1, "effort 0": 0, "effort 1": 1, "held": 1}
EVERY = 8  # LPIPS looks at every eighth frame, from the fourth on


def coded(codec: Codec, clip: SyntheticClip, which: str) -> dict[str, float]:
    """Bytes and scores of a clip with these bodies, from its decoded stream."""
    out, bodies = io.BytesIO(), None
    if which == "true":
        bodies = clip.body
    elif which == "held":  # the same body throughout moves nothing
        bodies = np.repeat(clip.body[:1], len(clip.frames), 0)
    options = EncodeOptions(effort=BODIES[which])
    codec.encode(iter(clip.frames), out, fps=Fraction(25), options=options, bodies=bodies)
    out.seek(0)
    made = np.stack(list(codec.decode(out)))
    out.seek(0)
    motion = sum(u.size for u in StreamReader(out).units() if u.type == UnitType.MOTION)
    part = slice(EVERY // 2, None, EVERY)
    return {
        "bytes": len(out.getvalue()),
        "motion_bytes": motion,
        "psnr": psnr(clip.frames, made).mean(),
        "body_psnr": psnr(clip.frames, made, clip.mask).mean(),
        "lpips_vgg": lpips_vgg(clip.frames[part], made[part]).mean(),
    }


def main() -> None:
    """Codes, measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=64)
    given = parser.parse_args()
    keep_compiled_programs()
    codec, rows = Codec(load_export("semantic")), []
    for k in range(given.clips):
        framing = FRAMINGS[k % len(FRAMINGS)]
        clip = render_clip(910000 + k, given.frames, size=256, framing=framing)
        for which in BODIES:
            numbers = {n: f"{v:.6g}" for n, v in coded(codec, clip, which).items()}
            rows.append({"clip": 910000 + k, "framing": framing, "bodies": which} | numbers)
            print(rows[-1], flush=True)
    means = []
    for which in BODIES:
        mine = [row for row in rows if row["bodies"] == which]
        numbers = {n: f"{np.mean([float(r[n]) for r in mine]):.6g}" for n in list(rows[0])[3:]}
        means.append({"bodies": which, "clips": len(mine)} | numbers)
    for name, table in (("truth.csv", rows), ("truth_means.csv", means)):
        (Path(__file__).parent / name).write_text(csv_text(table))


if __name__ == "__main__":
    main()
