"""Procedural motion of synthetic people: smooth tracks of body vectors.

A joint's angle is a rest angle plus key poses joined by smooth steps (gestures), plus slow
sinusoids (sway). Angles are Euler angles in anatomical order and become axis-angle at the end.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from hvc_jax.body.params import BETAS, BODY_VECTOR_SIZE, EXPRESSION, JOINT_INDEX, POSE

# Expression directions of the open body by what they do.
SMILE, LIPS_APART, BLINK = 0, 1, 8


class MotionStyle(NamedTuple):
    """How lively a person moves."""

    gesture: float  # Size of arm gestures, 0 to 1
    rate: float  # Key poses of an arm per second
    legs: str  # "stand", "walk", "squat" or "sit"
    turn: float  # Largest turn of the whole body, radians
    wild: float  # Share of arm key poses far from the usual talking ones, 0 to 1


def random_style(rng: np.random.Generator, legs_visible: bool) -> MotionStyle:
    """Returns the style of one clip."""
    kinds = ("stand", "walk", "squat", "sit") if legs_visible else ("stand", "sit")
    weights = (0.4, 0.3, 0.2, 0.1) if legs_visible else (0.85, 0.15)
    return MotionStyle(
        gesture=float(rng.beta(2, 1.3)),
        rate=float(rng.uniform(0.5, 1.8)),
        legs=str(rng.choice(kinds, p=weights)),
        turn=float(rng.choice([0.25, 0.6, 1.2], p=[0.6, 0.3, 0.1])),
        wild=float(rng.choice([0.05, 0.3, 0.8], p=[0.55, 0.3, 0.15])),
    )


def smooth_steps(
    rng: np.random.Generator, time: np.ndarray, rate: float, draw: np.ndarray
) -> np.ndarray:
    """Returns tracks `[T, C]` that hold a row of `draw` for a while and glide to the next.

    The glide is the minimum-jerk profile 10 s^3 - 15 s^4 + 6 s^5 (Flash and Hogan, 1985). `time`:
    `[T]` seconds; `rate`: rows a second, about; `draw`: `[K, C]` key values, used in turn; the last
    one holds.
    """
    out = np.repeat(draw[:1], len(time), axis=0)
    start = time[0] - rng.uniform(0, 1 / rate)
    for before, after in zip(draw[:-1], draw[1:], strict=True):
        length = rng.uniform(0.25, 0.8) / rate
        s = np.clip((time - start) / length, 0, 1)[:, None]
        glide = s**3 * (10 - 15 * s + 6 * s**2)
        out = out + glide * (after - before)
        start += length + rng.exponential(0.5 / rate)
    return out


def sway(rng: np.random.Generator, time: np.ndarray, size: np.ndarray | float) -> np.ndarray:
    """Returns sums of three slow sinusoids `[T, C]` with standard deviation about `size` `[C]`."""
    size = np.atleast_1d(np.asarray(size, float))
    frequency = rng.uniform(0.05, 0.6, (3, 1, len(size)))
    phase = rng.uniform(0, 2 * np.pi, (3, 1, len(size)))
    waves = np.sin(2 * np.pi * frequency * time[None, :, None] + phase).sum(0)
    return waves * size * np.sqrt(2 / 3)


def _key_count(time: np.ndarray, rate: float) -> int:
    return 3 + int((time[-1] - time[0]) * rate * 1.2)


def _arm_keys(rng: np.random.Generator, style: MotionStyle, count: int) -> np.ndarray:
    """Returns `[K, 4]` key poses of an arm: drop, forward, twist, elbow bend; radians."""
    hanging = np.array([1.25, 0.1, 0.1, 0.25])
    keys = []
    for _ in range(count):
        if rng.random() < style.wild:
            key = np.array(
                [
                    rng.uniform(-1.2, 1.3),
                    rng.uniform(-0.4, 1.3),
                    rng.uniform(-1.2, 1.0),
                    rng.uniform(0.0, 2.2),
                ]
            )
        else:
            talking = rng.normal([1.1, 0.35, 0.5, 1.5], [0.15, 0.25, 0.35, 0.45])
            key = hanging + rng.beta(1.2, 0.9) * style.gesture * (talking - hanging)
        keys.append(key)
    keys = np.array(keys) + rng.normal(0, 0.05, (count, 4))
    keys[:, 3] = np.clip(keys[:, 3], 0.05, 2.4)
    return keys


def _arms(rng: np.random.Generator, time: np.ndarray, style: MotionStyle, pose: np.ndarray) -> None:
    count = _key_count(time, style.rate)
    left = _arm_keys(rng, style, count)
    right = _arm_keys(rng, style, count)
    if rng.random() < 0.35:  # both arms together
        right = left + rng.normal(0, 0.08, left.shape)
    state = rng.bit_generator.state
    for side, keys, sign in (("left", left, 1.0), ("right", right, -1.0)):
        if rng.random() < 0.5:
            rng.bit_generator.state = state  # move at the same times as the other arm
        wobble = sway(rng, time, [0.03, 0.04, 0.04, 0.06])
        drop, forward, twist, bend = (smooth_steps(rng, time, style.rate, keys) + wobble).T
        raised = np.clip(-drop, 0, None)  # the collar lifts with a raised arm
        _set(pose, f"{side}_collar", z=sign * (0.35 * raised - 0.05), y=-sign * 0.15 * forward)
        # The arm lies along the side axis: turn about itself, swing forward, then drop.
        _set(pose, f"{side}_shoulder", z=-sign * drop, y=-sign * forward, x=-twist)
        _set(pose, f"{side}_elbow", y=-sign * bend)
        wrist = sway(rng, time, [0.2, 0.12, 0.2]) + rng.normal(0, [0.3, 0.1, 0.15])
        _set(pose, f"{side}_wrist", x=wrist[:, 0], y=wrist[:, 1], z=wrist[:, 2])
        _fingers(rng, time, style, side, sign, pose)


def _fingers(
    rng: np.random.Generator,
    time: np.ndarray,
    style: MotionStyle,
    side: str,
    sign: float,
    pose: np.ndarray,
) -> None:
    count = _key_count(time, style.rate)
    whole = rng.beta(1.2, 2.0, (count, 1)) * 1.4
    keys = np.clip(whole + rng.normal(0, 0.2, (count, 5)), 0.0, 1.5)
    curl = smooth_steps(rng, time, style.rate, keys)
    for f, finger in enumerate(("index", "middle", "pinky", "ring")):
        for k, share in ((1, 0.7), (2, 1.0), (3, 0.7)):
            _set(pose, f"{side}_{finger}{k}", z=-sign * share * curl[:, f])
    for k, share in ((1, 0.2), (2, 0.4), (3, 0.5)):
        _set(pose, f"{side}_thumb{k}", y=-sign * share * curl[:, 4])


def _trunk(
    rng: np.random.Generator, time: np.ndarray, style: MotionStyle, pose: np.ndarray
) -> None:
    count = _key_count(time, 0.6)
    facing = rng.uniform(-style.turn, style.turn) * rng.random()
    turns = facing + rng.uniform(-0.5, 0.5, (count, 1)) * style.turn
    yaw = smooth_steps(rng, time, 0.5, turns)[:, 0] + sway(rng, time, 0.03)[:, 0]
    lean = sway(rng, time, [0.03, 0.03]) + rng.normal(0, [0.04, 0.03])
    _set(pose, "pelvis", x=lean[:, 0], y=yaw, z=lean[:, 1])
    for joint in ("spine1", "spine2", "spine3"):
        bend = smooth_steps(rng, time, 0.5, rng.normal(0, [0.05, 0.07, 0.04], (count, 3)))
        bend = bend * (0.5 + style.gesture) + sway(rng, time, 0.02 * np.ones(3))
        _set(pose, joint, x=bend[:, 0] + 0.02, y=bend[:, 1], z=bend[:, 2])
    keys = rng.normal(0, [0.14, 0.3, 0.09], (_key_count(time, style.rate), 3))
    look = smooth_steps(rng, time, style.rate, keys) + sway(rng, time, [0.03, 0.05, 0.025])
    for joint, share in (("neck", 0.45), ("head", 0.55)):
        _set(pose, joint, x=share * look[:, 0], y=share * look[:, 1], z=share * look[:, 2])


def _legs(rng: np.random.Generator, time: np.ndarray, style: MotionStyle, pose: np.ndarray) -> None:
    if style.legs == "walk":
        pace, swing = rng.uniform(0.6, 1.1), rng.uniform(0.25, 0.55)
        start = rng.uniform(0, 2 * np.pi)
        for side, shift in (("left", 0.0), ("right", np.pi)):
            phase = 2 * np.pi * pace * time + start + shift
            knee = 0.12 + 0.9 * swing * (1 + np.cos(phase + 0.9)) * 0.9
            _set(pose, f"{side}_hip", x=-swing * np.sin(phase) - 0.1)
            _set(pose, f"{side}_knee", x=knee)
            _set(pose, f"{side}_ankle", x=0.2 * np.sin(phase))
        return
    if style.legs == "sit":
        depth = np.full(len(time), rng.uniform(1.2, 1.55))
    elif style.legs == "squat":
        keys = rng.beta(0.6, 0.6, (_key_count(time, 0.8), 1)) * rng.uniform(0.5, 1.4)
        depth = smooth_steps(rng, time, 0.8, keys)[:, 0]
    else:
        depth = 0.05 + np.abs(sway(rng, time, 0.04)[:, 0])
    spread = rng.uniform(-0.02, 0.12 if style.legs == "stand" else 0.3)
    shift = sway(rng, time, 0.04)[:, 0]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        bend = depth * rng.uniform(0.93, 1.07)
        _set(pose, f"{side}_hip", x=-bend, y=sign * 0.5 * spread, z=sign * spread + shift)
        _set(pose, f"{side}_knee", x=bend * (1.9 if style.legs == "squat" else 1.05))
        _set(pose, f"{side}_ankle", x=-bend * (0.75 if style.legs == "squat" else 0.05))


def _face(
    rng: np.random.Generator, time: np.ndarray, pose: np.ndarray, vectors: np.ndarray
) -> None:
    expression = np.zeros((len(time), 10))
    talks = rng.random() < 0.65
    opening = np.zeros(len(time))
    if talks:
        syllables = smooth_steps(rng, time, 5.0, rng.beta(1, 1.6, (_key_count(time, 5.0), 1)))
        phrases = smooth_steps(rng, time, 0.7, rng.integers(0, 2, (_key_count(time, 0.7), 1)) * 1.0)
        opening = (syllables * phrases)[:, 0]
    shapes = rng.normal(0, 0.35, (_key_count(time, 0.8), 10))
    expression += smooth_steps(rng, time, 0.8, shapes)
    moods = np.clip(rng.normal(0.2, 0.5, (_key_count(time, 0.4), 1)), 0, 1.3)
    expression[:, SMILE] += smooth_steps(rng, time, 0.4, moods)[:, 0]
    expression[:, LIPS_APART] += opening * rng.uniform(0.3, 1.2)
    expression[:, BLINK] = np.clip(0.3 * expression[:, BLINK], 0, 0.3)
    moment = rng.exponential(2.5)
    while moment < time[-1]:
        expression[:, BLINK] = np.maximum(
            expression[:, BLINK], np.exp(-(((time - moment) / 0.07) ** 2))
        )
        moment += 0.5 + rng.exponential(2.8)
    vectors[:, EXPRESSION] = expression
    _set(pose, "jaw", x=0.02 + opening * rng.uniform(0.1, 0.28))
    gaze = smooth_steps(rng, time, 1.2, rng.normal(0, [0.1, 0.18], (_key_count(time, 1.2), 2)))
    for side in ("left", "right"):
        _set(pose, f"{side}_eye_smplhf", x=gaze[:, 0], y=gaze[:, 1])


def _set(
    pose: np.ndarray,
    joint: str,
    x: np.ndarray | float = 0.0,
    y: np.ndarray | float = 0.0,
    z: np.ndarray | float = 0.0,
) -> None:
    """Writes Euler angles (x first, then y, then z, about fixed axes) of one joint."""
    for axis, value in enumerate((x, y, z)):
        pose[:, JOINT_INDEX[joint], axis] = value


def random_motion(
    rng: np.random.Generator, frames: int, fps: float, style: MotionStyle
) -> np.ndarray:
    """Returns body vectors `[T, 188]` of `frames` >= 1 frames; the camera entries stay 0."""
    time = rng.uniform(0, 100) + np.arange(frames) / fps
    time = time - time[0]
    vectors = np.zeros((frames, BODY_VECTOR_SIZE))
    vectors[:, BETAS] = np.clip(rng.normal(0, 1, 10), -2.2, 2.2)
    pose = np.zeros((frames, 55, 3))
    _trunk(rng, time, style, pose)
    _arms(rng, time, style, pose)
    _legs(rng, time, style, pose)
    _face(rng, time, pose, vectors)
    rotations = Rotation.from_euler("xyz", pose.reshape(-1, 3)).as_rotvec()
    vectors[:, POSE] = rotations.reshape(frames, -1)
    return vectors.astype(np.float32)


def turned(vectors: np.ndarray, yaw: np.ndarray | float) -> np.ndarray:
    """Returns body vectors `[T, 188]` turned about the vertical by `yaw` (`[T]`), radians."""
    out = vectors.copy()
    pelvis = slice(POSE.start, POSE.start + 3)
    about = Rotation.from_rotvec(np.broadcast_to(yaw, len(vectors))[:, None] * [0.0, 1.0, 0.0])
    out[:, pelvis] = (about * Rotation.from_rotvec(vectors[:, pelvis])).as_rotvec()
    return out
