"""Bodies on real clips against other networks: writes real.csv, a row for each clip and effort.

    python experiments/041_bodies/real.py CLIPS JUDGED [--efforts 0 1] [--names 072 ...]

JUDGED is what judge.py wrote. `pck` is the share of keypoints that the *body* has within .05, .1
and .2 torsos of the middle between BodyPix and MoveNet, of those where both are sure and within
`AGREED` of each other; `landmarks` is the same of what the body was solved from. `bodypix_` is
against BodyPix alone. `back` is the share of frames whose shoulders lie the other way round, `iou`
the overlap of the body with BodyPix' mask, `jitter_mm` the mean length of the second difference of
joints, `wrong_believed` the share of frames with an error above .3 torsos and a confidence of
`DOUBT` or more.
"""

import argparse
from pathlib import Path

import jax
import numpy as np
from hard import keypoints
from PIL import Image
from pose_error import acceleration, correct_keypoints, mask_iou, torso_size

from hvc_jax.body.assets import load_body
from hvc_jax.body.lbs import posed_vertices
from hvc_jax.body.params import NUM_BODY_JOINTS, unpack
from hvc_jax.data.clips import read_clip
from hvc_jax.evaluation.table import csv_text
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.pose.confidence import DOUBT, body_cells
from hvc_jax.pose.estimator import estimate
from hvc_jax.pose.sight import see
from hvc_jax.pose.skeleton import COCO

SURE, SURE_MOVENET = 0.5, 0.3  # least scores of a keypoint that counts, as their authors use them
AGREED = 0.3  # torsos
WRONG = 0.3  # torsos
SIZES = (0.05, 0.1, 0.2)  # torsos
_SIDE = 64


@jax.jit
def _joints(vectors: jax.Array) -> jax.Array:
    return posed_vertices(load_body(), unpack(vectors))[1][:, :NUM_BODY_JOINTS]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else np.nan


def judged(
    bodies: np.ndarray, trust: np.ndarray, landmarks: np.ndarray, judge: dict
) -> dict[str, float]:
    """Returns the scores of a clip's bodies [T, 188] and of its COCO landmarks [T, 17, 2]."""
    at = judge["frame"][judge["frame"] < len(bodies)]
    bodypix, movenet = judge["points"][: len(at)], judge["movenet"][: len(at)]
    torso = torso_size(judge["points"], judge["score"], SURE)[: len(at)]
    sure = judge["score"][: len(at)] > SURE
    both = sure & (judge["movenet_score"][: len(at)] > SURE_MOVENET)
    both &= np.linalg.norm(bodypix - movenet, axis=-1) < AGREED * torso[:, None]
    truth, found = (bodypix + movenet) / 2, keypoints(bodies[at])
    near = {
        f"{judges}{name}_{f}": _mean(correct_keypoints(points, there, torso, f)[counted])
        for judges, there, counted in (("", truth, both), ("bodypix_", bodypix, sure))
        for name, points in (("pck", found), ("landmarks", landmarks[at]))
        for f in SIZES
    }
    seen = both.any(1)  # frames that have a keypoint to judge
    error = np.linalg.norm(found - truth, axis=-1) / torso[:, None]
    wrong = ((error * both).sum(1)[seen] / both.sum(1)[seen]) > WRONG
    wide = np.abs(truth[:, 5, 0] - truth[:, 6, 0]) > 0.2 * torso
    told = wide & both[:, 5:7].all(1)
    order = np.sign(truth[:, 5, 0] - truth[:, 6, 0]) != np.sign(found[:, 5, 0] - found[:, 6, 0])
    masks = [Image.fromarray(mask).resize((_SIDE, _SIDE)) for mask in judge["mask"][: len(at)]]
    person = np.stack([np.asarray(mask) for mask in masks]) > 127
    return near | {
        "back": _mean(order[told]),
        "iou": mask_iou(body_cells(bodies[at], _SIDE), person).mean(),
        "wrong": _mean(wrong),
        "wrong_believed": _mean(wrong & (trust[at][seen] >= DOUBT)),
        "doubted": (trust < DOUBT).mean(),
        "jitter_mm": acceleration(np.asarray(_joints(bodies))).mean() * 1000,
    }


def main() -> None:
    """Fits, compares, writes."""
    keep_compiled_programs()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("judged", type=Path)
    parser.add_argument("--efforts", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--names", nargs="*", default=[""], help="beginnings of file names")
    given = parser.parse_args()
    rows = []
    for path in sorted(p for n in given.names for p in given.clips.glob(f"{n}*.mp4")):
        judge = dict(np.load(given.judged / f"{path.stem}.npz"))
        frames = read_clip(path, 256, frames=given.frames).frames
        sight = see(frames)
        landmarks = np.zeros((len(frames), 17, 2)) if sight is None else sight.points[:, COCO]
        for effort in given.efforts:
            scores = judged(*estimate(frames, effort)[:2], landmarks, judge)
            row = {"clip": path.stem, "effort": effort}
            rows.append(row | {name: f"{value:.3f}" for name, value in scores.items()})
            print(rows[-1], flush=True)
    for effort in given.efforts:
        mine = [row for row in rows if row["effort"] == effort]
        means = {n: np.nanmean([float(row[n]) for row in mine]) for n in list(rows[0])[2:]}
        row = {"clip": "mean", "effort": effort} | {n: f"{v:.3f}" for n, v in means.items()}
        rows.append(row)
        print(row)
    (Path(__file__).parent / "real.csv").write_text(csv_text(rows))


if __name__ == "__main__":
    main()
