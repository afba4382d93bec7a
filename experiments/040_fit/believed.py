"""Bodies that are wrong and believed: does the encoder code them? Writes believed.csv.

    python experiments/040_fit/believed.py CLIPS [--frames 32]

Takes the frames of 041's judged.csv (made by worst.py at effort 1) whose body is more than .3
torsos off the judge's keypoints and has a confidence of .25 or more, and writes whether the encoder
shows the held key picture there, and the PSNR of motion above it. CLIPS is the folder of validation
clips.
"""

import argparse
from pathlib import Path

import numpy as np
from measure import drawn, psnr

from hvc_jax import keyframes
from hvc_jax.codec.codec import Codec
from hvc_jax.codec.hold import better_held
from hvc_jax.data.clips import read_clip
from hvc_jax.evaluation.table import csv_text, read_rows
from hvc_jax.models.export import load_export
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.pose.confidence import DOUBT
from hvc_jax.pose.estimator import estimate_bodies

HERE = Path(__file__).parent
WRONG = 0.3  # torsos


def main() -> None:
    """Draws, compares, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--frames", type=int, default=32)
    given = parser.parse_args()
    keep_compiled_programs()
    judged = read_rows(HERE.parent / "041_body_regressor" / "judged.csv")
    wrong = [r for r in judged if r["error"] > WRONG and r["confidence"] >= DOUBT]
    codec, rows = Codec(load_export("semantic")), []
    for clip in sorted({row["clip"] for row in wrong}):
        frames = read_clip(given.clips / f"{clip}.mp4", 256, frames=given.frames).frames
        coded = keyframes.encode(frames[0], 32, "auto")
        key = keyframes.decode(coded.codec, coded.payload, *frames.shape[1:3])
        made = drawn(codec, key, estimate_bodies(frames, 1)[0])
        held = better_held(frames, made, key)
        gain = psnr(frames, made) - psnr(frames, np.repeat(key[None], len(frames), 0))
        for row in (row for row in wrong if row["clip"] == clip):
            at = {name: row[name] for name in ("clip", "frame", "error", "confidence")}
            rows.append(
                at | {"held": int(held[row["frame"]]), "gain": round(gain[row["frame"]], 2)}
            )
            print(rows[-1], flush=True)
    (HERE / "believed.csv").write_text(csv_text(rows))


if __name__ == "__main__":
    main()
