"""Bodies of a clip from its pixels: landmark networks, the solver, then the skin's looks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hvc_jax.body.params import EXPRESSION, identity_vector
from hvc_jax.pose.appearance import Reference
from hvc_jax.pose.bodies import bodies_from_sight, pose_prior
from hvc_jax.pose.confidence import DOUBT, bridge_doubted, cues, overlap, trusted
from hvc_jax.pose.face import expressions
from hvc_jax.pose.face_sight import see_face
from hvc_jax.pose.fit import through_pixels, vectors_of
from hvc_jax.pose.hand_sight import see_hands
from hvc_jax.pose.hands import with_hands
from hvc_jax.pose.networks import load_network
from hvc_jax.pose.sight import Sight, look_at_pose, see, with_keypoints
from hvc_jax.pose.skeleton import NAMES

_STEPS = {0: 30, 1: 100, 2: 240, 3: 600}  # Adam steps of a round through pixels, by effort


class Before(NamedTuple):
    """What a live picture leaves for the one that follows it."""

    window: np.ndarray  # [4] where the person is looked for
    unknowns: np.ndarray  # [69] of `hvc_jax.pose.solve`, which the next body is drawn to


class Estimate(NamedTuple):
    """Bodies of a clip and how far to trust them."""

    bodies: np.ndarray  # [T, 188] float32 body vectors
    # [T] in [0, 1], how far the body is trusted; below `DOUBT` it is doubted, below `BRIDGED_BELOW`
    # not the frame's own but bridged from its neighbours
    confidence: np.ndarray
    # [T] how many people are seen nearby in time; 1 with given keypoints or `before`
    people: np.ndarray
    # for a picture that follows the last one; None where the person is lost
    last: Before | None = None


def nobody(count: int) -> Estimate:
    """Returns bodies of `count` frames that show nobody: they stand still and are not trusted."""
    bodies = np.tile(identity_vector(), (count, 1)).astype(np.float32)
    return Estimate(bodies, np.zeros(count, np.float32), np.zeros(count, np.int64))


def estimate(
    frames: np.ndarray,
    effort: int = 1,
    reference: Reference | None = None,
    *,
    keypoints: tuple[np.ndarray, np.ndarray] | None = None,
    details: bool = False,
    person: int = 1,
    folder: str | None = None,
    before: Before | None = None,
) -> Estimate:
    """Returns the bodies of a clip of a person.

    Args:
      frames: [T, H, W, 3] uint8 RGB, square, one scene.
      effort: 0 to 3 look at the pixels longer and longer; bodies of a single frame, as of a live
        picture, are those of landmarks alone.
      reference: an earlier frame of the same scene, to go on from.
      keypoints: [T, 17, 2] COCO (u, v) and confidence [T, 17], where they are known better.
      details: also find the expressions of faces that are large enough, and turn wrists and fingers
        as hands that are seen. For encoders they are not worth their bits (experiments/040_fit).
      person: 1 for the largest, 2 for the next, ...
      folder: of the landmark networks; None for those that come with the package.
      before: `last` of the picture before, for a single live picture: the person is looked for
        there, and the body held as it was there where little is seen.

    Raises:
      ValueError: the frames are not [T, H, W, 3] uint8 with H = W, or effort is unknown.
      FileNotFoundError: the package was installed without its networks.
    """
    if frames.ndim != 4 or frames.shape[1] != frames.shape[2] or frames.dtype != np.uint8:
        raise ValueError(
            f"bodies are found in square uint8 frames [T, H, W, 3], got {frames.dtype} "
            f"{list(frames.shape)}; crop or pad the clip first"
        )
    if effort not in _STEPS:
        raise ValueError(f"effort must be 0, 1, 2 or 3, got {effort}")
    looked = seen = see(frames, person, folder, before and before.window)
    if keypoints is not None:
        seen = with_keypoints(looked, *keypoints)
    if seen is None:
        return nobody(len(frames))
    shape = None if reference is None else reference.vector[:10]
    live = before is not None and len(frames) == 1
    fitted = bodies_from_sight(seen, shape, before.unknowns if live else None)
    solved = fitted.bodies
    if len(frames) > 1:
        measured, steps = fitted.measured, _STEPS[effort]
        solved = through_pixels(solved, measured, pose_prior(), frames, steps, reference)
    bodies = vectors_of(solved, len(frames))
    covered = None if keypoints is not None else overlap(bodies, seen.mask)
    trust = trusted(cues(seen, fitted.error, covered))
    bodies = bridge_doubted(bodies, trust)
    if details and looked is not None and (trust >= DOUBT).any():
        faces = expressions(see_face(frames, looked, folder), frames.shape[1])
        bodies[:, EXPRESSION] = faces * (trust >= DOUBT)[:, None]
        hands = see_hands(frames, looked, folder)
        presence = hands.presence * (trust >= DOUBT)[:, None]
        bodies = with_hands(bodies, hands._replace(presence=presence))
    last = None
    if seen.windows is not None and trust[-1] >= DOUBT:
        last = Before(seen.windows[-1], np.asarray(solved.frames[len(frames) - 1]))
    return Estimate(bodies, trust, seen.people, last)


def compile_for_live(side: int) -> None:
    """Compiles what the body of one picture of `side` pixels needs, ahead of the first one."""
    grey, whole = np.full((1, side, side, 3), 128, np.uint8), np.array([[0, 0, 1, 0]], np.float32)
    see(grey)  # finds nobody
    points, *rest = look_at_pose(grey, whole, load_network("pose_landmark"))
    sight = Sight(points[:, : len(NAMES)], *rest, np.ones(1, np.int64))
    first = bodies_from_sight(sight).bodies
    overlap(vectors_of(first, 1), sight.mask)
    bodies_from_sight(sight, before=np.asarray(first.frames[0]))
