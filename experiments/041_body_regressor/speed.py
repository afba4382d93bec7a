"""Frames a second of the body regressor alone, and of a fit: processor time on one core.

    OMP_NUM_THREADS=1 taskset -c 0 python experiments/041_body_regressor/speed.py [--efforts 0 1]

A rendered clip of 64 frames, 256 x 256; compiled before, median of five rounds (of one for efforts
above 0). `regressor` finds keypoints and mask, both ways round, through one window, and lifts them;
`effort N` is everything that `hvc fit --effort N` does between the file's frames and its vectors,
expressions aside. Writes speed.csv beside it.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hvc_jax.evaluation.table import csv_text
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.pose.estimator import bodies_from_keypoints, estimate, load_regressor, look
from hvc_jax.synth.people import render_clip

FRAMES = 64


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Median processor time of a call, compiled."""
    work()
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return float(np.median(times))


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--efforts", type=int, nargs="*", default=[0, 1, 2, 3])
    given = parser.parse_args()
    keep_compiled_programs()
    export = load_regressor()
    frames = render_clip(900001, FRAMES, 256, framing="hips").frames

    def regress() -> None:
        sight = look(frames, export)
        bodies_from_keypoints(sight.points, sight.confidence, export, 0)

    rows = []
    for name, work, rounds in [
        ("regressor", regress, 5),
        *((f"effort {e}", lambda e=e: estimate(frames, e), 1 if e else 5) for e in given.efforts),
    ]:
        each = seconds(work, rounds) / FRAMES
        rows.append({"what": name, "ms_a_frame": round(each * 1e3, 1), "fps": round(1 / each, 1)})
        print(rows[-1], flush=True)
        (Path(__file__).parent / "speed.csv").write_text(csv_text(rows))


if __name__ == "__main__":
    main()
