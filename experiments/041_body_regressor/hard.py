"""Rendered clips that bodies are easily got wrong in, with exact keypoints.

People from all sides, some of whom turn, some by motion capture, some with the hands before the face;
things before the camera, windows cut out of the picture, blur and JPEG, two people, nobody.
"""  # noqa: E501

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from hvc_jax.body.assets import load_body
from hvc_jax.body.landmarks import landmarks_of
from hvc_jax.body.params import POSE
from hvc_jax.pose.train.rendered_labels import TURNED_AWAY, keypoints_of_bodies
from hvc_jax.synth.motion import turned
from hvc_jax.synth.people import render_clip
from hvc_jax.synth.trouble import hands_before_face, two_people

WRONG = 0.3
"""Torsos by which the keypoints of a wrong body err, on average."""
_SIZE = 192
_HARDLY = 4  # keypoints seen, below which nobody can be followed


class HardClip(NamedTuple):
    """A rendered clip of T frames.

    Attributes:
      frames: [T, 192, 192, 3] uint8.
      points: [T, 17, 2] true keypoints in [-1, 1] of the picture.
      seen: [T, 17] bool: in the picture, before nothing else, not on the head's far side.
      torso: shoulder to the hip across, in the units of the points.
      heading: [T, 3] unit vectors, where the pelvis faces.
      one: whether there is one person.
    """

    frames: np.ndarray
    points: np.ndarray
    seen: np.ndarray
    torso: float
    heading: np.ndarray
    one: bool


def headings(bodies: np.ndarray) -> np.ndarray:
    """Returns unit vectors [T, 3] where the pelvis of bodies [T, 188] faces, +z to the camera."""
    return Rotation.from_rotvec(bodies[:, POSE.start : POSE.start + 3]).apply([0, 0, 1])


def wrong(clip: HardClip, bodies: np.ndarray) -> np.ndarray:
    """Returns [T] bool: the body [T, 188] is off, faces the wrong way, or nobody can be followed."""  # noqa: E501
    found, _ = keypoints_of_bodies(bodies, landmarks_of(load_body()))
    apart = np.linalg.norm(found - clip.points, axis=-1) / clip.torso
    count = clip.seen.sum(1)
    error = (apart * clip.seen).sum(1) / np.maximum(count, 1)
    away = (headings(bodies)[:, [0, 2]] * clip.heading[:, [0, 2]]).sum(1) < 0
    followed = (count >= _HARDLY) & clip.seen[:, 5:7].any(1) & clip.one
    return (error > WRONG) | away | ~followed


def hard_clip(seed: int, frames: int = 24, mocap: Sequence[Path] = ()) -> HardClip:
    """Returns a clip; the same seed and files give the same clip.

    Args:
      seed: of everything.
      frames: T.
      mocap: .bvh files, by which two of five people move if there are any.
    """
    rng = np.random.default_rng((20250701, seed))
    yaw = np.zeros(frames)
    side = rng.random()
    if side > 0.4:  # some way or other, the longer the clip the more
        yaw += rng.uniform(-np.pi, np.pi)
    if side > 0.8:  # turns
        yaw += rng.uniform(-np.pi, np.pi) * np.clip(
            (np.arange(frames) / frames - rng.uniform(0, 0.4)) / rng.uniform(0.2, 0.6), 0, 1
        )
    kind, bvh = rng.random(), None
    if len(mocap) and rng.random() < 0.4:
        bvh = mocap[rng.integers(len(mocap))]
    framing = str(rng.choice(["upper", "hips", "knees", "full"]))
    one = True
    if kind < 0.1:
        clip = hands_before_face(seed, frames, framing=framing)
        pictures = clip.frames
    elif kind < 0.16:
        pictures, clip, _ = two_people(seed, frames, framing=framing)
        one = False
    else:
        clip = render_clip(seed, frames, framing=framing, bvh=bvh, change=lambda v: turned(v, yaw))
        pictures = clip.frames
    points, shown = keypoints_of_bodies(clip.body, landmarks_of(load_body()))
    seen = shown > TURNED_AWAY
    torso = np.linalg.norm(points[:, [5, 6]] - points[:, [12, 11]], axis=-1).max()
    if kind > 0.96:  # nobody: what is beside the person, or noise
        one = False
        noise = rng.integers(0, 256, (frames, 8, 8, 3)).repeat(32, 1).repeat(32, 2)
        pictures = noise.astype(np.uint8) if kind > 0.98 else pictures[:, :40, :40]
    if rng.random() < 0.3:
        pictures, hidden = _covered(rng, pictures, points)
        seen &= ~hidden
    if rng.random() < 0.3:
        centre, half = rng.uniform(-0.5, 0.5, 2), rng.uniform(0.25, 0.9)
        centre = np.clip(centre, half - 1, 1 - half)
        points, torso = (points - centre) / half, torso / half
        edge = ((np.array([*(centre - half), *(centre + half)]) + 1) / 2 * 256).round().astype(int)
        if kind <= 0.96:
            pictures = pictures[:, edge[1] : edge[3], edge[0] : edge[2]]
    seen &= (np.abs(points) < 1).all(-1)
    rough = int(rng.choice([_SIZE, _SIZE, _SIZE, 96, 48]))
    quality = int(rng.choice([95, 60, 30, 12, 5]))
    pictures = np.stack([_degraded(picture, rough, quality) for picture in pictures])
    return HardClip(pictures, points, seen, float(torso), headings(clip.body), one)


def _covered(
    rng: np.random.Generator, pictures: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns pictures with a flat thing before them, and which keypoints [T, 17] it hides."""
    size, start = rng.uniform(0.2, 0.9, 2), rng.uniform(-1, 0.6, 2)
    way = rng.normal(0, 0.4, 2) * (rng.random() < 0.5)
    colour, out = rng.integers(0, 256, 3), pictures.copy()
    hidden = np.zeros(points.shape[:2], bool)
    for t, picture in enumerate(out):
        low = start + way * t / len(out)
        high = low + size
        x0, y0, x1, y1 = ((np.array([*low, *high]) + 1) / 2 * len(picture)).astype(int).clip(0)
        picture[y0:y1, x0:x1] = colour
        hidden[t] = ((points[t] > low) & (points[t] < high)).all(-1)
    return out, hidden


def _degraded(picture: np.ndarray, rough: int, quality: int) -> np.ndarray:
    """Returns a picture at 192 pixels that has been as small as `rough`, and JPEG."""
    image = Image.fromarray(picture).resize((rough, rough), Image.Resampling.BOX)
    image, file = image.resize((_SIZE, _SIZE), Image.Resampling.BICUBIC), io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))
