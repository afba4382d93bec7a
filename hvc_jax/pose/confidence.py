"""How far bodies are to be trusted: three cues, weighed by a logistic model.

Right is a body whose keypoints err by less than .3 torsos and that faces the right way. The weights
are those of hard rendered clips, where the truth is known (`experiments/041_bodies`, trust.py).
"""

from __future__ import annotations

import functools

import jax
import numpy as np
from scipy.special import expit

from hvc_jax.body.assets import Body, load_body
from hvc_jax.body.lbs import screen_vertices
from hvc_jax.body.raster import rasterize
from hvc_jax.pose.networks import in_batches
from hvc_jax.pose.sight import Sight

DOUBT, SURE = 0.25, 0.5
"""Confidence below the first: the body is not believed; above the second it is."""
BRIDGED_BELOW = 0.05
"""Confidence below which a frame's own body is not worth trying. Encoders draw the others, doubted
ones too, and hold the key picture where that is no better."""

OFFSET = -26.84
WEIGHTS = {"present": 8.42, "met": 10.92, "overlap": 12.67}
"""What each cue weighs, logits; all lie in [0, 1], the more the better."""

_MET = 0.08  # metres by which landmarks may be missed
_USUAL = 0.7  # overlap of right bodies, where there is no mask


@functools.partial(jax.jit, static_argnums=2)
def _covered(body: Body, vectors: jax.Array, side: int) -> jax.Array:
    _, screen = screen_vertices(body, vectors)
    return rasterize(screen, body.faces, side, side).triangle >= 0


def body_cells(vectors: np.ndarray, side: int) -> np.ndarray:
    """Returns [T, side, side] bool: where bodies [T, 188] lie in the picture."""
    return in_batches(lambda rows: (_covered(load_body(), rows, side),), vectors)[0]


def overlap(vectors: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Returns [T]: intersection over union of bodies [T, 188] and masks [T, S, S] in [0, 1]."""
    person, body = masks > 0.5, body_cells(vectors, masks.shape[1])
    return (person & body).sum((1, 2)) / np.maximum((person | body).sum((1, 2)), 1)


def cues(sight: Sight, error: np.ndarray, covered: np.ndarray | None = None) -> np.ndarray:
    """Returns what tells right bodies from wrong ones, [T, 3] in [0, 1], columns as `WEIGHTS`.

    `error`: [T, 33] metres between landmarks and where the bodies have them; `covered`: [T] of
    `overlap`; None where there is no mask.
    """
    weight = sight.visibility**2 + 1e-6
    miss = (weight * np.minimum(error, 0.5)).sum(1) / weight.sum(1)
    lies = np.full(len(miss), _USUAL) if covered is None else covered
    return np.stack([sight.presence, np.exp(-((miss / _MET) ** 2)), lies], 1)


def trusted(said: np.ndarray) -> np.ndarray:
    """Returns [T] float32 in [0, 1]: how far bodies are trusted by what `cues` says."""
    return expit(OFFSET + said @ np.array(list(WEIGHTS.values()))).astype(np.float32)


def bridge_doubted(bodies: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Returns bodies [T, 188]; those less sure than `BRIDGED_BELOW` lie between their neighbours.

    A wrong body moves pixels to wrong places; one that stands still does no harm. A clip of
    such frames alone gets the same body throughout: its most trusted frame's.

    `bodies`: [T, 188]; `confidence`: [T] in [0, 1].
    """
    trusted = np.flatnonzero(confidence >= BRIDGED_BELOW)
    if len(trusted) == len(bodies):
        return bodies
    if not len(trusted):
        trusted = np.array([int(np.argmax(confidence))])
    after = np.clip(np.searchsorted(trusted, np.arange(len(bodies))), 0, len(trusted) - 1)
    before = np.where(trusted[after] > np.arange(len(bodies)), np.maximum(after - 1, 0), after)
    first, last = trusted[before], trusted[after]
    share = (np.arange(len(bodies)) - first) / np.maximum(last - first, 1)
    share = np.clip(share, 0.0, 1.0)[:, None].astype(np.float32)
    return bodies[first] * (1 - share) + bodies[last] * share
