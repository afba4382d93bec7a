"""Rendered clips that estimators of bodies easily get wrong, with exact labels."""

import numpy as np

from hvc_jax.body.params import JOINT_INDEX, POSE
from hvc_jax.synth.motion import turned
from hvc_jax.synth.people import SyntheticClip, render_clip

# Axis-angles, radians, of the left arm; they hold the hand before the nose.
_SHOULDER, _ELBOW = (-0.52, -1.01, -0.59), (0.0, -2.15, 0.0)


def _slice_of(joint: str) -> slice:
    first = POSE.start + 3 * JOINT_INDEX[joint]
    return slice(first, first + 3)


def from_behind(seed: int, frames: int, size: int = 256, framing: str = "hips") -> SyntheticClip:
    """Returns the clip of `render_clip` with the person turned by 180 degrees; arguments as there."""  # noqa: E501
    return render_clip(seed, frames, size, framing=framing, change=lambda v: turned(v, np.pi))


def hands_before_face(
    seed: int, frames: int, size: int = 256, framing: str = "hips"
) -> SyntheticClip:
    """Returns the clip of `render_clip` with both hands before the face; arguments as there."""

    def raise_hands(vectors: np.ndarray) -> np.ndarray:
        raised = vectors.copy()
        for side, mirror in (("left", 1.0), ("right", -1.0)):
            for joint, angles in (("shoulder", _SHOULDER), ("elbow", _ELBOW)):
                raised[:, _slice_of(f"{side}_{joint}")] = np.multiply(angles, (1, mirror, mirror))
        return raised

    return render_clip(seed, frames, size, framing=framing, change=raise_hands)


def two_people(
    seed: int, frames: int, size: int = 256, framing: str = "hips"
) -> tuple[np.ndarray, SyntheticClip, SyntheticClip]:
    """Returns frames [T, size, size, 3] uint8 of two people side by side, and the clips of each.

    The clips are those of `render_clip` with this seed and a thousand more, a quarter of the picture
    to the left and to the right; the second person is before the first.
    """  # noqa: E501
    left = render_clip(seed, frames, size, framing=framing)
    right = render_clip(seed + 1000, frames, size, framing=framing)
    behind = np.roll(left.frames, -size // 4, 2).astype(np.float32)
    before, mask = np.roll(right.frames, size // 4, 2), np.roll(right.mask, size // 4, 2)[..., None]
    frames_of_both = (behind * (1 - mask) + before * mask).round().astype(np.uint8)
    return frames_of_both, left, right
