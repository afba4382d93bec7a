"""The body regressor's training from end to end: labels, motion capture, rendered people, export.

clips ── small nets ──► workdir/labels/*.npz ─┐
render_stills ────────► workdir/stills.npz ───┴─► keypoint network ─┐
.bvh ─────────────────► workdir/poses.npy ──────► lifter, prior ────┴─► export
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from PIL import Image

from hvc_jax.body.assets import load_body
from hvc_jax.body.fit import PosePrior
from hvc_jax.body.landmarks import Landmarks, landmarks_of, pose_landmarks
from hvc_jax.body.params import NUM_BODY_JOINTS, unpack
from hvc_jax.data.builders import videos_in
from hvc_jax.data.clips import read_clip
from hvc_jax.data.pseudo_labels import label_frames, save_labels
from hvc_jax.data.synthetic import render_stills
from hvc_jax.models.body_estimator import load_regressor, save_regressor
from hvc_jax.models.body_regressor import BodyRegressor
from hvc_jax.ops import rotation
from hvc_jax.training.lifter import pose_prior, train_lifter
from hvc_jax.training.pose_sampler import load_poses
from hvc_jax.training.regressor import Pool, pool_of_clips, train_keypoints


class RegressorRun(NamedTuple):
    """What a training run reads and how long it is.

    Attributes:
      workdir: kept between runs: labels, stills, poses, parameters.
      mocap: folder of .bvh files.
      clips: folder of real clips, or None for rendered people alone.
      nets: folder of the labelling networks, or None.
      stills: rendered people.
      size: side in pixels at which labelled pictures are kept.
      steps: of the keypoint network.
      lifter_steps: of the lifter.
      batch_size: pictures a step.
      learning_rate: of the keypoint network, at its peak.
      real_share: part of every batch that is real, where there are real clips.
      start: an exported regressor to go on from, or None.
      seed: of everything random.
    """

    workdir: Path
    mocap: Path
    clips: Path | None = None
    nets: Path | None = None
    stills: int = 4000
    size: int = 192
    steps: int = 4000
    lifter_steps: int = 3000
    batch_size: int = 16
    learning_rate: float = 1.2e-3
    real_share: float = 0.65
    start: Path | None = None
    seed: int = 0


def save_params(path: Path, params: Any) -> None:
    """Writes a tree of parameters as .npz, complete or not at all."""
    part = path.with_name(path.stem + ".part.npz")
    np.savez(part, **{"/".join(k): np.asarray(v) for k, v in flatten_dict(params).items()})
    os.replace(part, path)


def load_params(path: Path) -> Any:
    """Reads what `save_params` wrote."""
    with np.load(path) as stored:
        return unflatten_dict({tuple(k.split("/")): stored[k] for k in stored.files})


def label_clips(run: RegressorRun) -> list[Path]:
    """Labels every clip that has no labels yet; returns the label files."""
    folder = run.workdir / "labels"
    folder.mkdir(parents=True, exist_ok=True)
    for video in videos_in(run.clips):
        target = folder / f"{video.stem}.npz"
        if not target.exists():
            save_labels(target, label_frames(read_clip(video, 384).frames, run.nets, run.size))
            print(f"labelled {video.name}", flush=True)
    return sorted(folder.glob("*.npz"))


def keypoints_of_bodies(bodies: np.ndarray, landmarks: Landmarks) -> tuple[np.ndarray, np.ndarray]:
    """Returns exact keypoints [N, 17, 2] in [-1, 1] and confidence [N, 17] of bodies [N, 188]."""
    params = unpack(bodies)
    pose = np.concatenate([params.global_orient[:, None], params.body_pose], 1)
    turns = rotation.axis_angle_to_matrix(jnp.asarray(pose[:, :NUM_BODY_JOINTS]))
    points, _ = pose_landmarks(landmarks, jnp.asarray(params.betas), turns)
    points = np.asarray(points)
    scale, x, y = (params.camera[:, k : k + 1] for k in range(3))
    flat = np.stack([scale * (points[..., 0] + x), -scale * (points[..., 1] + y)], -1)
    confidence = 0.9 * (np.abs(flat) < 1).all(-1)
    # A nose behind the ears is not seen.
    away = points[:, 0, 2] - points[:, 3:5, 2].mean(1) < -0.03
    confidence[away, :3] *= 0.2
    return flat.astype(np.float32), confidence.astype(np.float32)


def pool_of_stills(run: RegressorRun, landmarks: Landmarks) -> Pool:
    """Renders people, once, and returns them as a pool."""
    path = run.workdir / "stills.npz"
    if not path.exists():
        count = max(8, run.stills // 8 * 8)
        frames, bodies, masks = render_stills(run.seed + 1000, count, size=128)
        masks = (np.asarray(masks) * 255).round().astype(np.uint8)
        save_params(path, {"frames": frames, "bodies": bodies, "masks": masks})
    stored = load_params(path)

    def enlarge(pictures: np.ndarray) -> np.ndarray:
        shape = (run.size, run.size)
        return np.stack([np.asarray(Image.fromarray(p).resize(shape)) for p in pictures])

    points, confidence = keypoints_of_bodies(stored["bodies"], landmarks)
    count = len(points)
    frames, masks = enlarge(stored["frames"]), enlarge(stored["masks"])
    return Pool(frames, masks, points, confidence, np.full(count, 1 / count))


def _reporter(name: str, path: Path) -> Callable[[int, dict[str, float], Any], None]:
    begin = time.monotonic()

    def report(step: int, losses: dict[str, float], params: Any) -> None:
        text = "  ".join(f"{key} {value:.4f}" for key, value in losses.items())
        print(f"{name} step {step}  {text}  {time.monotonic() - begin:.0f} s", flush=True)
        save_params(path, params)

    return report


def train_regressor(run: RegressorRun, output: Path) -> None:
    """Trains both halves and writes the export; steps whose results lie in the workdir are skipped.

    Args:
      run: what to read and how long to train.
      output: .safetensors to write.
    """
    run.workdir.mkdir(parents=True, exist_ok=True)
    body = load_body()
    landmarks = landmarks_of(body)
    poses_path = run.workdir / "poses.npy"
    if not poses_path.exists():
        files = sorted(run.mocap.rglob("*.bvh"))
        if not files:
            raise FileNotFoundError(
                f"{run.mocap} holds no .bvh file; give --mocap a folder of them"
            )
        np.save(poses_path, load_poses(files, np.asarray(body.J_template)))
    poses = np.load(poses_path)
    model = BodyRegressor()
    lifter_path, keypoint_path = run.workdir / "lifter.npz", run.workdir / "keypoints.npz"
    if not lifter_path.exists():
        report = _reporter("lifter", lifter_path)
        lifter = train_lifter(
            poses, landmarks, run.lifter_steps, seed=run.seed, model=model, report=report
        )
        save_params(lifter_path, lifter)

    pools, shares = [pool_of_stills(run, landmarks)], [1.0]
    if run.clips is not None:
        pools = [pool_of_clips(label_clips(run)), *pools]
        shares = [run.real_share, 1 - run.real_share]
    start = None
    if run.start is not None:
        start = {
            "params": {"keypoints": load_regressor(str(run.start)).params["params"]["keypoints"]}
        }
    keypoints = train_keypoints(
        pools,
        shares,
        run.steps,
        batch_size=run.batch_size,
        learning_rate=run.learning_rate,
        seed=run.seed,
        params=start,
        model=model,
        report=_reporter("keypoints", keypoint_path),
    )
    save_params(keypoint_path, keypoints)
    both = {"params": {**keypoints["params"], **load_params(lifter_path)["params"]}}
    prior = pose_prior(poses, seed=run.seed)
    save_regressor(output, model, both, PosePrior(prior["mean"], prior["whiten"]))
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB", flush=True)
