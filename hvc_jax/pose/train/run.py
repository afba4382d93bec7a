"""The body regressor's training from end to end: labels, motion capture, rendered people, export.

clips ── small nets ──► workdir/labels/*.npz ─┐
render_stills ────────► workdir/stills.npz ───┴─► keypoint network ─┐
.bvh ─────────────────► workdir/poses.npy ──────► lifter, prior ────┴─► adaptation ─► export
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from PIL import Image

from hvc_jax.body.assets import load_body
from hvc_jax.body.landmarks import Landmarks, landmarks_of
from hvc_jax.data.builders import videos_in
from hvc_jax.data.clips import read_clip
from hvc_jax.models.export import load_export
from hvc_jax.ops.files import atomic_path
from hvc_jax.pose.estimator import RegressorExport, load_regressor, save_regressor
from hvc_jax.pose.fit_objective import PosePrior
from hvc_jax.pose.label_clip import label_frames
from hvc_jax.pose.pseudo_labels import PseudoLabels, load_labels, save_labels
from hvc_jax.pose.regressor import BodyRegressor
from hvc_jax.pose.train.check import HeldScore, held_windows
from hvc_jax.pose.train.facing import heads_of, train_facing
from hvc_jax.pose.train.lifter import pose_prior, train_lifter
from hvc_jax.pose.train.lifter_adapt import adapt_lifter, track_clips
from hvc_jax.pose.train.pose_sampler import load_poses
from hvc_jax.pose.train.regressor import Pool, pool_of_clips, train_keypoints
from hvc_jax.pose.train.rendered_labels import keypoints_of_bodies
from hvc_jax.synth.people import render_stills


class RegressorRun(NamedTuple):
    """What a training run reads and how long it is.

    Attributes:
      workdir: kept between runs: labels, stills, poses, parameters.
      mocap: folder of .bvh files.
      clips: folder of real clips, or None for rendered people alone.
      nets: folder of the labelling networks, or None.
      stills: rendered people.
      size: side in pixels at which labelled pictures are kept.
      stride: label every stride-th frame of a clip.
      steps: of the keypoint network.
      lifter_steps: of the lifter; 0 keeps that of `start`.
      adapt_steps: of the lifter on real clips, where there are some; 0 leaves that out.
      facing_steps: of what tells backs from fronts; it is kept where `steps` is 0.
      batch_size: pictures a step.
      learning_rate: of the keypoint network, at its peak.
      real_share: part of every batch that is real, where there are real clips.
      hold_out: names of clips, without ending, that choose among parameters and teach nothing.
      start: an exported regressor to go on from, or None.
      seed: of everything random.
    """

    workdir: Path
    mocap: Path
    clips: Path | None = None
    nets: Path | None = None
    stills: int = 4000
    size: int = 224
    stride: int = 4
    steps: int = 4000
    lifter_steps: int = 3000
    adapt_steps: int = 600
    facing_steps: int = 1600
    batch_size: int = 16
    learning_rate: float = 1.2e-3
    real_share: float = 0.65
    hold_out: tuple[str, ...] = ()
    start: Path | None = None
    seed: int = 0


_HELD_STILLS = 160  # rendered people, from all sides, that choose among parameters


def save_params(path: Path, params: Any) -> None:
    """Writes a tree of parameters as .npz, complete or not at all."""
    with atomic_path(path) as part, part.open("wb") as file:
        np.savez(file, **{"/".join(k): np.asarray(v) for k, v in flatten_dict(params).items()})


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
            frames = read_clip(video, 384).frames
            save_labels(target, label_frames(frames, run.nets, run.size, run.stride))
            print(f"labelled {video.name}", flush=True)
    return sorted(folder.glob("*.npz"))


def pool_of_stills(
    run: RegressorRun, landmarks: Landmarks, poses: np.ndarray, held: bool = False
) -> Pool:
    """Renders people, once, and returns them as a pool.

    Args:
      run: what to render and where to keep it.
      landmarks: of the body model.
      poses: [P, 22, 3] that half of the people take.
      held: other people, fewer, who teach nothing.
    """
    path = run.workdir / ("stills_held.npz" if held else "stills.npz")
    if not path.exists():
        count, seed = (_HELD_STILLS, 2000) if held else (max(8, run.stills // 8 * 8), 1000)
        frames, bodies, masks = render_stills(run.seed + seed, count, size=128, poses=poses)
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


def _reporter(
    name: str, path: Path, score: Callable[[Any], dict[str, float]] | None = None
) -> Callable[[int, dict[str, float], Any], None]:
    """Returns what prints losses and keeps the newest parameters, or those of the best score."""
    begin, best = time.monotonic(), [-1.0]

    def report(step: int, losses: dict[str, float], params: Any) -> None:
        found = score(params) if score is not None else {}
        text = "  ".join(f"{key} {value:.4f}" for key, value in {**losses, **found}.items())
        print(f"{name} step {step}  {text}  {time.monotonic() - begin:.0f} s", flush=True)
        total = sum(found.values())
        if score is None or total > best[0]:
            best[0] = total
            save_params(path, params)

    return report


def split_labels(run: RegressorRun) -> tuple[list[Path], list[Path]]:
    """Returns the label files that teach, and those that are held out.

    Raises:
      ValueError: a clip that is to be held out is not there, or none is left to teach.
    """
    labels = label_clips(run)
    missing = set(run.hold_out) - {path.stem for path in labels}
    if missing:
        raise ValueError(f"--hold-out: {run.clips} holds no clip named {sorted(missing)[0]}")
    held = [path for path in labels if path.stem in run.hold_out]
    teaching = [path for path in labels if path.stem not in run.hold_out]
    if not teaching:
        raise ValueError("--hold-out names every clip; leave some to train on")
    return teaching, held


def held_score(
    model: BodyRegressor, clips: list[PseudoLabels], rendered: Pool
) -> Callable[[Any], dict[str, float]]:
    """Returns what scores parameters on held-out clips and on rendered people seen from all sides.

    Args:
      model: the network.
      clips: labels of the held-out clips.
      rendered: people who teach nothing.
    """
    order = np.arange(len(rendered.pictures), dtype=np.int32)
    people = PseudoLabels(
        order, rendered.pictures, rendered.points, rendered.confidence, rendered.mask
    )
    real = HeldScore(model, held_windows(clips))
    made = HeldScore(model, held_windows([people], len(order)))

    def score(params: Any) -> dict[str, float]:
        return real(params) | {f"rendered_{name}": v for name, v in made(params).items()}

    return score


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
    start = None if run.start is None else load_regressor(str(run.start)).params["params"]
    lifter_path, keypoint_path = run.workdir / "lifter.npz", run.workdir / "keypoints.npz"
    if run.lifter_steps == 0 and start is not None:
        save_params(lifter_path, {"params": {"lifter": start["lifter"]}})
    if not lifter_path.exists():
        report = _reporter("lifter", lifter_path)
        lifter = train_lifter(
            poses,
            landmarks,
            run.lifter_steps,
            seed=run.seed,
            model=model,
            params=None if start is None else {"params": {"lifter": start["lifter"]}},
            report=report,
        )
        save_params(lifter_path, lifter)

    if run.steps == 0 and start is not None:
        save_params(keypoint_path, {"params": {"keypoints": start["keypoints"]}})
    else:
        _train_keypoints(run, landmarks, poses, model, start, keypoint_path)
    facing_path = run.workdir / "facing.npz"
    if run.steps == 0 and start is not None:
        save_params(facing_path, {"params": {"facing": start["facing"]}})
    elif not facing_path.exists():
        _train_facing(run, landmarks, poses, facing_path)
    parts = [load_params(path)["params"] for path in (keypoint_path, facing_path, lifter_path)]
    both = {"params": {name: part for params in parts for name, part in params.items()}}
    prior = PosePrior(**pose_prior(poses, seed=run.seed))
    if run.adapt_steps and run.clips is not None:
        tracks = track_clips(
            [path for path in videos_in(run.clips) if path.stem not in run.hold_out],
            RegressorExport(model, both, prior),
        )
        lifter = adapt_lifter(
            model,
            {"params": {"lifter": both["params"]["lifter"]}},
            tracks,
            poses,
            landmarks,
            prior,
            load_export("semantic"),
            run.adapt_steps,
            seed=run.seed,
            report=_reporter("adaptation", run.workdir / "adapted.npz"),
        )
        both = {"params": {**both["params"], **lifter["params"]}}
    save_regressor(output, model, both, prior)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB", flush=True)


def _train_facing(run: RegressorRun, landmarks: Landmarks, poses: np.ndarray, target: Path) -> None:
    """Trains what tells backs from fronts, anew, and writes it to `target`."""
    heads, shares = [heads_of(pool_of_stills(run, landmarks, poses), even=True)], [1.0]
    if run.clips is not None:
        heads.append(heads_of(pool_of_clips(split_labels(run)[0])))
        shares = [0.7, 0.3]
    report = _reporter("facing", run.workdir / "facing.last.npz")
    facing = train_facing(heads, shares, run.facing_steps, seed=run.seed, report=report)
    save_params(target, {"params": {"facing": facing["params"]}})


def _train_keypoints(
    run: RegressorRun,
    landmarks: Landmarks,
    poses: np.ndarray,
    model: BodyRegressor,
    start: Any,
    target: Path,
) -> None:
    """Trains the picture half, from the parameters `start` or anew, and writes it to `target`."""
    pools, shares, score = [pool_of_stills(run, landmarks, poses)], [1.0], None
    if run.clips is not None:
        teaching, held = split_labels(run)
        pools = [pool_of_clips(teaching), *pools]
        shares = [run.real_share, 1 - run.real_share]
        if held:
            rendered = pool_of_stills(run, landmarks, poses, held=True)
            score = held_score(model, [load_labels(path) for path in held], rendered)
    first = None if start is None else {"params": {"keypoints": start["keypoints"]}}
    if score is not None and first is not None:
        print(f"start: {score(first)}", flush=True)
    keypoints = train_keypoints(
        pools,
        shares,
        run.steps,
        batch_size=run.batch_size,
        learning_rate=run.learning_rate,
        seed=run.seed,
        params=first,
        model=model,
        report=_reporter("keypoints", target, score),
    )
    if score is None or not target.exists():
        save_params(target, keypoints)
