"""Frames a second of the bodies of a clip: writes speed.csv.

    taskset -c 0,1 python experiments/041_bodies/speed.py [--efforts 0 1]

A rendered clip of 64 frames, 256 x 256, after compilation: everything that `hvc fit --effort N`
does between the file's frames and its vectors, expressions aside. `cpu_ms` is processor time.
"""

import argparse
import time
from pathlib import Path

from hvc_jax.evaluation.table import csv_text
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.pose.estimator import estimate
from hvc_jax.synth.people import render_clip

FRAMES = 64


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--efforts", type=int, nargs="*", default=[0, 1])
    given = parser.parse_args()
    keep_compiled_programs()
    frames, rows = render_clip(900001, FRAMES, 256, framing="hips").frames, []
    for effort in given.efforts:
        estimate(frames, effort)
        wall, cpu = time.perf_counter(), time.process_time()
        estimate(frames, effort)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        row = {"effort": effort, "cpu_ms": f"{cpu / FRAMES * 1e3:.1f}"}
        rows.append(row | {"fps": f"{FRAMES / wall:.1f}"})
        print(rows[-1], flush=True)
    (Path(__file__).parent / "speed.csv").write_text(csv_text(rows))


if __name__ == "__main__":
    main()
