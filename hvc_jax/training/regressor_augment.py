"""Random views of labelled pictures for the keypoint network, made inside the compiled step."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from hvc_jax.body.landmarks import COCO_MIRROR
from hvc_jax.models.body_regressor import INPUT_SIZE


class Labelled(NamedTuple):
    """A batch of labelled pictures.

    Attributes:
      pictures: [B, S, S, 3] in [0, 1].
      mask: [B, S, S] in [0, 1], the person.
      points: [B, 17, 2] keypoints in [-1, 1], v down.
      confidence: [B, 17] in [0, 1].
    """

    pictures: jax.Array
    mask: jax.Array
    points: jax.Array
    confidence: jax.Array


def sample_picture(picture: jax.Array, grid: jax.Array) -> jax.Array:
    """Returns picture [H, W, C] at (u, v) of grid [h, w, 2] in [-1, 1], bilinear, edge repeated."""
    height, width = picture.shape[:2]
    x = jnp.clip((grid[..., 0] + 1) / 2 * width - 0.5, 0, width - 1.001)
    y = jnp.clip((grid[..., 1] + 1) / 2 * height - 0.5, 0, height - 1.001)
    left, top = jnp.floor(x).astype(jnp.int32), jnp.floor(y).astype(jnp.int32)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    upper = picture[top, left] * (1 - fx) + picture[top, left + 1] * fx
    lower = picture[top + 1, left] * (1 - fx) + picture[top + 1, left + 1] * fx
    return upper * (1 - fy) + lower * fy


def _colour(key: jax.Array, picture: jax.Array, strength: float) -> jax.Array:
    """Returns a picture with random gain per channel, gamma and saturation."""
    gain, gamma, saturation, flat = jax.random.split(key, 4)
    grey = picture.mean(-1, keepdims=True)
    s = 1 + strength * jax.random.uniform(saturation, (), minval=-1.0, maxval=0.6)
    picture = grey + (picture - grey) * s
    picture = picture * jnp.exp(strength * 0.4 * jax.random.normal(gain, (3,)))
    picture = picture + 0.12 * strength * jax.random.normal(flat, ())
    power = jnp.exp(strength * 0.4 * jax.random.normal(gamma, ()))
    return jnp.clip(picture, 0.0, 1.0) ** power


def _one(
    key: jax.Array, example: Labelled, background: jax.Array, patch: jax.Array, keep: float
) -> Labelled:
    keys = jax.random.split(key, 12)
    # Where to look: turn, zoom about a keypoint-rich centre, shift, mirror.
    angle = 0.25 * jax.random.normal(keys[0], ())
    zoom = jnp.exp(jax.random.uniform(keys[1], (), minval=-0.55, maxval=0.3))
    weight = example.confidence[:, None] + 1e-3
    centre = (example.points * weight).sum(0) / weight.sum()
    pull = jax.random.uniform(keys[2], ())
    shift = centre * pull * (1 - zoom * 0.5) + 0.15 * jax.random.normal(keys[3], (2,))
    mirror = jnp.where(jax.random.bernoulli(keys[4]), -1.0, 1.0)
    turn = jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]])
    line = (jnp.arange(INPUT_SIZE) + 0.5) / INPUT_SIZE * 2 - 1
    grid = jnp.stack(jnp.meshgrid(line, line, indexing="xy"), -1)
    matrix = zoom * turn * jnp.array([mirror, 1.0])  # output (u, v) -> source, before the shift
    stacked = jnp.concatenate([example.pictures, example.mask[..., None]], -1)
    at = grid @ matrix.T + shift
    inside = (jnp.abs(at) <= 1.0).all(-1)
    view = sample_picture(stacked, at)
    picture, mask = view[..., :3], view[..., 3] * inside
    points = (example.points - shift) @ jnp.linalg.inv(matrix).T
    confidence = example.confidence * (jnp.abs(points) <= 1.0).all(-1)
    points = jnp.where(mirror < 0, points[COCO_MIRROR], points)
    confidence = jnp.where(mirror < 0, confidence[COCO_MIRROR], confidence)

    # Clothes, skin and the scene change colour independently; the scene is often swapped.
    swap = jax.random.bernoulli(keys[5], 1 - keep)
    person = _colour(keys[6], picture, 0.6)
    scene = jnp.where(swap, _colour(keys[7], background, 1.0), picture)
    alpha = jnp.clip(mask * 1.6 - 0.5, 0.0, 1.0)[..., None]
    picture = jnp.where(swap, person * alpha + scene * (1 - alpha), person)

    # Something in front of the person, now and then.
    corner = jax.random.uniform(keys[8], (2,), minval=-1.0, maxval=0.9)
    extent = jax.random.uniform(keys[9], (2,), minval=0.15, maxval=0.7)
    cover = ((grid >= corner) & (grid <= corner + extent)).all(-1)
    cover &= jax.random.bernoulli(keys[10], 0.3)
    picture = jnp.where(cover[..., None], patch, picture)
    hidden = ((points >= corner) & (points <= corner + extent)).all(-1)
    hidden &= jax.random.bernoulli(keys[10], 0.3)
    confidence = jnp.where(hidden, confidence * 0.5, confidence)
    picture = picture + 0.02 * jax.random.normal(keys[11], picture.shape)
    return Labelled(jnp.clip(picture, 0, 1), mask * (1 - cover), points, confidence)


def augment(
    key: jax.Array, batch: Labelled, backgrounds: jax.Array, keep_scene: float = 0.4
) -> Labelled:
    """Returns random 128x128 views of a batch with their labels moved along.

    Args:
      key: random key.
      batch: labelled pictures of any size.
      backgrounds: [B, 128, 128, 3] in [0, 1], pictures without people.
      keep_scene: how often a person stays in their own scene.
    """
    keys = jax.random.split(key, batch.pictures.shape[0])
    patches = jnp.roll(backgrounds, 1, 0)
    return jax.vmap(_one, (0, 0, 0, 0, None))(keys, batch, backgrounds, patches, keep_scene)
