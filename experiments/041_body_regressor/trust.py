"""Fits the weights of `hvc_jax.pose.confidence`: writes trust.csv, a row for each witness.

    python experiments/041_body_regressor/trust.py MOCAP CLIPS

MOCAP is a folder of .bvh files with T-poses (CMU), CLIPS that of the *training* clips. The weights are of rendered clips
(`hard.py`): 100 of 24 frames at efforts 0 and 1, 400 of 8 frames at effort 0. Real training clips have
hardly a wrong body (of those judged, one of a hundred); they give scale and offset: of their frames,
64 a clip at both efforts, `DOUBTED` come below .25 and half above `MIDDLE`. Takes 15 minutes.
"""  # noqa: E501

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hard import hard_clip, wrong
from scipy.optimize import minimize
from scipy.special import expit, logit

from hvc_jax.data.clips import read_clip
from hvc_jax.evaluation.table import csv_text
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.pose.confidence import DOUBT, WITNESSES
from hvc_jax.pose.estimator import bodies_from_keypoints, load_regressor, look_twice, testimony

RENDERED = (range(1000, 1100), 24, (0, 1)), (range(3000, 3400), 8, (0,))
"""Seeds, frames and efforts."""
DOUBTED = 0.02
"""Share of the frames of real training clips that may be doubted."""
MIDDLE = 0.9
"""What half of those frames reach."""
_RIDGE = 1e-3
"""What a squared weight of a standardised witness costs, cross-entropy in nats."""


def rendered(mocap: list[Path]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields witnesses [T, W] of rendered clips and whether the body is right [T]."""
    export = load_regressor()
    for seeds, frames, efforts in RENDERED:
        for seed in seeds:
            clip = hard_clip(seed, frames, mocap)
            sight = look_twice(clip.frames, export)
            for effort in efforts:
                bodies, miss = bodies_from_keypoints(*sight[:2], export, effort, clip.frames)
                yield testimony(bodies, miss, sight, export)[-1], ~wrong(clip, bodies)


def real(clips: Path) -> Iterator[np.ndarray]:
    """Yields witnesses [T, W] of real clips."""
    export = load_regressor()
    for path in sorted(clips.glob("*.mp4")):
        frames = read_clip(path, 256, frames=64).frames
        sight = look_twice(frames, export)
        for effort in (0, 1):
            bodies, miss = bodies_from_keypoints(*sight[:2], export, effort, frames)
            yield testimony(bodies, miss, sight, export)[-1]


def fitted(x: np.ndarray, right: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Returns the offset and the weights [1 + W], none of them negative, of a logistic model.

    Args:
      x: [N, W], the more the better.
      right: [N] bool.
      share: [N] of the loss; sums to 1.
    """
    mean, spread = x.mean(0), x.std(0) + 1e-6
    z = (x - mean) / spread

    def loss(t: np.ndarray) -> tuple[float, np.ndarray]:
        line = z @ t[1:] + t[0]
        slope = share * (expit(line) - right)
        cost = (share * np.logaddexp(0, np.where(right, -line, line))).sum()
        gradient = np.concatenate([[slope.sum()], z.T @ slope + 2 * _RIDGE * t[1:]])
        return cost + _RIDGE * (t[1:] ** 2).sum(), gradient

    bounds = [(None, None), *[(0, None)] * x.shape[1]]
    found = minimize(loss, np.zeros(1 + x.shape[1]), jac=True, bounds=bounds).x
    return np.concatenate([[found[0] - (found[1:] * mean / spread).sum()], found[1:] / spread])


def weights_of(made: list[tuple[np.ndarray, np.ndarray]], real: np.ndarray) -> np.ndarray:
    """Returns the offset and the weights [1 + W].

    Frames of a clip are much alike: a clip counts as the square root of its frames.

    Args:
      made: witnesses [T, W] of rendered clips, and whether the body is right [T].
      real: [N, W] witnesses of real frames.
    """
    x, right = (np.concatenate(column) for column in zip(*made, strict=True))
    share = np.concatenate([np.full(len(r), len(r) ** -0.5) for _, r in made])
    found = fitted(x, right, share / share.sum())
    low, middle = np.quantile(real @ found[1:], (DOUBTED, 0.5))
    found[1:] *= (logit(MIDDLE) - logit(DOUBT)) / (middle - low)
    found[0] = logit(MIDDLE) - np.median(real @ found[1:])
    return found


def main() -> None:
    """Gathers, fits, writes."""
    keep_compiled_programs()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mocap", type=Path)
    parser.add_argument("clips", type=Path)
    given = parser.parse_args()
    made = list(rendered(sorted(given.mocap.rglob("*.bvh"))))
    write(made, np.concatenate(list(real(given.clips))))


def write(made: list[tuple[np.ndarray, np.ndarray]], real: np.ndarray) -> None:
    """Fits and writes trust.csv."""
    found = weights_of(made, real)
    x, right = (np.concatenate(column) for column in zip(*made, strict=True))
    means = np.stack([x[right].mean(0), x[~right].mean(0), real.mean(0)], 1)
    names = ("right", "wrong", "real")
    rows = [{"witness": "offset", "weight": round(float(found[0]), 2)} | dict.fromkeys(names)]
    for name, weight, mean in zip(WITNESSES, found[1:], means, strict=True):
        row = {"witness": name, "weight": round(float(weight), 2)}
        parts = zip(names, mean, strict=True)
        rows.append(row | {part: round(float(value), 3) for part, value in parts})
    print(*rows, sep="\n")
    (Path(__file__).parent / "trust.csv").write_text(csv_text(rows))


if __name__ == "__main__":
    main()
