"""Keypoints and masks of a regressor on judged frames alone: a quick check of parameters.

    python experiments/041_body_regressor/quick.py CLIPS JUDGED [REGRESSOR...]

Without REGRESSOR, a file of `hvc train-regressor`, it is the shipped one. Means over clips are
written to results.csv beside this, a row for each file and one for MoveNet.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from hvc_jax.data.clips import read_clip
from hvc_jax.evaluation.table import csv_text
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.pose.estimator import back_logits, clip_box, load_regressor, look, regressor_path
from hvc_jax.pose.facing import ordered
from hvc_jax.pose.person_mask import find_masks
from hvc_jax.pose.pose_error import correct_keypoints, mask_iou, torso_size

SURE = 0.5
"""Least score of a keypoint of the judge that counts."""


def main() -> None:
    """Prints means over clips."""
    keep_compiled_programs()
    clips, judged, *files = sys.argv[1:]
    files = files or [str(regressor_path())]
    rows = {file: [] for file in [*files, "MoveNet"]}
    for path in sorted(Path(judged).glob("*.npz")):
        judge = np.load(path)
        frames = read_clip(Path(clips) / f"{path.stem}.mp4", 256).frames[judge["frame"]]
        counted = judge["score"] > SURE
        torso = torso_size(judge["points"], judge["score"], SURE)
        if not np.isfinite(torso[0]) or not counted.any():
            continue
        truth = np.stack([np.asarray(Image.fromarray(m).resize((64, 64))) for m in judge["mask"]])
        for file in rows:
            if file == "MoveNet":
                points, overlap = judge["movenet"], np.nan
            else:
                export = load_regressor(file)
                sight = look(frames, export)
                box, overlap = clip_box(sight.points, sight.confidence), np.nan
                if box[2] < 0.85:
                    sight = look(frames, export, box)
                logits = back_logits(frames, sight, export)
                points, _ = ordered(sight.points, sight.confidence, logits)
                masks = find_masks(frames, export, box if box[2] < 0.85 else None)
                overlap = mask_iou(masks > 0.5, truth > 127).mean()
            right = [
                correct_keypoints(points, judge["points"], torso, f)[counted].mean()
                for f in (0.1, 0.2)
            ]
            rows[file].append((*right, overlap, path.stem))
    for file, found in rows.items():
        mean = np.mean([row[:3] for row in found], axis=0)
        print(f"{file}: PCK@0.1 {mean[0]:.3f} @0.2 {mean[1]:.3f} IoU {mean[2]:.3f} {len(found)}")
    table = []
    for file, found in rows.items():
        means = np.mean([row[:3] for row in found], axis=0).tolist()
        numbers = dict(zip(("pck_10", "pck_20", "iou"), means, strict=True))
        numbers = {k: None if np.isnan(v) else round(v, 3) for k, v in numbers.items()}
        shipped = file == str(regressor_path())
        name = "shipped regressor" if shipped else Path(file).stem
        table.append({"what": name, "clips": len(found)} | numbers)
    (Path(__file__).parent / "results.csv").write_text(csv_text(table))
    for a, b, m in zip(rows[files[0]], rows[files[-1]], rows["MoveNet"], strict=True):
        print(f"{a[3]}: {a[1]:.2f} > {b[1]:.2f}, MoveNet {m[1]:.2f}")


if __name__ == "__main__":
    main()
