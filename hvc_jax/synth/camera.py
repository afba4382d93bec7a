"""Framings of synthetic people: where the picture's borders lie about the body."""

import numpy as np

from hvc_jax.body.params import CAMERA

FRAMINGS = {"head": 0.22, "upper": 0.45, "hips": 1.05, "knees": 1.35, "full": 1.95}
"""Height of the visible part of the person below the top of the head, metres, about."""


def frame_person(
    rng: np.random.Generator,  # Source of randomness
    body: np.ndarray,  # Vectors whose camera entries are overwritten
    joints: np.ndarray,  # `[T, 55, 3]` pelvis-centred joints of those vectors
    legs: str,  # What the legs do; the feet of a squatting person stay on the ground
    framing: str,  # A key of `FRAMINGS`
    # `[T, 3]` captured positions of the pelvis, metres; they decide then, not `legs`
    root: np.ndarray | None = None,
) -> None:
    """Writes cameras into body vectors `[T, 188]`: a framing, held still while the person moves."""
    below = FRAMINGS[framing] * rng.uniform(0.88, 1.12)
    offset = np.zeros((len(body), 2))
    if root is not None:
        offset += root[:, :2]
    elif legs in ("squat", "walk"):
        lowest = joints[:, [7, 8, 10, 11], 1].min(1)
        offset[:, 1] = lowest[0] - lowest
        if legs == "walk":
            offset[:, 0] = np.linspace(0, rng.normal(0, 0.12), len(body))
    wander = rng.normal(0, 0.01, 2) * np.sin(np.linspace(0, rng.uniform(1, 6), len(body)))[:, None]
    offset += wander
    head = joints[:, 15, 1] + offset[:, 1]
    # Above the head joint: the crown, raised hands sometimes, and some air.
    top = head.max() + 0.17 + rng.uniform(0.02, 0.14) * below
    if framing in ("full", "knees") and rng.random() < 0.6:
        top = max(top, (joints[:, [20, 21], 1] + offset[:, 1:]).max() + 0.1)
    bottom = head.max() + 0.17 - below
    scale = 2 / (top - bottom)
    # Whoever walks far is followed in part, so as to stay in the picture.
    offset[:, 0] *= min(1.0, 0.8 / (scale * max(np.ptp(offset[:, 0]), 1e-6)))
    middle = joints[:, [0, 15], 0].mean() + offset[:, 0].mean() + rng.normal(0, 0.12) / scale
    body[:, CAMERA.start] = scale
    body[:, CAMERA.start + 1] = offset[:, 0] - middle
    body[:, CAMERA.start + 2] = offset[:, 1] - (top + bottom) / 2


def random_framing(rng: np.random.Generator) -> str:
    """Returns a key of `FRAMINGS`; upper bodies and whole figures are the most frequent."""
    return str(rng.choice(list(FRAMINGS), p=[0.04, 0.3, 0.26, 0.12, 0.28]))
