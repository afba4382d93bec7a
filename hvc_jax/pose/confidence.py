"""How far bodies are to be trusted: ten witnesses, weighed by a logistic model.

Keypoints alone do not say that a body is wrong: two people have all of them twice, backs are taken
for fronts, and a fit lands on whatever it was given. So what the keypoints, the mask, the pose and
its motion say is weighed. Right is a body whose keypoints err by less than .3 torsos and that faces
the right way. The weights are those of hard rendered clips, where the truth is known, but for their
common scale and offset: those are of real clips, of whose right frames a given share may be doubted
(`experiments/041_body_regressor`, trust.py).
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from hvc_jax.body.params import CAMERA, NUM_BODY_JOINTS, POSE
from hvc_jax.pose.evidence import Agreement
from hvc_jax.pose.facing import shoulder_order
from hvc_jax.pose.fit_objective import PosePrior

DOUBT, SURE = 0.25, 0.5
"""Confidence below the first: the body is not believed; above the second it is."""
HOPELESS = 0.05
"""Confidence below which a frame's own body is not worth trying. Encoders draw the others, doubted
ones too, and hold the key picture where that is no better."""

OFFSET = -19.93
WEIGHTS = {
    "upper": 1.19,
    "hips": 2.22,
    "met": 1.27,
    "ordered": 4.02,
    "explained": 3.84,
    "supported": 2.74,
    "overlap": 4.78,
    "crisp": 0.92,
    "likely": 2.63,
    "steady": 1.48,
}
"""What each witness weighs, logits; all lie in [0, 1], the more the better."""

WITNESSES = tuple(WEIGHTS)
_NO_MASK = {"explained": 1.0, "supported": 1.0, "overlap": 0.8, "crisp": 0.8}  # as of right bodies
# Between which values of a witness trust rises from nothing to what the sum says.
_DENIED = {"upper": (0, 0.25), "met": (0, 0.25), "explained": (0.7, 0.9), "supported": (0.3, 0.6)}
_MET = 0.12  # metres by which keypoints may be missed
_SHAKE = 0.01  # radians a frame^2 by which joints are shaken, on average


def witnesses(
    bodies: np.ndarray,
    confidence: np.ndarray,
    error: np.ndarray,
    points: np.ndarray,
    prior: PosePrior,
    back: np.ndarray | None = None,
    agreed: Agreement | None = None,
) -> np.ndarray:
    """Returns what tells right bodies from wrong ones, [T, 10] in [0, 1], columns as `WITNESSES`.

    Args:
      bodies: [T, 188] body vectors of consecutive frames.
      confidence: [T, 17] of the keypoints.
      error: [T, 17] distance of the bodies' keypoints from the measured, metres.
      points: [T, 17, 2] measured keypoints.
      prior: over poses.
      back: [T] logits of "the person shows the back"; None where that is known.
      agreed: of bodies and mask; None where there is no mask.
    """
    count = len(bodies)
    said = {name: np.full(count, value) for name, value in _NO_MASK.items()}
    if agreed is not None:
        said = {name: getattr(agreed, name) for name in said}
    said["upper"] = np.sort(confidence[:, :7], axis=1)[:, -4:].mean(1)
    scale, x, y = bodies[:, CAMERA].T
    inside = (np.abs(scale * x) < 1) & (np.abs(scale * y) < 1)
    said["hips"] = np.where(inside, confidence[:, 11:13].mean(1), 0.5)  # of no account elsewhere
    weight = confidence**2 + 1e-6
    miss = (weight * np.minimum(error, 0.5)).sum(1) / weight.sum(1)
    said["met"] = np.exp(-((miss / _MET) ** 2))
    # Left and right are as good as never exchanged where the shoulders lie one behind the other.
    wide = np.minimum(np.abs(shoulder_order(points)), 1.0)
    unsure = 0.0 if back is None else 2 * expit(-np.abs(back))
    said["ordered"] = 1 - unsure * wide
    pose = bodies[:, POSE.start : POSE.start + 3 * NUM_BODY_JOINTS]
    far = (((pose[:, 3:] - np.asarray(prior.mean)) @ np.asarray(prior.whiten).T) ** 2).mean(1)
    said["likely"] = 1 / (1 + far)
    shake = np.zeros(count)
    if count > 2:
        joints = pose.reshape(count, NUM_BODY_JOINTS, 3)
        second = np.linalg.norm(joints[2:] - 2 * joints[1:-1] + joints[:-2], axis=-1).mean(1)
        shake = np.pad(second, 1, mode="edge")
    said["steady"] = 1 / np.sqrt(1 + shake / _SHAKE)
    return np.stack([said[name] for name in WITNESSES], 1)


def trusted(said: np.ndarray) -> np.ndarray:
    """Returns [T] float32 in [0, 1]: how far bodies are trusted by what `witnesses` says.

    A sum forgives one witness for the sake of the others; where one says the utmost, it decides
    alone (`_DENIED`). Of one person at least nine tenths of the mask lie near a body that is right,
    whatever they wear; of two of the same size seven tenths at most.
    """
    summed = expit(OFFSET + said @ np.array(list(WEIGHTS.values())))
    for name, (low, high) in _DENIED.items():
        summed = summed * np.clip((said[:, WITNESSES.index(name)] - low) / (high - low), 0, 1)
    return summed.astype(np.float32)


def bridge_hopeless(bodies: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Returns bodies [T, 188] in which `HOPELESS` frames are interpolated from their neighbours.

    A wrong body moves pixels to wrong places; one that stands still does no harm. A clip of
    hopeless frames alone gets the same body throughout: its most trusted frame's.

    Args:
      bodies: [T, 188].
      confidence: [T] in [0, 1].
    """
    trusted = np.flatnonzero(confidence >= HOPELESS)
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
