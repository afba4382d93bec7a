"""Fitted bodies on real clips: errors against BodyPix, confidence, jitter, and the worst frames.

    python experiments/041_body_regressor/worst.py CLIPS JUDGED SHEET.png [--effort 1] [--frames 64]

JUDGED is what judge.py wrote. The error of a frame is the mean distance between the body's keypoints
and those of which BodyPix is sure, in torsos. Writes real.csv (a row a clip) and worst.csv (the worst
frame of each of the ten worst clips) beside it, and SHEET.png: those frames, with the mesh, and with
the keypoints of BodyPix (green) and of the body (red). Pictures of validation clips are not to be
committed.
"""  # noqa: E501

import argparse
from pathlib import Path

import jax
import numpy as np

from hvc_jax.body.assets import load_body
from hvc_jax.body.landmarks import landmarks_of
from hvc_jax.body.lbs import posed_vertices
from hvc_jax.body.params import NUM_BODY_JOINTS, unpack
from hvc_jax.data.clips import read_clip, write_png
from hvc_jax.evaluation.table import csv_text, read_rows
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.pose.confidence import DOUBT, WITNESSES, trusted
from hvc_jax.pose.estimator import bodies_from_keypoints, load_regressor, look_twice, testimony
from hvc_jax.pose.overlay import overlay
from hvc_jax.pose.pose_error import acceleration, torso_size
from hvc_jax.pose.train.rendered_labels import keypoints_of_bodies

SURE = 0.5  # least score of a keypoint of the judge that counts
COUNT = 10


@jax.jit
def _joints(vectors: jax.Array) -> jax.Array:
    return posed_vertices(load_body(), unpack(vectors))[1][:, :NUM_BODY_JOINTS]


def with_points(frame: np.ndarray, points: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """A frame [H, H, 3] with points [N, 2] in [-1, 1] on it."""
    out, side = frame.copy(), len(frame)
    for u, v in points:
        x, y = int((u + 1) / 2 * side), int((v + 1) / 2 * side)
        out[max(y - 2, 0) : max(y + 2, 0), max(x - 2, 0) : max(x + 2, 0)] = colour
    return out


def main() -> None:
    """Fits, compares, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("judged", type=Path)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--effort", type=int, default=1)
    parser.add_argument("--frames", type=int, default=64)
    given = parser.parse_args()
    keep_compiled_programs()
    export, landmarks = load_regressor(), landmarks_of(load_body())
    clips, judged, pictures = [], [], {}
    for path in sorted(given.clips.glob("*.mp4")):
        judge = np.load(given.judged / f"{path.stem}.npz")
        frames = read_clip(path, 256, frames=given.frames).frames
        sight = look_twice(frames, export)
        bodies, miss = bodies_from_keypoints(
            sight.points, sight.confidence, export, given.effort, frames
        )
        said = testimony(bodies, miss, sight, export)[-1]
        trust = trusted(said)
        at = judge["frame"][judge["frame"] < len(frames)]
        truth, score = judge["points"][: len(at)], judge["score"][: len(at)]
        torso = torso_size(judge["points"], judge["score"], SURE)[: len(at)]
        found, _ = keypoints_of_bodies(bodies[at], landmarks)
        counted = score > SURE
        apart = np.linalg.norm(found - truth, axis=-1) / torso[:, None]
        error = (apart * counted).sum(1) / np.maximum(counted.sum(1), 1)
        error[counted.sum(1) < 4] = np.nan
        if not np.isfinite(error).any():
            continue
        for i, t in enumerate(at):
            if np.isfinite(error[i]):
                numbers = (error[i], trust[t], *said[t])
                judged.append((path.stem, int(t), *map(float, numbers)))
        worst = int(np.nanargmax(error))
        t = int(at[worst])
        points = with_points(frames[t], truth[worst][counted[worst]], (0, 255, 0))
        points = with_points(points, found[worst][counted[worst]], (255, 0, 0))
        drawn = next(overlay(frames[t : t + 1], bodies[t : t + 1]))
        pictures[path.stem] = np.concatenate([frames[t], drawn, points], 1)
        row = {
            "clip": path.stem,
            "frames": len(frames),
            "error": np.nanmean(error),
            "worst_frame": t,
            "worst_error": error[worst],
            "confidence_there": trust[t],
            "confidence": trust.mean(),
            "jitter_mm": acceleration(np.asarray(_joints(bodies))).mean() * 1000,
        }
        clips.append({k: f"{v:.3g}" if isinstance(v, np.floating) else v for k, v in row.items()})
        print(clips[-1], flush=True)
    fields = ["clip", "frame", "error", "confidence", *WITNESSES]
    ten = sorted(clips, key=lambda row: -float(row["worst_error"]))[:COUNT]
    names = ("clip", "worst_frame", "worst_error", "confidence_there")
    tables = {
        "real.csv": clips,
        "judged.csv": [
            {n: f"{v:.3g}" if isinstance(v, float) else v for n, v in zip(fields, r, strict=True)}
            for r in judged
        ],
        "worst.csv": [{name: row[name] for name in names} for row in ten],
    }
    numbers = np.array([row[2:] for row in judged])
    bad = numbers[:, 0] > 0.3
    means = {
        "effort": given.effort,
        "clips": len(clips),
        "frames": len(judged),
        "error": f"{numbers[:, 0].mean():.3f}",
    }
    means |= {"bad": f"{bad.mean():.3f}"}
    means |= {"jitter_mm": f"{np.mean([float(row['jitter_mm']) for row in clips]):.2f}"}
    believed = numbers[:, 1] >= DOUBT
    means["auc"] = f"{_area(-numbers[:, 1], bad):.3f}"
    means["bad_believed"] = f"{(bad & believed).sum() / max(bad.sum(), 1):.3f}"
    means["good_doubted"] = f"{(~bad & ~believed).sum() / (~bad).sum():.3f}"
    print(means)
    every = Path(__file__).parent / "real_means.csv"
    others = [row for row in read_rows(every) if row["effort"] != means["effort"]]
    tables["real_means.csv"] = sorted([*others, means], key=lambda row: row["effort"])
    for name, table in tables.items():
        (Path(__file__).parent / name).write_text(csv_text(table))
    write_png(given.sheet, np.concatenate([pictures[row["clip"]] for row in ten]))


def _area(score: np.ndarray, bad: np.ndarray) -> float:
    """Area under the ROC curve: how often a bad frame scores above a good one."""
    above = score[bad][:, None] - score[~bad][None]
    return float(np.mean((above > 0) + 0.5 * (above == 0))) if above.size else np.nan


if __name__ == "__main__":
    main()
