"""Keypoints and facing of rendered people seen from the front, the side and behind.

    python experiments/041_body_regressor/views.py [REGRESSOR...] [--count 480]

Stills of `hvc_jax.synth.people.render_stills` that no training saw, 128 x 128, each a clip of one
frame; keypoints and mask of the network alone, and where the lifted body faces
(`heading_exact`: lifted from true keypoints). `..._trusted`: and the body is believed, `..._sure`:
surely. Writes
views.csv, a row for each REGRESSOR (the shipped one without any) and view.
"""

import argparse
from pathlib import Path

import jax
import numpy as np

from hvc_jax.body.assets import load_body
from hvc_jax.body.landmarks import COCO_MIRROR, landmarks_of
from hvc_jax.body.params import POSE
from hvc_jax.evaluation.table import csv_text
from hvc_jax.ops import rotation
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.pose.confidence import DOUBT, SURE, trusted
from hvc_jax.pose.estimator import (
    RegressorExport,
    Sight,
    back_logits,
    bodies_from_keypoints,
    load_regressor,
    look,
    regressor_path,
    testimony,
)
from hvc_jax.pose.facing import doubted, ordered
from hvc_jax.pose.pose_error import correct_keypoints, mask_iou, torso_size
from hvc_jax.pose.train.rendered_labels import TURNED_AWAY, keypoints_of_bodies
from hvc_jax.synth.people import render_stills

SEED = 900000
VIEWS = {"front": (0, 50), "side": (50, 130), "back": (130, 181)}
"""Degrees between where the pelvis faces and the camera."""


def heading(turn: np.ndarray) -> np.ndarray:
    """Returns degrees [N] about the vertical of rotations [N, 3, 3], 0 towards the camera."""
    return np.degrees(np.arctan2(turn[:, 0, 2], turn[:, 2, 2]))


def lone_trust(sight: Sight, t: int, export: RegressorExport) -> np.ndarray:
    """Returns how far the body of picture t alone is trusted, [1]."""
    one = Sight(*(part[t : t + 1] for part in sight))
    bodies, miss = bodies_from_keypoints(one.points, one.confidence, export, 0)
    return trusted(testimony(bodies, miss, one, export)[-1])


def measure(
    export: RegressorExport,
    frames: np.ndarray,
    bodies: np.ndarray,
    masks: np.ndarray,
) -> list[dict]:
    """Returns a row a view, means over its people."""
    truth, shown = keypoints_of_bodies(bodies, landmarks_of(load_body()))
    sight = look(frames, export)
    back = np.clip(back_logits(frames, sight, export), -4, 4) * sight.confidence[:, :7].mean(1)
    points, confidence = ordered(sight.points, sight.confidence, back)
    sight = sight._replace(points=points, confidence=confidence, back=back)
    pelvis = jax.numpy.asarray(bodies[:, POSE.start : POSE.start + 3])
    true = heading(np.asarray(rotation.axis_angle_to_matrix(pelvis)))

    def heading_error(points: np.ndarray, confidence: np.ndarray) -> np.ndarray:
        lifted = export.model.apply(export.params, points, confidence, method="lift")
        found = heading(np.asarray(rotation.six_d_to_matrix(lifted.rotations[:, 0])))
        return np.abs((found - true + 180) % 360 - 180)

    off, exact = heading_error(sight.points, sight.confidence), heading_error(truth, shown)
    torso = np.concatenate([torso_size(t[None], np.ones((1, 17))) for t in truth])
    counted = shown > TURNED_AWAY
    right = [correct_keypoints(sight.points, truth, torso, f) for f in (0.1, 0.2)]

    def shoulder_error(goal: np.ndarray) -> np.ndarray:
        return np.linalg.norm(sight.points - goal, axis=-1)[:, 5:7].mean(1)

    # Where the shoulders lie beside each other, and both are in the picture.
    wide = np.linalg.norm(truth[:, 5] - truth[:, 6], axis=-1) > 0.3 * torso
    wide &= (shown[:, 5:7] > 0).all(1)
    exchanged = shoulder_error(truth[:, COCO_MIRROR]) < shoulder_error(truth)
    believed = doubted(sight.confidence, back)[:, 5:7].mean(1) > 0.3
    said = np.concatenate([lone_trust(sight, t, export) for t in range(len(frames))])
    trust = said >= DOUBT
    away = (shown[:, :3] == np.float32(TURNED_AWAY)).all(1)
    cells = sight.mask.shape[1]
    person = masks.reshape(len(masks), cells, masks.shape[1] // cells, cells, -1).mean((2, 4))
    overlap = mask_iou(sight.mask > 0, person > 0.5)
    rows = []
    for view, (low, high) in VIEWS.items():
        mine = (np.abs(true) >= low) & (np.abs(true) < high)
        hidden, open_ = mine & away, mine & ~away & (shown[:, :3] > 0).all(1)
        row = {
            "view": view,
            "people": int(mine.sum()),
            "pck_10": right[0][mine][counted[mine]].mean(),
            "pck_20": right[1][mine][counted[mine]].mean(),
            "exchanged": exchanged[mine & wide].mean(),
            "exchanged_believed": (exchanged & believed)[mine & wide].mean(),
            "exchanged_trusted": (exchanged & trust)[mine & wide].mean(),
            "shoulders": sight.confidence[:, 5:7][mine & wide].mean(),
            "face_seen": sight.confidence[:, :3][open_].mean() if open_.any() else None,
            "face_hidden": sight.confidence[:, :3][hidden].mean() if hidden.any() else None,
            "heading": np.median(off[mine]),
            "heading_exact": np.median(exact[mine]),
            "turned_wrong": (off[mine] > 90).mean(),
            "turned_trusted": ((off > 90) & trust)[mine].mean(),
            "turned_sure": ((off > 90) & (said >= SURE))[mine].mean(),
            "right_doubted": (~trust)[mine & (off <= 90) & (right[1].mean(1) > 0.8)].mean(),
            "iou": overlap[mine].mean(),
        }
        rows.append(
            {
                k: round(float(v), 3) if k not in ("view", "people") and v is not None else v
                for k, v in row.items()
            }
        )
    return rows


def main() -> None:
    """Measures and writes."""
    keep_compiled_programs()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("regressors", nargs="*", type=Path)
    parser.add_argument("--count", type=int, default=480)
    given = parser.parse_args()
    frames, bodies, masks = render_stills(SEED, given.count)
    table = []
    for path in given.regressors or [regressor_path()]:
        name = "shipped" if path == regressor_path() else path.stem
        for row in measure(load_regressor(str(path)), frames, bodies, masks):
            print(name, row, flush=True)
            table.append({"regressor": name} | row)
    (Path(__file__).parent / "views.csv").write_text(csv_text(table))


if __name__ == "__main__":
    main()
