"""Training of the body regressor's picture half: from pictures to 17 keypoints and a mask.

The lifting half is trained in `hvc_jax.pose.train.lifter`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hvc_jax.models.keypoint_network import HEATMAP_SIZE, INPUT_SIZE, Keypoints, cell_centres
from hvc_jax.pose.pseudo_labels import load_labels
from hvc_jax.pose.regressor import BodyRegressor
from hvc_jax.pose.train.augment import Labelled, augment
from hvc_jax.pose.train.averaged import Report, Schedule, train_averaged
from hvc_jax.synth.background import random_background


class Pool(NamedTuple):
    """Labelled pictures in memory, to draw batches from.

    Attributes:
      pictures: [N, S, S, 3] uint8.
      mask: [N, S, S] uint8.
      points: [N, 17, 2] float32 in [-1, 1].
      confidence: [N, 17] float32 in [0, 1].
      weight: [N] float64, how often each is drawn; sums to 1.
    """

    pictures: np.ndarray
    mask: np.ndarray
    points: np.ndarray
    confidence: np.ndarray
    weight: np.ndarray


def pool_of_clips(paths: Sequence[str | Path]) -> Pool:
    """Returns the pool of pseudo-labelled clips; every clip is drawn about equally often.

    Args:
      paths: files written by `hvc_jax.pose.pseudo_labels.save_labels`.
    """
    if not paths:
        raise ValueError("no pseudo-label files; make them with 'hvc train-regressor --label'")
    clips = [load_labels(path) for path in paths]
    # The square root lets long clips speak a little more than short ones.
    weight = np.concatenate([np.full(len(c.pictures), len(c.pictures) ** -0.5) for c in clips])
    return Pool(
        np.concatenate([c.pictures for c in clips]),
        np.concatenate([c.mask for c in clips]),
        np.concatenate([c.keypoints for c in clips]),
        np.concatenate([c.confidence for c in clips]),
        weight / weight.sum(),
    )


def background_bank(pool: Pool, count: int, seed: int = 0) -> np.ndarray:
    """Returns [count, 128, 128, 3] uint8 textures without people.

    Half are magnified windows of the pool's pictures that the masks call empty, a quarter are the
    scenes of rendered people, a quarter random blends of gradients, stripes and boxes.
    """
    rng = np.random.default_rng(seed)
    side = pool.pictures.shape[1]
    bank = np.empty((count, INPUT_SIZE, INPUT_SIZE, 3), np.uint8)
    filled = 0
    line = np.linspace(-1, 1, INPUT_SIZE)
    v, u = np.meshgrid(line, line, indexing="ij")
    while filled < count:
        if filled % 2 == 0:
            for _ in range(20):
                k = rng.integers(len(pool.pictures))
                window = int(rng.integers(side // 6, side // 2))
                y, x = rng.integers(0, side - window, 2)
                if pool.mask[k, y : y + window, x : x + window].mean() < 5:
                    rows = y + np.arange(INPUT_SIZE) * window // INPUT_SIZE
                    columns = x + np.arange(INPUT_SIZE) * window // INPUT_SIZE
                    bank[filled] = pool.pictures[k][rows][:, columns]
                    break
            else:
                bank[filled] = rng.integers(0, 256, 3)
        elif filled % 4 == 1:
            bank[filled] = random_background(rng, INPUT_SIZE)
        else:
            base = rng.uniform(0, 1, 3) + rng.normal(0, 0.2, 3) * u[..., None]
            base = base + rng.normal(0, 0.2, 3) * v[..., None]
            for _ in range(int(rng.integers(0, 9))):
                a, b = np.sort(rng.uniform(-1.2, 1.2, 2)), np.sort(rng.uniform(-1.2, 1.2, 2))
                box = (u > a[0]) & (u < a[1]) & (v > b[0]) & (v < b[1])
                base[box] = rng.uniform(0, 1, 3) + rng.normal(0, 0.06, (int(box.sum()), 1))
            wave = np.sin(rng.normal(0, 12) * u + rng.normal(0, 12) * v)
            base = base + rng.normal(0, 0.1) * wave[..., None]
            bank[filled] = (np.clip(base, 0, 1) * 255).astype(np.uint8)
        filled += 1
    return bank


def draw(
    pools: Sequence[Pool], shares: Sequence[float], batch_size: int, seed: int
) -> Iterator[tuple[Labelled, int]]:
    """Yields (batch, step); each pool fills its share of every batch. Pure in (seed, step)."""
    counts = np.floor(np.asarray(shares) / np.sum(shares) * batch_size).astype(int)
    counts[0] += batch_size - counts.sum()
    step = 0
    while True:
        rng = np.random.default_rng((seed, step))
        parts: list[list[np.ndarray]] = [[], [], [], []]
        for pool, count in zip(pools, counts, strict=True):
            index = rng.choice(len(pool.weight), count, p=pool.weight)
            for part, array in zip(parts, pool[:4], strict=True):
                part.append(np.asarray(array[index]))
        pictures, mask, points, confidence = (np.concatenate(part) for part in parts)
        yield Labelled(pictures, mask, points, confidence), step
        step += 1


def keypoint_loss(found: Keypoints, label: Labelled) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Returns the picture half's loss (a scalar) and its parts.

    Cross-entropy of each heat map against a Gaussian of one cell, weighted with the label's
    confidence; binary cross-entropy of confidence and mask; smooth L1 of the decoded points.
    """
    centres = cell_centres()
    distance2 = jnp.sum((centres[None, :, :, None] - label.points[:, None, None]) ** 2, -1)
    target = jnp.exp(-distance2 / (2 * (1.0 * 2 / HEATMAP_SIZE) ** 2))
    target = target / (target.sum((1, 2), keepdims=True) + 1e-6)
    flat = found.heat.reshape(found.heat.shape[0], -1, found.heat.shape[-1])
    log_p = jax.nn.log_softmax(flat, axis=1).reshape(found.heat.shape)
    weight = label.confidence
    total = weight.sum() + 1e-3
    heat = -(weight * (target * log_p).sum((1, 2))).sum() / total
    error = jnp.abs(found.points - label.points).sum(-1)
    close = (weight * jnp.minimum(error, 0.2)).sum() / total
    visible = optax.sigmoid_binary_cross_entropy(
        found.visibility, jnp.clip(weight * 1.25, 0.0, 1.0)
    ).mean()
    step = INPUT_SIZE // HEATMAP_SIZE
    mask = label.mask.reshape(-1, HEATMAP_SIZE, step, HEATMAP_SIZE, step).mean((2, 4))
    person = optax.sigmoid_binary_cross_entropy(found.mask, mask).mean()
    loss = heat + 2.0 * close + visible + person
    return loss, {"heat": heat, "error": close, "visible": visible, "mask": person}


def train_keypoints(
    pools: Sequence[Pool],
    shares: Sequence[float],
    steps: int,
    batch_size: int = 32,
    learning_rate: float = 2e-3,
    seed: int = 0,
    params: Any = None,
    model: BodyRegressor | None = None,
    report: Report | None = None,
    report_every: int = 100,
) -> Any:
    """Returns the averaged parameters of the picture half after training.

    Args:
      pools: labelled pictures, all of one size.
      shares: part of every batch that each pool fills.
      steps: optimiser steps.
      batch_size: pictures a step.
      learning_rate: peak of the cosine schedule.
      seed: of everything random.
      params: {"params": {"keypoints": ...}} to go on from, or None to start afresh.
      model: the network; None for the default.
      report: called with (step, mean losses, averaged parameters) every `report_every` steps.
      report_every: steps between reports.
    """
    model = model or BodyRegressor()
    if params is None:
        blank = jnp.zeros((1, INPUT_SIZE, INPUT_SIZE, 3))
        params = jax.jit(model.init, static_argnames="method")(
            jax.random.key(seed), blank, method="find"
        )
    schedule = Schedule(steps, learning_rate, final=0.02, weight_decay=1e-2, average=0.995)
    bank = background_bank(pools[0], 600, seed)

    def loss(
        params: Any, key: jax.Array, batch: Labelled, backgrounds: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        batch = batch._replace(
            pictures=batch.pictures.astype(jnp.float32) / 255,
            mask=batch.mask.astype(jnp.float32) / 255,
        )
        view = augment(key, batch, backgrounds.astype(jnp.float32) / 255)
        return keypoint_loss(model.apply(params, view.pictures, method="find"), view)

    def inputs() -> Iterator[tuple[Labelled, np.ndarray]]:
        for batch, step in draw(pools, shares, batch_size, seed):
            pick = np.random.default_rng((seed, step, 1)).integers(len(bank), size=batch_size)
            yield batch, bank[pick]

    return train_averaged(params, loss, schedule, inputs(), seed + 1, report, report_every)
