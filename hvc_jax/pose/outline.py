"""Masks of a person as a measurement: the body's soft silhouette should cover what they cover."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.assets import Body
from hvc_jax.body.lbs import screen_vertices
from hvc_jax.pose.silhouette import soft_silhouette

SIDE = 64
"""Pixels a side at which silhouettes are compared."""

_REACH = 6  # pixels from its contour at which the body still feels the mask


class Outline(NamedTuple):
    """Where the person is in T frames, and the body that should be there.

    Attributes:
      body: the model.
      masks: [T, 64, 64] in [0, 1], the share of each pixel that shows the person.
    """

    body: Body
    masks: jax.Array


def outline_cost(vectors: jax.Array, outline: Outline) -> jax.Array:
    """Returns [T]: squared differences of silhouette and mask, relative to the mask's area.

    Clothes and hair reach further than skin, so what the mask has beyond the body counts half.

    Args:
      vectors: [T, 188] body vectors.
      outline: of the same frames.
    """
    _, screen = screen_vertices(outline.body, vectors)
    drawn = soft_silhouette(screen, outline.body.faces, SIDE, SIDE, softness=0.5, reach=_REACH)
    apart = drawn - outline.masks
    cost = jnp.where(apart > 0, 1.0, 0.5) * apart**2
    return cost.sum((1, 2)) / jnp.maximum(outline.masks.sum((1, 2)), 16.0)


def shrunk_masks(masks: np.ndarray) -> np.ndarray:
    """Returns masks [T, 64, 64] in [0, 1] of square masks [T, H, H], uint8 or bool.

    Raises:
      ValueError: the masks are not square, or larger than whole pixels of 64 x 64 allow.
    """
    side = masks.shape[1]
    if masks.ndim != 3 or masks.shape[2] != side or side % SIDE:
        raise ValueError(f"masks {list(masks.shape)} are not [T, H, H] with H a multiple of {SIDE}")
    scale = 1.0 if masks.dtype == bool else 255.0
    block = side // SIDE
    parts = masks.reshape(len(masks), SIDE, block, SIDE, block)
    return (parts.mean((2, 4)) / scale).astype(np.float32)
