"""Fits the weights of `hvc_jax.pose.confidence`: writes trust.csv, a row for each cue.

    python experiments/041_bodies/trust.py [--clips 40] [--frames 4]

The bodies are those of the landmarks alone, of rendered clips that are easily got wrong
(`hard.py`). Frames of a clip are much alike: a clip counts once, by its means, and as right if most
of its frames are. Scale and offset are such that of the right ones a given share comes below
`DOUBT` and half above `MIDDLE`.
"""

import argparse
from pathlib import Path

import numpy as np
from hard import hard_clip, wrong
from scipy.optimize import minimize
from scipy.special import expit, logit

from hvc_jax.evaluation.table import csv_text
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.pose.bodies import bodies_from_sight
from hvc_jax.pose.confidence import DOUBT, WEIGHTS, cues, overlap
from hvc_jax.pose.fit import vectors_of
from hvc_jax.pose.sight import see

DOUBTED = 0.05
"""Share of the right bodies that may be doubted."""
MIDDLE = 0.9
"""What half of the right bodies reach."""
_RIDGE = 0.03
"""What a squared weight of a standardised cue costs, cross-entropy in nats."""


def fitted(x: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Returns the offset and the weights [1 + W], none of them negative, of a logistic model.

    Args:
      x: [N, W], the more the better.
      right: [N] bool.
    """
    mean, spread = x.mean(0), x.std(0) + 1e-6
    z = (x - mean) / spread

    def loss(t: np.ndarray) -> tuple[float, np.ndarray]:
        line = z @ t[1:] + t[0]
        slope = (expit(line) - right) / len(z)
        cost = np.logaddexp(0, np.where(right, -line, line)).mean()
        gradient = np.concatenate([[slope.sum()], z.T @ slope + 2 * _RIDGE * t[1:]])
        return cost + _RIDGE * (t[1:] ** 2).sum(), gradient

    bounds = [(None, None), *[(0, None)] * x.shape[1]]
    found = minimize(loss, np.zeros(1 + x.shape[1]), jac=True, bounds=bounds).x
    low, middle = np.quantile(x[right] @ (found[1:] / spread), (DOUBTED, 0.5))
    weights = found[1:] / spread * (logit(MIDDLE) - logit(DOUBT)) / (middle - low)
    return np.concatenate([[logit(MIDDLE) - np.median(x[right] @ weights)], weights])


def main() -> None:
    """Gathers, fits, writes."""
    keep_compiled_programs()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--frames", type=int, default=4)
    given = parser.parse_args()
    said, right, unseen = [], [], 0
    for seed in range(1000, 1000 + given.clips):
        clip = hard_clip(seed, given.frames)
        sight = see(clip.frames)
        if sight is None:
            unseen += 1
            continue
        found = bodies_from_sight(sight)
        bodies = vectors_of(found.bodies, given.frames)
        said.append(cues(sight, found.error, overlap(bodies, sight.mask)).mean(0).round(2))
        right.append((~wrong(clip, bodies)).mean() > 0.5)
        print(seed, said[-1], right[-1], flush=True)
    write(np.array(said), np.array(right))
    print(f"{unseen} clips in which nobody is detected")


def write(x: np.ndarray, good: np.ndarray) -> None:
    """Fits and writes the table of cues [N, W] of right and wrong clips [N]."""
    numbers = fitted(x, good)
    trust = expit(numbers[0] + x @ numbers[1:])
    rows = [{"cue": "offset", "weight": round(float(numbers[0]), 2), "right": "", "wrong": ""}]
    for k, name in enumerate(WEIGHTS):
        means = {"right": round(x[good, k].mean(), 3), "wrong": round(x[~good, k].mean(), 3)}
        rows.append({"cue": name, "weight": round(float(numbers[1 + k]), 2)} | means)
    share = {"right": f"{(trust[good] < DOUBT).mean():.3f}"}
    share["wrong"] = f"{(trust[~good] < DOUBT).mean():.3f}"
    rows.append({"cue": "doubted", "weight": ""} | share)
    print(*rows, sep="\n")
    (Path(__file__).parent / "trust.csv").write_text(csv_text(rows))


if __name__ == "__main__":
    main()
