"""What descents and rounds of the search for fields give, on development clips; writes search.csv.

    python experiments/050_field/search.py CLIPS --names 072 260 283 323 333 344

A row for each descent and number of rounds: the mean logarithm of squared error + lmbda * bits over
the clips' codings, relative to the first row, and seconds of processor a group of 64 frames, all of
the first 64 frames at 256x256 between the same key pictures (preset fast).
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np

from hvc_jax.codec import search, segment
from hvc_jax.codec.rate import FIELD_STEP, GRID, Point, key_places
from hvc_jax.codec.search import EFFORTS, FieldOptions, Stage
from hvc_jax.data.clips import read_clip
from hvc_jax.stream.field_unit import grid_size

HERE = Path(__file__).parent
FRAMES = 64
CODINGS = ((34, 16), (40, 16), (40, 8), (44, 16))  # key QP, frames between key pictures

LONG = (
    Stage(64, 4, True, 10, 3),
    Stage(128, 8, True, 10, 2),
    Stage(128, 16, False, 10, 2),
    Stage(128, 16, False, 40, 3),
)
VARIANTS = (  # descent, its stages, rounds of the search over integers
    ("ten steps, most at 128 pixels", LONG, 2),
    ("ten steps, most at 128 pixels", LONG, 3),
    ("effort 1", EFFORTS[1][0], 2),
    ("effort 1", EFFORTS[1][0], 3),
    ("effort 1", EFFORTS[1][0], 5),
    ("effort 0", EFFORTS[0][0], 1),
    ("effort 0", EFFORTS[0][0], 2),
)


def groups_of(path: Path):  # noqa: ANN201
    """Yields frames between key pictures, what they look into, and options, for every coding."""
    frames = np.stack(list(read_clip(path, 256, frames=FRAMES).frames))
    for qp, spacing in CODINGS:
        keys = segment.code_keys(frames, key_places(FRAMES, spacing), qp, preset="fast")
        places = np.array(sorted(keys.pictures))
        times = np.setdiff1d(np.arange(FRAMES), places)
        pictures = np.stack([keys.pictures[t] for t in places])
        references = segment.references_at(times, places, pictures)
        grid = grid_size(GRID, *frames.shape[1:3])
        yield frames[times], references, FieldOptions(Point(qp).lmbda, grid, FIELD_STEP)


def main() -> None:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--names", nargs="+", required=True, help="how the files' names begin")
    arguments = parser.parse_args()
    paths = [next(arguments.clips.glob(f"{name}*.mp4")) for name in arguments.names]
    groups = [group for path in paths for group in groups_of(path)]
    columns = ("descent", "rounds", "cost_percent", "seconds", "codings")
    with (HERE / "search.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        first = None
        for name, stages, rounds in VARIANTS:
            search.EFFORTS = ((stages, rounds), *EFFORTS[1:])
            costs, started = [], 0.0
            for frames, references, options in [groups[0], *groups]:  # the first compiles
                if len(costs) == 1:
                    started = time.process_time()
                options = FieldOptions(options.lmbda, options.grid, options.step, effort=0)
                costs.append(search.encode_group(frames, references, options).cost)
            seconds = (time.process_time() - started) / len(groups)
            cost = np.log(costs[1:]).mean()
            first = cost if first is None else first
            row = (name, rounds, f"{100 * np.expm1(cost - first):.1f}", f"{seconds:.1f}")
            writer.writerow(dict(zip(columns, (*row, len(groups)), strict=True)))
            file.flush()


if __name__ == "__main__":
    main()
