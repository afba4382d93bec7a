"""Wrists and fingers of a body from hand landmarks: closed form, bone after bone, within limits.

The palm, which is nearly rigid, tells how the wrist is turned: the rotation that best lays the
body's own knuckles on those that are seen (Kabsch, 1976). Then every finger is followed outwards:
its first joint bends and spreads, the others are hinges, the thumb's turn the shortest way.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from hvc_jax.body.assets import Body, load_body
from hvc_jax.body.params import JOINT_INDEX, PARENTS, POSE
from hvc_jax.pose.fit import continuous_axis_angle, smooth_over_time
from hvc_jax.pose.hand_sight import SIDES, HandSight
from hvc_jax.pose.procrustes import best_rotation

_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_LEAST_PRESENCE = 0.5
_BEND = (-0.3, 1.8)  # radians, of a finger's joint
_SPREAD = 0.4  # radians to either side, of a finger's first joint
_THUMB = 0.9  # radians, any way
_WRIST = 1.4  # radians from the forearm; palms that are turned further are not believed
_SMOOTH = 1.5  # frames
_PALM = np.array([0, 5, 9, 13, 17])  # landmarks: wrist and the first knuckles of four fingers


class Hand(NamedTuple):
    """The bones of a hand at rest, its wrist at the origin, metres."""

    wrist: int  # the joint's number
    # [5, 3] numbers of the joints, of thumb, index, middle, ring and little finger
    joints: np.ndarray
    points: np.ndarray  # [5, 4, 3] those joints and the tip
    bend: np.ndarray  # [3] the axis about which fingers close
    spread: np.ndarray  # [3] the axis about which they spread, towards the back of the hand


def hand_of(body: Body, side: str) -> Hand:
    """Returns the hand at rest of a body model; `side` "left" or "right"."""
    rest = np.asarray(body.J_template, np.float64)
    wrist = JOINT_INDEX[f"{side}_wrist"]
    joints = np.array([[JOINT_INDEX[f"{side}_{f}{k}"] for k in (1, 2, 3)] for f in _FINGERS])
    points = rest[joints] - rest[wrist]
    # Models have no joint at the tip: the last bone goes on as the one before, a little shorter.
    tip = points[:, 2] + 0.8 * (points[:, 2] - points[:, 1])
    points = np.concatenate([points, tip[:, None]], 1)
    along = _unit(points[2, 0])
    across = points[1, 0] - points[4, 0]  # from the little finger to the index
    spread = _unit(np.cross(across, along)) * (1 if side == "left" else -1)
    return Hand(wrist, joints, points, np.cross(spread, along), spread)


@functools.cache
def _open_hands() -> tuple[Hand, ...]:
    return tuple(hand_of(load_body(), side) for side in SIDES)


def palm_rotation(hand: Hand, world: np.ndarray) -> np.ndarray:
    """Returns the rotations [T, 3, 3] that lay the palm at rest on that of landmarks [T, 21, 3]."""
    rest = np.concatenate([np.zeros((1, 3)), hand.points[1:, 0]])
    seen = world[:, _PALM] - world[:, _PALM].mean(1, keepdims=True)
    return best_rotation(rest - rest.mean(0), seen)[0]


def finger_rotations(hand: Hand, world: np.ndarray, palm: np.ndarray) -> np.ndarray:
    """Rotations [T, 5, 3, 3, 3] of finger joints, relative, of landmarks [T, 21, 3], metres."""
    bones = _unit(np.diff(world[:, 1:].reshape(len(world), 5, 4, 3), axis=2))
    rest = _unit(np.diff(hand.points, axis=1))
    out = np.empty((len(world), 5, 3, 3, 3))
    for finger in range(5):
        frame = palm
        for k in range(3):
            seen = np.einsum("tcd,tc->td", frame, bones[:, finger, k])  # in the parent's axes
            if finger == 0:
                turn = _shortest(rest[0, k], seen)
            else:
                turn = _hinge(hand, rest[finger, k], seen, 0.0 if k else _SPREAD)
            out[:, finger, k] = turn
            frame = frame @ turn
    return out


def with_hands(bodies: np.ndarray, seen: HandSight) -> np.ndarray:
    """Returns body vectors [T, 188] with the wrists and fingers of hands that are seen.

    Between frames where a hand is seen it moves evenly; a hand that is never seen stays as it is.

    `bodies`: [T, 188]; `seen`: of the same frames.
    """
    out = bodies.copy()
    pose = out[:, POSE].reshape(len(out), -1, 3)
    frames = np.arange(len(out))
    for k, hand in enumerate(_open_hands()):
        world = seen.world[:, k].astype(np.float64)
        palm, forearm = palm_rotation(hand, world), _global_rotation(pose, PARENTS[hand.wrist])
        wrist = Rotation.from_matrix(np.swapaxes(forearm, 1, 2) @ palm)
        good = (seen.presence[:, k] >= _LEAST_PRESENCE) & (wrist.magnitude() <= _WRIST)
        if not good.any():
            continue
        turns = finger_rotations(hand, world, palm)[good]
        turns = np.concatenate([wrist.as_matrix()[good, None], turns.reshape(-1, 15, 3, 3)], 1)
        vectors = Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 48)
        vectors = continuous_axis_angle(vectors.reshape(-1, 16, 3)).reshape(-1, 48)
        filled = np.stack([np.interp(frames, frames[good], column) for column in vectors.T], 1)
        smooth = smooth_over_time(filled, 0.1 + 0.9 * good[:, None], _SMOOTH).reshape(-1, 16, 3)
        pose[:, [hand.wrist, *hand.joints.ravel()]] = smooth
    return out


def _global_rotation(pose: np.ndarray, joint: int) -> np.ndarray:
    """Returns how a joint is turned in space, [T, 3, 3], from axis-angles [T, 55, 3]."""
    matrix = np.broadcast_to(np.eye(3), (len(pose), 3, 3))
    while joint >= 0:
        matrix = Rotation.from_rotvec(pose[:, joint]).as_matrix() @ matrix
        joint = PARENTS[joint]
    return matrix


def _shortest(rest: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Returns the shortest rotations [T, 3, 3] from a direction to others, at most `_THUMB`."""
    axis = np.cross(rest, seen)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.minimum(np.arctan2(sine, (seen @ rest)[:, None]), _THUMB)
    return Rotation.from_rotvec(axis / np.maximum(sine, 1e-9) * angle).as_matrix()


def _hinge(hand: Hand, rest: np.ndarray, seen: np.ndarray, spread: float) -> np.ndarray:
    """Returns rotations [T, 3, 3] that spread a bone by at most `spread`, then bend it."""

    def angle(axis: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        return np.arctan2(
            np.einsum("tc,tc->t", np.cross(start, end), np.broadcast_to(axis, end.shape)),
            np.einsum("tc,tc->t", start, end) - (start @ axis) * (end @ axis),
        )

    start = np.tile(rest, (len(seen), 1))
    # How far to the side: the share of the bone along the hinge, which bending leaves as it is.
    side = np.arcsin(np.clip(rest @ hand.bend, -1, 1))
    aside = np.arcsin(np.clip(seen @ hand.bend, -1, 1)) - side
    turn = Rotation.from_rotvec(np.clip(aside, -spread, spread)[:, None] * hand.spread)
    bent = np.clip(angle(hand.bend, turn.apply(start), seen), *_BEND)
    return (Rotation.from_rotvec(bent[:, None] * hand.bend) * turn).as_matrix()


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
