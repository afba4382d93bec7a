"""kill -9 at random moments: the run must end with the parameters of one that nobody killed.

    python experiments/bench_train/kill.py --kills 20

A small model trains in a process that is killed again and again, each time after a random delay
(in the middle of steps, of checkpoint writes, of the start), and started again until it is done.
Prints where each kill hit and whether the parameters are bit-identical in the end.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import jax  # noqa: E402
import numpy as np  # noqa: E402

from hvc_jax.training.checkpoint import restore_params  # noqa: E402


def train(workdir: Path, steps: int) -> None:
    """Trains the small model of the tests, a checkpoint every other step."""
    from training_stub import StubModel, stub_batches, stub_config

    from hvc_jax.training.loop import train

    # The learning rate of "constant" does not depend on the number of steps.
    fields = {"checkpoint__every": 2, "log__every": 1, "optim__schedule": "constant"}
    config = stub_config(total_steps=steps, **fields)
    train(config, workdir, model=StubModel(), batches=stub_batches, progress=False)


def start(workdir: Path, steps: int) -> subprocess.Popen:
    """The training in a process of its own."""
    words = [sys.executable, __file__, "--train", str(workdir), "--steps", str(steps)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finished_steps(workdir: Path) -> list[int]:
    """Steps whose checkpoints are whole."""
    folder = workdir / "checkpoints"
    return sorted(int(p.name) for p in folder.glob("*") if p.name.isdigit())


def begun(workdir: Path) -> bool:
    """True while there is a step in the log."""
    path = workdir / "metrics.jsonl"
    return path.exists() and path.stat().st_size > 0


def main() -> int:
    """Kills; 0 if the parameters are identical."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        train(arguments.train, arguments.steps)
        return 0
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        killed, whole = Path(name) / "killed", Path(name) / "whole"
        hits = []
        for kill in range(arguments.kills):
            size = (killed / "metrics.jsonl").stat().st_size if begun(killed) else 0
            process = start(killed, arguments.steps)
            if kill % 4:  # three of four while it steps and writes, one while it starts
                while process.poll() is None and (
                    not begun(killed) or (killed / "metrics.jsonl").stat().st_size == size
                ):
                    time.sleep(0.01)
                time.sleep(rng.uniform(0.0, 1.0))
            else:
                time.sleep(rng.uniform(0.5, 8.0))
            process.send_signal(signal.SIGKILL)
            process.wait()
            partial = [p.name for p in (killed / "checkpoints").glob("*tmp*")]
            hits.append((finished_steps(killed) or [0])[-1])
            print(f"kill {kill + 1}: last whole checkpoint {hits[-1]}, half-written {partial}")
        total = hits[-1] + 6
        for workdir in (killed, whole):
            if start(workdir, total).wait():
                print(f"{workdir.name}: the run failed")
                return 1
        same = jax.tree.map(np.array_equal, *(restore_params(w, "params") for w in (killed, whole)))
        identical = all(jax.tree.leaves(same))
        print(
            f"{arguments.kills} kills, {total} steps: {'identical' if identical else 'DIFFERENT'}"
        )
        return 0 if identical else 1


if __name__ == "__main__":
    sys.exit(main())
