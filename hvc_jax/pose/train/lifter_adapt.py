"""Adapts the lifting half to real clips that nobody labelled.

keypoints of three frames in a row ─► lifter ─► bodies ─┬─► do they land on the keypoints?
                                                        ├─► are they likely poses?
                                                        ├─► do their joints move smoothly?
                                                        └─► does the codec draw the frame with them?

The last is what the bodies are for: the middle frame is drawn from the clip's first by the semantic
decoder, which stays as it is. Batches of sampled bodies go along, since one view of a real clip says
nothing about depth.
"""  # noqa: E501

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from hvc_jax.body.landmarks import Landmarks
from hvc_jax.data.clips import read_clip
from hvc_jax.models.codec_model import CodecModel
from hvc_jax.models.export import Export
from hvc_jax.ops import rotation
from hvc_jax.ops.warp import average_pool
from hvc_jax.pose.estimator import RegressorExport, calmed, look_twice
from hvc_jax.pose.fit_objective import FitState, PosePrior, reproject, to_vectors, unlikeliness
from hvc_jax.pose.regressor import BodyRegressor, Lifted, seen_confidence
from hvc_jax.pose.train.averaged import Report, Schedule, train_averaged
from hvc_jax.pose.train.lifter import lifter_loss
from hvc_jax.pose.train.pose_sampler import sample_bodies

_SIDE = 128  # pixels at which frames are drawn: motion that fits there fits
_BLUNDER = 0.15  # metres beyond which a keypoint is taken for wrong


class Track(NamedTuple):
    """What is known of T frames of a clip.

    Attributes:
      frames: [T, 128, 128, 3] uint8.
      points: [T, 17, 2] keypoints in [-1, 1], v down.
      confidence: [T, 17] in [0, 1].
    """

    frames: np.ndarray
    points: np.ndarray
    confidence: np.ndarray


class Windows(NamedTuple):
    """B times three frames in a row, and the first frame of their clips.

    Attributes:
      key: [B, 128, 128, 3] uint8, first frame.
      middle: [B, 128, 128, 3] uint8, second of the three.
      points: [B, 4, 17, 2] keypoints of the first frame and of the three.
      confidence: [B, 4, 17].
    """

    key: jax.Array
    middle: jax.Array
    points: jax.Array
    confidence: jax.Array


class AdaptWeights(NamedTuple):
    """What each term weighs; lengths in metres at the person."""

    sampled: float = 1.0
    keypoints: float = 6.0
    prior: float = 2e-3
    smooth: float = 4.0
    drawn: float = 1.0


def track_clips(paths: Sequence[Path], regressor: RegressorExport, frames: int = 64) -> list[Track]:
    """Returns the tracks of square clips, keypoints as the regressor finds them.

    Args:
      paths: of clips.
      regressor: its picture half is used.
      frames: of each clip, at most.
    """
    tracks = []
    for path in tqdm(paths, "keypoints", unit="clip", disable=None):
        pictures = read_clip(path, 2 * _SIDE, frames=frames).frames
        sight = look_twice(pictures, regressor)
        points = calmed(sight.points, sight.confidence)
        small = average_pool(jnp.asarray(pictures, jnp.float32), 2)
        tracks.append(Track(np.asarray(small).astype(np.uint8), points, sight.confidence))
    return tracks


def draw_windows(tracks: Sequence[Track], batch_size: int, seed: int) -> Iterator[Windows]:
    """Yields random windows without end, every clip equally often; pure in (seed, step)."""
    for step in itertools.count():
        rng = np.random.default_rng((seed, step))
        rows = []
        for clip in rng.integers(len(tracks), size=batch_size):
            frames, points, confidence = tracks[clip]
            t = int(rng.integers(1, len(frames) - 1))
            pick = [0, t - 1, t, t + 1]
            rows.append((frames[0], frames[t], points[pick], confidence[pick]))
        yield Windows(*(jnp.asarray(np.stack(column)) for column in zip(*rows, strict=True)))


def state_of(lifted: Lifted) -> FitState:
    """Returns lifted bodies [B] as the unknowns of the fit, betas [B, 10]."""
    matrices = rotation.six_d_to_matrix(lifted.rotations)
    scale = lifted.camera[:, :1]
    centre = scale * lifted.camera[:, 1:] * jnp.array([1.0, -1.0])
    log_scale = jnp.log(jnp.maximum(scale[:, 0], 1e-2))
    return FitState(rotation.matrix_to_axis_angle(matrices), lifted.betas, centre, log_scale)


def real_terms(
    state: FitState,
    points: jax.Array,
    confidence: jax.Array,
    landmarks: Landmarks,
    prior: PosePrior,
) -> dict[str, jax.Array]:
    """Returns the terms of B windows of frames in a row that need no pixels; scalars.

    Args:
      state: of 4 B bodies, those of a window after one another, the key frame first.
      points: [B, 4, 17, 2] where they should land.
      confidence: [B, 4, 17].
      landmarks: of the body model.
      prior: over poses.
    """
    screen, joints = reproject(landmarks, state)
    scale = jax.lax.stop_gradient(jnp.exp(state.log_scale))[:, None]
    miss = jnp.linalg.norm(screen - points.reshape(screen.shape) + 1e-6, axis=-1) / scale
    seen = seen_confidence(confidence).reshape(miss.shape)
    unusual = unlikeliness(prior, state.pose)
    before, middle, after = jnp.moveaxis(joints.reshape(-1, 4, *joints.shape[1:])[:, 1:], 1, 0)
    return {
        "keypoints": (seen * jnp.minimum(miss, _BLUNDER)).sum() / (seen.sum() + 1e-3),
        "prior": jnp.minimum(unusual, 500.0).mean(),
        "smooth": jnp.linalg.norm(before - 2 * middle + after + 1e-6, axis=-1).mean(),
    }


def drawn_term(codec: CodecModel, variables: Any, state: FitState, windows: Windows) -> jax.Array:
    """Returns how far frames drawn with these bodies are from the true ones (a scalar).

    The mean of squared errors, each relative to that of the key frame in its place.

    Args:
      codec: a semantic model.
      variables: its variables.
      state: of 4 B bodies, as in `real_terms`.
      windows: the B windows.
    """
    vectors = to_vectors(state).reshape(len(windows.key), 4, -1)
    key, middle = (p.astype(jnp.float32) / 255 for p in (windows.key, windows.middle))
    features = codec.apply(variables, key, method="reference")
    drawn, _ = codec.apply(variables, features, vectors[:, 0], vectors[:, 2], method="synthesise")
    error = jnp.square(jnp.clip(drawn, 0, 1) - middle).mean((1, 2, 3))
    held = jnp.square(key - middle).mean((1, 2, 3))
    return jnp.minimum(error / (held + 1e-4), 4.0).mean()


def adapt_lifter(
    model: BodyRegressor,
    params: Any,
    tracks: Sequence[Track],
    poses: np.ndarray,
    landmarks: Landmarks,
    prior: PosePrior,
    codec: Export | None,
    steps: int,
    batch_size: int = 8,
    learning_rate: float = 3e-4,
    seed: int = 0,
    report: Report | None = None,
    report_every: int = 50,
) -> Any:
    """Returns the averaged parameters of the lifting half after adaptation.

    Args:
      model: the network.
      params: {"params": {"lifter": ...}} to start from.
      tracks: of real clips.
      poses: [N, 22, 3] axis-angle from `load_poses`, for sampled bodies.
      landmarks: of the body model.
      prior: over poses.
      codec: a semantic model, which draws; None leaves that term out.
      steps: optimiser steps.
      batch_size: windows a step; 256 sampled bodies go with them.
      learning_rate: peak of the cosine schedule.
      seed: of everything random.
      report: called with (step, mean terms, averaged parameters) every `report_every` steps.
      report_every: steps between reports.
    """
    weights = AdaptWeights()
    drawer = None if codec is None else CodecModel(codec.config.model)
    variables = {} if codec is None else {"params": codec.params}
    schedule = Schedule(steps, learning_rate, final=0.05, weight_decay=1e-4, average=0.99)

    def loss(
        params: Any, key: jax.Array, windows: Windows, variables: Any, poses: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        def lift(points: jax.Array, confidence: jax.Array) -> Lifted:
            return model.apply(params, points, confidence, method="lift")

        bodies = sample_bodies(key, poses, landmarks, 256)
        sampled, _ = lifter_loss(lift(bodies.points, bodies.confidence), bodies, landmarks)
        points, confidence = windows.points, windows.confidence
        state = state_of(lift(points.reshape(-1, 17, 2), confidence.reshape(-1, 17)))
        terms = {"sampled": sampled} | real_terms(state, points, confidence, landmarks, prior)
        if drawer is not None:
            terms["drawn"] = drawn_term(drawer, variables, state, windows)
        return sum(getattr(weights, name) * term for name, term in terms.items()), terms

    poses = jnp.asarray(poses)
    inputs = ((windows, variables, poses) for windows in draw_windows(tracks, batch_size, seed))
    return train_averaged(params, loss, schedule, inputs, seed + 1, report, report_every)
