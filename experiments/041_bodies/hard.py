"""Rendered clips that bodies are easily got wrong in, with exact keypoints.

People from all sides, some of whom turn, some with the hands before the face; things before the
camera, windows cut out of the picture, blur and JPEG, two people, nobody.
"""

import io
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation
from trouble import hands_before_face, two_people

from hvc_jax.body.assets import load_body
from hvc_jax.body.landmarks import COCO_JOINTS, landmarks_of, pose_points
from hvc_jax.body.params import NUM_BODY_JOINTS, POSE, unpack
from hvc_jax.ops import rotation
from hvc_jax.synth.motion import turned
from hvc_jax.synth.people import render_clip

WRONG = 0.3
"""Torsos by which the keypoints of a wrong body err, on average."""
_SIZE = 192
_HARDLY = 4  # keypoints seen, below which nobody can be followed


class HardClip(NamedTuple):
    """A rendered clip of T frames.

    Attributes:
      frames: [T, 192, 192, 3] uint8.
      points: [T, 17, 2] true keypoints in [-1, 1] of the picture.
      seen: [T, 17] bool: in the picture, and nothing before the person hides it.
      torso: shoulder to the hip across, in the units of the points.
      heading: [T, 3] unit vectors, where the pelvis faces.
      anybody: whether there is somebody.
    """

    frames: np.ndarray
    points: np.ndarray
    seen: np.ndarray
    torso: float
    heading: np.ndarray
    anybody: bool


def headings(bodies: np.ndarray) -> np.ndarray:
    """Returns unit vectors [T, 3] where the pelvis of bodies [T, 188] faces, +z to the camera."""
    return Rotation.from_rotvec(bodies[:, POSE.start : POSE.start + 3]).apply([0, 0, 1])


def keypoints(bodies: np.ndarray) -> np.ndarray:
    """Returns COCO keypoints [T, 17, 2] in [-1, 1] of bodies [T, 188]."""
    params = unpack(bodies)
    pose = np.concatenate([params.global_orient[:, None], params.body_pose], 1)
    turns = rotation.axis_angle_to_matrix(jnp.asarray(pose[:, :NUM_BODY_JOINTS]))
    landmarks = landmarks_of(load_body())
    points, _ = pose_points(landmarks, COCO_JOINTS, jnp.asarray(params.betas), turns)
    scale, x, y = (params.camera[:, k : k + 1] for k in range(3))
    return np.stack([scale * (points[..., 0] + x), -scale * (points[..., 1] + y)], -1)


def wrong(clip: HardClip, bodies: np.ndarray) -> np.ndarray:
    """Returns [T] bool: the body [T, 188] is off, faces the wrong way, or nobody is there."""
    apart = np.linalg.norm(keypoints(bodies) - clip.points, axis=-1) / clip.torso
    count = clip.seen.sum(1)
    error = (apart * clip.seen).sum(1) / np.maximum(count, 1)
    away = (headings(bodies)[:, [0, 2]] * clip.heading[:, [0, 2]]).sum(1) < 0
    followed = (count >= _HARDLY) & clip.seen[:, 5:7].any(1) & clip.anybody
    return (error > WRONG) | away | ~followed


def hard_clip(seed: int, frames: int = 8) -> HardClip:
    """Returns a clip; the same seed gives the same clip.

    Args:
      seed: of everything.
      frames: T.
    """
    rng = np.random.default_rng((20250701, seed))
    yaw = np.zeros(frames)
    side = rng.random()
    if side > 0.4:  # some way or other, the longer the clip the more
        yaw += rng.uniform(-np.pi, np.pi)
    if side > 0.8:  # turns
        yaw += rng.uniform(-np.pi, np.pi) * np.linspace(0, 1, frames)
    kind, anybody = rng.random(), True
    framing = str(rng.choice(["upper", "hips", "knees", "full"]))
    if kind < 0.1:
        clip = hands_before_face(seed, frames, framing=framing)
        pictures = clip.frames
    elif kind < 0.16:  # the second, before the first, is larger to the eye
        pictures, _, clip = two_people(seed, frames, framing=framing)
        pictures = np.roll(pictures, -pictures.shape[2] // 4, 2)
    else:
        clip = render_clip(seed, frames, framing=framing, change=lambda v: turned(v, yaw))
        pictures = clip.frames
    points = keypoints(clip.body)
    torso = np.linalg.norm(points[:, [5, 6]] - points[:, [12, 11]], axis=-1).max()
    seen = np.ones(points.shape[:2], bool)
    if kind > 0.92:  # nobody: what is beside the person, or noise
        anybody = False
        noise = rng.integers(0, 256, (frames, 8, 8, 3)).repeat(32, 1).repeat(32, 2)
        pictures = noise.astype(np.uint8) if kind > 0.96 else pictures[:, :40, :40]
    if rng.random() < 0.3:
        pictures, hidden = _covered(rng, pictures, points)
        seen &= ~hidden
    if rng.random() < 0.3 and anybody:
        half = rng.uniform(0.25, 0.9)
        centre = np.clip(rng.uniform(-0.5, 0.5, 2), half - 1, 1 - half)
        points, torso = (points - centre) / half, torso / half
        edge = ((np.array([*(centre - half), *(centre + half)]) + 1) / 2 * 256).round().astype(int)
        pictures = pictures[:, edge[1] : edge[3], edge[0] : edge[2]]
    seen &= (np.abs(points) < 1).all(-1)
    rough = int(rng.choice([_SIZE, _SIZE, _SIZE, 96, 48]))
    quality = int(rng.choice([95, 60, 30, 12, 5]))
    pictures = np.stack([_degraded(picture, rough, quality) for picture in pictures])
    return HardClip(pictures, points, seen, float(torso), headings(clip.body), anybody)


def _covered(
    rng: np.random.Generator, pictures: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns pictures with a flat thing before them, and which keypoints [T, 17] it hides."""
    size, low = rng.uniform(0.2, 0.9, 2), rng.uniform(-1, 0.6, 2)
    out = pictures.copy()
    x0, y0, x1, y1 = ((np.array([*low, *(low + size)]) + 1) / 2 * pictures.shape[1]).astype(int)
    out[:, max(y0, 0) : y1, max(x0, 0) : x1] = rng.integers(0, 256, 3)
    return out, ((points > low) & (points < low + size)).all(-1)


def _degraded(picture: np.ndarray, rough: int, quality: int) -> np.ndarray:
    """Returns a picture at 192 pixels that has been as small as `rough`, and JPEG."""
    image = Image.fromarray(picture).resize((rough, rough), Image.Resampling.BOX)
    image, file = image.resize((_SIZE, _SIZE), Image.Resampling.BICUBIC), io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))
