"""Training of the body regressor's lifting half: from 17 keypoints to rotations, shape and camera.

No picture is involved: bodies are drawn by `hvc_jax.pose.train.pose_sampler`.
"""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.landmarks import Landmarks, pose_landmarks
from hvc_jax.models.keypoint_network import NUM_KEYPOINTS
from hvc_jax.ops import rotation
from hvc_jax.pose.regressor import BodyRegressor, Lifted
from hvc_jax.pose.train.averaged import Report, Schedule, train_averaged
from hvc_jax.pose.train.pose_sampler import Bodies, sample_bodies, sample_rotations


def lifter_loss(
    lifted: Lifted, truth: Bodies, landmarks: Landmarks
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Returns the lifting half's loss (a scalar) and its parts.

    Rotation matrices (L1), joints in metres (L1), the projected keypoints that were seen, relative
    to the person's size (L1), shape (L2).
    """
    matrices = rotation.six_d_to_matrix(lifted.rotations)
    turn = jnp.abs(matrices - truth.rotations).mean()
    points, joints = pose_landmarks(landmarks, lifted.betas, matrices)
    place = jnp.abs(joints - truth.joints).sum(-1).mean()
    scale, x, y = (lifted.camera[:, None, k] for k in range(3))
    flat = jnp.stack([scale * (points[..., 0] + x), -scale * (points[..., 1] + y)], -1)
    seen = (truth.confidence > 0.2)[..., None]
    size = truth.camera[:, :1, None]
    screen = (seen * jnp.abs(flat - truth.exact) / size).sum() / seen.sum()
    shape = jnp.mean((lifted.betas - truth.betas) ** 2)
    loss = 4.0 * turn + 4.0 * place + 6.0 * screen + 0.1 * shape
    return loss, {"turn": turn, "joints_m": place, "screen_m": screen, "shape": shape}


def train_lifter(
    poses: np.ndarray,
    landmarks: Landmarks,
    steps: int,
    batch_size: int = 512,
    learning_rate: float = 1e-3,
    seed: int = 0,
    model: BodyRegressor | None = None,
    params: Any | None = None,
    report: Report | None = None,
    report_every: int = 250,
) -> Any:
    """Returns the averaged parameters of the lifting half after training.

    Args:
      poses: [N, 22, 3] axis-angle from `load_poses`.
      landmarks: of the body model.
      steps: optimiser steps.
      batch_size: bodies a step, all fresh.
      learning_rate: peak of the cosine schedule.
      seed: of everything random.
      model: the network; None for the default.
      params: start; None for a random one.
      report: called with (step, mean losses, averaged parameters) every `report_every` steps.
      report_every: steps between reports.
    """
    model = model or BodyRegressor()
    if params is None:
        params = jax.jit(model.init, static_argnames="method")(
            jax.random.key(seed),
            jnp.zeros((1, NUM_KEYPOINTS, 2)),
            jnp.ones((1, NUM_KEYPOINTS)),
            method="lift",
        )
    schedule = Schedule(steps, learning_rate, final=0.01, weight_decay=1e-4, average=0.998)

    def loss(
        params: Any, key: jax.Array, poses: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        bodies = sample_bodies(key, poses, landmarks, batch_size)
        lifted = model.apply(params, bodies.points, bodies.confidence, method="lift")
        return lifter_loss(lifted, bodies, landmarks)

    inputs = itertools.repeat((jnp.asarray(poses),))
    return train_averaged(params, loss, schedule, inputs, seed + 1, report, report_every)


def pose_prior(poses: np.ndarray, count: int = 20000, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns a Gaussian over plausible poses, as the fit's prior.

    Args:
      poses: [N, 22, 3] axis-angle from `load_poses`.
      count: random poses that it is estimated from.
      seed: of those.

    Returns:
      "mean" [63] and "whiten" [63, 63], float32: whiten @ (pose - mean) of the axis-angle of joints
      1 to 21 (radians) has unit covariance.
    """

    @jax.jit
    def sample(key: jax.Array, poses: jax.Array) -> jax.Array:
        matrices = sample_rotations(key, poses, count)
        return rotation.matrix_to_axis_angle(matrices[:, 1:])

    vectors = np.asarray(sample(jax.random.key(seed), jnp.asarray(poses))).reshape(count, -1)
    mean = vectors.mean(0)
    covariance = np.cov(vectors.T.astype(np.float64)) + 0.03**2 * np.eye(len(mean))
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    return {"mean": mean.astype(np.float32), "whiten": whiten.astype(np.float32)}
