"""Random views of labelled pictures for the keypoint network, made inside the compiled step."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from hvc_jax.body.landmarks import COCO_MIRROR
from hvc_jax.models.keypoint_network import INPUT_SIZE, cell_centres
from hvc_jax.pose.train.degrade import blur, compress, dress, random_tint, tinted


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


class Camera(NamedTuple):
    """Where a view looks: view (u, v) @ matrix.T + shift = (u, v) of the stored picture.

    Attributes:
      matrix: [2, 2].
      shift: [2].
      mirror: scalar, -1 where left and right are exchanged, else 1.
    """

    matrix: jax.Array
    shift: jax.Array
    mirror: jax.Array


def random_camera(key: jax.Array, points: jax.Array, confidence: jax.Array) -> Camera:
    """Returns a view that turns, zooms, stretches, mirrors; a third end at the hips or the chest.

    Args:
      key: random key.
      points: [17, 2] keypoints in [-1, 1].
      confidence: [17] in [0, 1].
    """
    keys = jax.random.split(key, 10)
    angle = 0.25 * jax.random.normal(keys[0], ())
    zoom = jnp.exp(jax.random.uniform(keys[1], (), minval=-0.7, maxval=0.4))
    weight = confidence[:, None] + 1e-3
    centre = (points * weight).sum(0) / weight.sum()
    pull = jax.random.uniform(keys[2], ())
    shift = centre * pull * (1 - zoom * 0.5) + 0.15 * jax.random.normal(keys[3], (2,))

    # From above the head down to the hips, or part of the way there, as talks are filmed.
    sure = confidence > 0.3
    top = jnp.where(sure, points[:, 1], jnp.inf).min()
    shoulders, hips = points[5:7].mean(0), points[11:13].mean(0)
    low = shoulders + (hips - shoulders) * jax.random.uniform(keys[4], (), minval=0.3, maxval=1.1)
    head = (points * weight)[:5].sum(0) / weight[:5].sum()  # of a back view the ears are seen
    top = jnp.minimum(top, 2 * head[1] - shoulders[1])
    tall = (low[1] - top) / 2
    close = sure[:5].any() & sure[jnp.array([5, 6, 11, 12])].all() & (tall > 0.12)
    close &= jax.random.bernoulli(keys[5], 0.33)
    margin = jnp.exp(jax.random.uniform(keys[6], (), minval=0.0, maxval=0.35))
    zoom = jnp.where(close, tall * margin, zoom)
    at = jnp.stack([shoulders[0], low[1] - tall * margin])
    at = at + 0.15 * zoom * jax.random.normal(keys[7], (2,)) * jnp.array([1.0, 0.3])
    shift = jnp.where(close, at, shift)

    mirror = jnp.where(jax.random.bernoulli(keys[8]), -1.0, 1.0)
    stretch = jnp.exp(0.08 * jax.random.normal(keys[9], ()))
    turn = jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]])
    matrix = zoom * turn * jnp.array([mirror * stretch, 1 / stretch])
    return Camera(matrix, shift, mirror)


def _one(
    key: jax.Array, example: Labelled, background: jax.Array, patch: jax.Array, keep: float
) -> Labelled:
    keys = jax.random.split(key, 13)
    camera = random_camera(keys[0], example.points, example.confidence)
    grid = cell_centres(INPUT_SIZE)
    stacked = jnp.concatenate([example.pictures, example.mask[..., None]], -1)
    at = grid @ camera.matrix.T + camera.shift
    inside = (jnp.abs(at) <= 1.0).all(-1)
    # Made once: fused into all that follows, it would be sampled again for each.
    view = jax.lax.optimization_barrier(sample_picture(stacked, at))
    picture, mask = view[..., :3], view[..., 3] * inside
    points = (example.points - camera.shift) @ jnp.linalg.inv(camera.matrix).T
    confidence = example.confidence * (jnp.abs(points) <= 1.0).all(-1)
    points = jnp.where(camera.mirror < 0, points[COCO_MIRROR], points)
    confidence = jnp.where(camera.mirror < 0, confidence[COCO_MIRROR], confidence)

    # Clothes, skin and the scene change colour independently; the scene is often swapped, and now
    # and then it is empty.
    swap = jax.random.bernoulli(keys[1], 1 - keep)
    empty = swap & jax.random.bernoulli(keys[2], 0.06)
    mask = mask * ~empty
    confidence = confidence * ~empty
    person = jax.lax.optimization_barrier(dress(keys[3], picture))
    scene = jax.lax.optimization_barrier(tinted(background, random_tint(keys[4], 0.8)))
    alpha = jnp.clip(mask * 1.6 - 0.5, 0.0, 1.0)[..., None]
    picture = jnp.where(swap, person * alpha + scene * (1 - alpha), person)

    # Something in front of the person, now and then.
    corner = jax.random.uniform(keys[5], (2,), minval=-1.0, maxval=0.9)
    extent = jax.random.uniform(keys[6], (2,), minval=0.15, maxval=0.7)
    there = jax.random.bernoulli(keys[7], 0.3)
    cover = ((grid >= corner) & (grid <= corner + extent)).all(-1) & there
    picture = jnp.where(cover[..., None], patch, picture)
    hidden = ((points >= corner) & (points <= corner + extent)).all(-1) & there
    confidence = jnp.where(hidden, confidence * 0.5, confidence)
    picture = compress(keys[8], blur(keys[9], picture))
    noise = jax.random.uniform(keys[10], picture.shape, minval=-1.0, maxval=1.0)
    picture = picture + 0.04 * jax.random.uniform(keys[11], ()) * noise
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
