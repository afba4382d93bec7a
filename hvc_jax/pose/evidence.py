"""What the person mask says about bodies, and how far each joint is to be trusted."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import binary_dilation

from hvc_jax.body.assets import Body, load_body
from hvc_jax.body.camera import project
from hvc_jax.body.lbs import posed_vertices
from hvc_jax.body.params import unpack
from hvc_jax.body.raster import rasterize

_BATCH = 8
_FINE = 2  # pixels of the raster a cell of the mask along a side
_PERSON = 0.5  # probability from which a cell of the mask shows a person
_SLACK = 2  # cells about the body that are its clothes and hair
_LEAST = 8  # cells that make a mask: fewer say nothing


class Agreement(NamedTuple):
    """What the mask says about a body in each of T frames.

    Attributes:
      explained: [T] in [0, 1], share of the mask that lies on the body or next to it; low where
        there are two people, or where the body lies elsewhere.
      supported: [T] in [0, 1], share of the body that lies on the mask or next to it; low where the
        body is drawn over the background.
      overlap: [T] in [0, 1], intersection over union of both.
      crisp: [T] in [0, 1]; low where the mask is unsure of much.
    """

    explained: np.ndarray
    supported: np.ndarray
    overlap: np.ndarray
    crisp: np.ndarray


@functools.partial(jax.jit, static_argnums=2)
def _covered(body: Body, vectors: jax.Array, cells: int) -> jax.Array:
    params = unpack(vectors)
    vertices, _ = posed_vertices(body, params)
    side = cells * _FINE
    seen = rasterize(project(vertices, params.camera), body.faces, side, side).triangle >= 0
    return seen.reshape(len(vectors), cells, _FINE, cells, _FINE).any((2, 4))


def body_cells(vectors: np.ndarray, cells: int) -> np.ndarray:
    """Returns [T, cells, cells] bool: where bodies [T, 188] lie in the picture."""
    body, found = load_body(), []
    for first in range(0, len(vectors), _BATCH):
        part = vectors[first : first + _BATCH]
        filled = np.concatenate([part, np.repeat(part[-1:], _BATCH - len(part), 0)])
        found.append(np.asarray(_covered(body, jnp.asarray(filled), cells))[: len(part)])
    return np.concatenate(found)


def widened(mask: np.ndarray, cells: int) -> np.ndarray:
    """Returns bool masks [T, S, S] grown by so many cells in eight directions."""
    return binary_dilation(mask, np.ones((1, 3, 3), bool), cells)


def agreement(vectors: np.ndarray, masks: np.ndarray) -> Agreement:
    """Returns how bodies and masks agree; shares are 1 where the mask shows hardly anybody.

    Args:
      vectors: [T, 188] body vectors.
      masks: [T, S, S] probability that a cell of the picture shows a person.
    """
    person = masks > _PERSON
    body = body_cells(vectors, masks.shape[1])
    said = person.sum((1, 2)) >= _LEAST

    def share(part: np.ndarray, near: np.ndarray) -> np.ndarray:
        both, whole = (part & near).sum((1, 2)), part.sum((1, 2))
        return np.where(said, both / np.maximum(whole, 1), 1.0)

    unsure = (4 * masks * (1 - masks)).sum((1, 2)) / np.maximum(person.sum((1, 2)), _LEAST)
    return Agreement(
        share(person, widened(body, _SLACK)),
        share(body, widened(person, 1)),
        (person & body).sum((1, 2)) / np.maximum((person | body).sum((1, 2)), 1),
        1 - np.minimum(unsure, 1),
    )


# The keypoints that tell of each of the 22 joints; the trunk is known by shoulders and hips.
_TOLD_BY = (
    (11, 12), (11,), (12,), (5, 6, 11, 12), (13,), (14,), (5, 6, 11, 12), (15,), (16,),
    (5, 6), (15,), (16,), (0, 5, 6), (5,), (6,), (0, 1, 2, 3, 4), (5,), (6,), (7,), (8,), (9,),
    (10,),
)  # fmt: skip


def joint_confidence(confidence: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Returns [T, 22] in [0, 1]: how far each joint was seen and the body lands on what was seen.

    Args:
      confidence: [T, 17] of the keypoints.
      error: [T, 17] distance of the fitted keypoints from the measured, metres.
    """
    each = confidence * np.exp(-((error / 0.12) ** 2))
    return np.stack([each[:, list(points)].mean(1) for points in _TOLD_BY], 1).astype(np.float32)
