"""Training of the network that tells backs from fronts, see `hvc_jax.pose.facing`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hvc_jax.models.keypoint_network import cell_centres
from hvc_jax.pose.facing import WINDOW, FacingNet, head_windows, shoulder_order
from hvc_jax.pose.train.augment import sample_picture
from hvc_jax.pose.train.averaged import Report, Schedule, train_averaged
from hvc_jax.pose.train.degrade import blur, compress, random_tint, tinted
from hvc_jax.pose.train.regressor import Pool

_WIDE = 56  # side of the stored windows, out of which views of 48 pixels are cut
_CLEAR = 0.3  # shoulders as far apart as this, in torsos, are in a clear order


class Heads(NamedTuple):
    """Windows around heads and shoulders.

    Attributes:
      windows: [N, 56, 56, 3] uint8.
      back: [N] float32, 1 where the left shoulder lies to the left in the picture, else 0.
      weight: [N] float32 in [0, 1], how clearly it does.
      share: [N] float64, how often each is drawn; sums to 1.
    """

    windows: np.ndarray
    back: np.ndarray
    weight: np.ndarray
    share: np.ndarray


def heads_of(pool: Pool, even: bool = False) -> Heads:
    """Returns the heads of a pool's pictures whose shoulders are known.

    Args:
      pool: labelled pictures.
      even: draw backs as often as all others together; else as often as the pool does.
    """
    known = (pool.confidence[:, 5:7] > 0.2).all(1)
    points, confidence = pool.points[known], pool.confidence[known]
    order = shoulder_order(points)
    back, share = (order < 0).astype(np.float32), pool.weight[known]
    if even:
        share = 1 / np.bincount(back.astype(int), minlength=2)[back.astype(int)]
    weight = np.minimum(1, np.abs(order) / _CLEAR).astype(np.float32)
    windows = head_windows(pool.pictures[known], points, confidence, _WIDE)
    return Heads(windows, back, weight, share / share.sum())


def _view(key: jax.Array, window: jax.Array) -> jax.Array:
    """Returns a random view [48, 48, 3] of a window [56, 56, 3] in [0, 1], mirrored or not."""
    keys = jax.random.split(key, 8)
    zoom = jax.random.uniform(keys[0], (), minval=0.7, maxval=1.05)
    shift = jax.random.uniform(keys[1], (2,), minval=-0.12, maxval=0.12)
    angle = 0.2 * jax.random.normal(keys[2], ())
    mirror = jnp.where(jax.random.bernoulli(keys[3]), -1.0, 1.0)
    turn = jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]])
    grid = cell_centres(WINDOW)
    at = grid @ (zoom * turn * jnp.array([mirror, 1.0])).T + shift
    picture = tinted(sample_picture(window, at), random_tint(keys[4], 0.4))
    picture = compress(keys[5], blur(keys[6], picture))
    return jnp.clip(picture + 0.03 * jax.random.normal(keys[7], picture.shape), 0, 1)


def facing_loss(
    params: Any, key: jax.Array, windows: jax.Array, back: jax.Array, weight: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Returns the weighted cross-entropy of random views, and the share told rightly."""
    keys = jax.random.split(key, len(windows))
    views = jax.vmap(_view)(keys, windows.astype(jnp.float32) / 255)
    logits = FacingNet().apply(params, views)
    loss = (weight * optax.sigmoid_binary_cross_entropy(logits, back)).mean()
    told = (weight * ((logits > 0) == (back > 0.5))).sum() / jnp.maximum(weight.sum(), 1e-3)
    return loss, {"loss": loss, "told": told}


def train_facing(
    pools: Sequence[Heads],
    shares: Sequence[float],
    steps: int = 1600,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    seed: int = 0,
    report: Report | None = None,
    report_every: int = 100,
) -> Any:
    """Returns the averaged parameters of `FacingNet` after training.

    Args:
      pools: heads.
      shares: part of every batch that each fills.
      steps: optimiser steps.
      batch_size: heads a step.
      learning_rate: peak of the cosine schedule.
      seed: of everything random.
      report: called with (step, mean losses, averaged parameters) every `report_every` steps.
      report_every: steps between reports.
    """
    counts = np.floor(np.asarray(shares) / np.sum(shares) * batch_size).astype(int)
    counts[0] += batch_size - counts.sum()

    def inputs() -> Iterator[tuple[np.ndarray, ...]]:
        for step in range(steps):
            rng = np.random.default_rng((seed, step, 2))
            picks = [
                rng.choice(len(pool.share), count, p=pool.share)
                for pool, count in zip(pools, counts, strict=True)
            ]
            yield tuple(
                np.concatenate([pool[k][pick] for pool, pick in zip(pools, picks, strict=True)])
                for k in range(3)
            )

    params = FacingNet().init(jax.random.key(seed), jnp.zeros((1, WINDOW, WINDOW, 3)))
    schedule = Schedule(steps, learning_rate, final=0.02, weight_decay=3e-2, average=0.99)
    return train_averaged(params, facing_loss, schedule, inputs(), seed + 2, report, report_every)
