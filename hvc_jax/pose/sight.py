"""What the landmark networks see of one person in a clip: pose, mask, face and hands.

    every fifth frame: detection -> window -> landmarks -> window of the landmarks
    every frame:       window (interpolated) -> landmarks -> window of face, of hands -> theirs

The published pipeline goes frame by frame, each window from the landmarks of the frame before. Here
the whole clip is at hand, so windows come from both sides in time and frames run in batches; where
the landmarks then ask for another window, a frame is looked at again.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.ops.warp import average_pool
from hvc_jax.pose.crops import spread_over_time, to_picture, uncrop, upright
from hvc_jax.pose.detect import detect, followed
from hvc_jax.pose.networks import Network, load_network, look_through
from hvc_jax.pose.skeleton import COCO, open_skeleton
from hvc_jax.pose.windows import LEAST_PRESENCE, leap, pose_windows, settled, steadied

NUM_LANDMARKS = 33
MASK_SIZE = 64
EVERY = 5
"""Of how many frames one is searched for people."""

_REACH = 3  # cells about a landmark whose heat refines it
_LEAST_HEAT = 0.5
_LOOK_AGAIN = 0.25  # by how much landmarks ask for another window, as of `leap`
_TORSO = 0.5  # metres from the hips to the shoulders
_SEEN, _ENOUGH = 0.1, 4  # least confidence, and how many such keypoints make a person
_OTHER = 0.5  # torsos by which given keypoints lie off landmarks of somebody else


class Sight(NamedTuple):
    """One person in T frames; pictures are [-1, 1] to the right and down."""

    points: np.ndarray  # [T, 33, 2] landmarks in the picture
    # [T, 33, 3] landmarks in metres, the middle of the hips at the origin, y up, z to the viewer
    world: np.ndarray
    visibility: np.ndarray  # [T, 33] in [0, 1], of landmarks in the picture and not hidden
    presence: np.ndarray  # [T] in [0, 1]: is there a person in the window?
    mask: np.ndarray  # [T, 64, 64] in [0, 1], where the person is
    # [T] how many were found in the nearest frame that was searched; 1 where a window was given
    people: np.ndarray
    # [T, 4] through which a frame that follows would be looked at; None where landmarks were given
    windows: np.ndarray | None = None


def refined(points: jax.Array, heat: jax.Array) -> jax.Array:
    """Returns landmarks [B, K, 2] in [0, 1] moved to the centre of the heat about them.

    Where no cell within reach is as sure as one half, they stay.

    `points`: [B, K, 2] in [0, 1] of the window; `heat`: [B, S, S, K] logits.
    """
    size = heat.shape[1]
    cells = jnp.arange(size)
    centre = jnp.floor(points * size).astype(jnp.int32)
    near = jnp.abs(cells - centre[..., None]) <= _REACH  # [B, K, 2, S]
    weight = jax.nn.sigmoid(jnp.moveaxis(heat, -1, 1))
    weight = weight * near[:, :, 1, :, None] * near[:, :, 0, None, :]
    total = weight.sum((2, 3))
    x = (weight.sum(2) * cells).sum(-1)
    y = (weight.sum(3) * cells).sum(-1)
    moved = jnp.stack([x, y], -1) / jnp.maximum(total, 1e-6)[..., None] / size
    sure = weight.max((2, 3)) >= _LEAST_HEAT
    inside = ((centre >= 0) & (centre < size)).all(-1)
    return jnp.where((sure & inside)[..., None], moved, points)


def _pose(found: dict, windows: jax.Array, size: int) -> tuple[jax.Array, ...]:
    rows = found["landmarks"].reshape(-1, 39, 5)
    points = refined(rows[..., :2] / size, found["heat"]) * 2 - 1
    # Apart: fused with the mean, the sigmoid takes ten times as long.
    sure = jax.lax.optimization_barrier(jax.nn.sigmoid(found["mask"]))
    return (
        to_picture(points, windows),
        upright(found["world"].reshape(-1, 39, 3)[:, :NUM_LANDMARKS], windows),
        jax.nn.sigmoid(rows[:, :NUM_LANDMARKS, 3]),
        found["presence"][:, 0],
        uncrop(average_pool(sure, 4)[..., 0], windows, MASK_SIZE),
    )


def look_at_pose(
    pictures: np.ndarray, windows: np.ndarray, network: Network
) -> tuple[np.ndarray, ...]:
    """Returns points [T, 39, 2], world [T, 33, 3], visibility [T, 33], presence [T], mask.

    The last six points are made up for the next window; see `Sight` for the rest.

    Args:
      pictures: [T, H, H, 3] uint8.
      windows: [T, 4].
      network: pose_landmark.
    """
    return tuple(look_through(pictures, windows, network, _pose))


def see(
    pictures: np.ndarray,  # [T, H, H, 3] uint8, one scene
    person: int = 1,  # 1 for the largest, 2 for the next,
    folder: str | None = None,  # of the networks; None for those that come with the package
    # [4] where the person was, of `Sight.windows` of the picture before, for T = 1: nobody is
    # searched for unless the person has left it, which takes a third of the time
    window: np.ndarray | None = None,
) -> Sight | None:
    """Returns what is seen of one person in a clip, or None where nobody is."""
    count = len(pictures)
    if window is not None and count == 1:
        seen = look_at_pose(pictures, window[None], load_network("pose_landmark", folder))
        if seen[3][0] >= LEAST_PRESENCE:
            return _sight(seen, np.ones(1, np.int64))
    searched = np.unique(np.append(np.arange(0, count, EVERY), count - 1))
    detector, network = (
        load_network("pose_detection", folder),
        load_network("pose_landmark", folder),
    )
    people = detect(pictures[searched], detector)
    windows, found_at = followed(people, person)
    if not len(windows):
        return None
    at = searched[found_at]
    wanted = settled(
        windows, lambda which, through: look_at_pose(pictures[at[which]], through, network)[:4:3]
    )
    windows = spread_over_time(steadied(wanted), at, count)
    seen = look_at_pose(pictures, windows, network)
    wanted = pose_windows(seen[0])
    again = np.flatnonzero((leap(wanted, windows) > _LOOK_AGAIN) & (seen[3] >= LEAST_PRESENCE))
    if len(again):
        second = look_at_pose(pictures[again], wanted[again], network)
        better = second[3] >= seen[3][again] - 0.05
        for old, new in zip(seen, second, strict=True):
            old[again[better]] = new[better]
    nearest = np.abs(np.arange(count)[:, None] - searched).argmin(1)
    numbers = np.array([len(found) for found in people])[nearest]
    return _sight(seen, numbers)


def _sight(seen: tuple[np.ndarray, ...], people: np.ndarray) -> Sight:
    return Sight(seen[0][:, :NUM_LANDMARKS], *seen[1:], people, pose_windows(seen[0]))


def with_keypoints(sight: Sight | None, points: np.ndarray, confidence: np.ndarray) -> Sight:
    """Returns a sight whose landmarks in the picture are given keypoints.

    Where the landmarks in space are of somebody else, or of nobody, keypoints are laid out flat.

    Args:
      sight: what the networks see; None where nobody is seen.
      points: [T, 17, 2] COCO keypoints in picture units.
      confidence: [T, 17] in [0, 1].
    """
    count = len(points)
    placed = np.tile(points.mean(1, keepdims=True), (1, NUM_LANDMARKS, 1))
    visibility = np.zeros((count, NUM_LANDMARKS))
    placed[:, COCO], visibility[:, COCO] = points, confidence
    torso = np.linalg.norm(points[:, [5, 6]].mean(1) - points[:, [11, 12]].mean(1), axis=-1)
    torso = max(float(np.median(torso)), 1e-3)
    world = np.tile(np.asarray(open_skeleton().points), (count, 1, 1))
    flat = (points - points[:, 11:13].mean(1, keepdims=True)) / torso * _TORSO
    world[:, COCO, :2] = flat * np.array([1.0, -1.0])
    if sight is not None:
        off = np.linalg.norm(sight.points[:, COCO] - points, axis=-1)
        if (off * confidence).sum() < _OTHER * torso * confidence.sum():
            world = sight.world
    presence = np.clip((confidence > _SEEN).sum(1) / _ENOUGH, 0, 1)
    arrays = (placed, world, visibility, presence, np.ones((count, 1, 1)))
    return Sight(*(a.astype(np.float32) for a in arrays), np.ones(count, np.int64))
