"""Errors of estimated bodies on rendered people that no training saw: writes rendered.csv.

    python experiments/041_bodies/rendered.py [--clips 12] [--frames 32] [--efforts 0 1 live]

Clips of `hvc_jax.synth.people.render_clip`, seeds from 900000 on, 256 x 256 pixels, framings in
turn. Effort `live` sees one picture after the other. Joints are the 22 of the body, vertices the
whole mesh with hands and face, pelvis at the origin. Joints out of the picture count in mm: they
have to be guessed; `seen` leaves them out.
"""

import argparse
from pathlib import Path

import jax
import numpy as np
from pose_error import acceleration, mpjpe, pa_mpjpe

from hvc_jax.body.assets import load_body
from hvc_jax.body.camera import project
from hvc_jax.body.lbs import posed_vertices
from hvc_jax.body.params import unpack
from hvc_jax.codec.scenes import BodyFinder
from hvc_jax.evaluation.table import csv_text
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.pose.estimator import estimate
from hvc_jax.synth.people import render_clip

FRAMINGS = ("upper", "hips", "knees", "full")


@jax.jit
def _pose(vectors: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    params = unpack(vectors)
    vertices, joints = posed_vertices(load_body(), params)
    return vertices, joints[:, :22], project(joints[:, :22], params.camera)[..., :2]


def _live(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bodies [T, 188] and confidence [T] where each picture knows what came before it alone."""
    finder = BodyFinder(0)
    found = [finder(frames[t : t + 1]) for t in range(len(frames))]
    return np.concatenate([each[0] for each in found]), np.concatenate([each[1] for each in found])


def main() -> None:
    """Measures and writes."""
    keep_compiled_programs()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--efforts", nargs="+", default=["0", "1", "live"])
    given = parser.parse_args()
    rows = []
    for k in range(given.clips):
        framing = FRAMINGS[k % len(FRAMINGS)]
        clip = render_clip(900000 + k, given.frames, size=256, framing=framing)
        vertices, joints, screen = map(np.asarray, _pose(clip.body))
        for effort in given.efforts:
            if effort == "live":
                bodies, trust = _live(clip.frames)
            else:
                bodies, trust = estimate(clip.frames, int(effort))[:2]
            mesh, found, place = map(np.asarray, _pose(bodies))
            shown = (np.abs(screen) < 1).all(-1)
            row = {
                "clip": 900000 + k,
                "framing": framing,
                "effort": effort,
                "mpjpe_mm": mpjpe(found, joints).mean() * 1000,
                "seen_mpjpe_mm": np.linalg.norm(found - joints, axis=-1)[shown].mean() * 1000,
                "pa_mpjpe_mm": pa_mpjpe(found, joints).mean() * 1000,
                "pve_mm": mpjpe(mesh, vertices).mean() * 1000,
                "error_px": np.linalg.norm(place - screen, axis=-1)[shown].mean() * 128,
                "confidence": trust.mean(),
                "acceleration_mm": acceleration(found).mean() * 1000,
                "true_acceleration_mm": acceleration(joints).mean() * 1000,
            }
            print(row, flush=True)
            rows.append(
                {n: f"{v:.2f}" if isinstance(v, np.floating) else v for n, v in row.items()}
            )
    means = []
    for effort in given.efforts:
        mine = [row for row in rows if row["effort"] == effort]
        numbers = {n: np.mean([float(row[n]) for row in mine]) for n in list(rows[0])[3:]}
        means.append(
            {"effort": effort, "clips": len(mine)} | {n: f"{v:.2f}" for n, v in numbers.items()}
        )
    for name, table in (("rendered.csv", rows), ("rendered_means.csv", means)):
        (Path(__file__).parent / name).write_text(csv_text(table))


if __name__ == "__main__":
    main()
