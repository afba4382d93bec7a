"""Motion capture: BVH files read, and their rotations carried over to the 55-joint body.

Retargeting copies every bone's *world* rotation since the file's rest pose, with one fixed turn per
bone that aligns the two rest poses (our bone's direction at rest onto the file's). World rotations
do not depend on how a skeleton splits its spine or names its twist bones, so one table of names
serves all conventions. Angles in the file are degrees, Euler, intrinsic in channel order.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from hvc_jax.body.params import JOINT_NAMES, PARENTS

# For each of our joints: the names that files give to the bone, first found wins.
BONE_NAMES: dict[str, tuple[str, ...]] = {
    "pelvis": ("CC_Base_Pelvis", "hip", "Hips"),
    "left_hip": ("CC_Base_L_Thigh", "lThigh", "LeftUpLeg"),
    "right_hip": ("CC_Base_R_Thigh", "rThigh", "RightUpLeg"),
    "left_knee": ("CC_Base_L_Calf", "lShin", "LeftLeg"),
    "right_knee": ("CC_Base_R_Calf", "rShin", "RightLeg"),
    "left_ankle": ("CC_Base_L_Foot", "lFoot", "LeftFoot"),
    "right_ankle": ("CC_Base_R_Foot", "rFoot", "RightFoot"),
    "spine1": ("CC_Base_Waist", "abdomen", "LowerBack", "Spine"),
    "spine2": ("CC_Base_Spine01", "abdomen", "Spine", "Spine1"),
    "spine3": ("CC_Base_Spine02", "chest", "Spine3", "Spine1"),
    "neck": ("CC_Base_NeckTwist01", "neck", "Neck1", "Neck"),
    "head": ("CC_Base_Head", "head", "Head"),
    "left_collar": ("CC_Base_L_Clavicle", "lCollar", "LeftShoulder"),
    "right_collar": ("CC_Base_R_Clavicle", "rCollar", "RightShoulder"),
    "left_shoulder": ("CC_Base_L_Upperarm", "lShldr", "LeftArm"),
    "right_shoulder": ("CC_Base_R_Upperarm", "rShldr", "RightArm"),
    "left_elbow": ("CC_Base_L_Forearm", "lForeArm", "LeftForeArm"),
    "right_elbow": ("CC_Base_R_Forearm", "rForeArm", "RightForeArm"),
    "left_wrist": ("CC_Base_L_Hand", "lHand", "LeftHand"),
    "right_wrist": ("CC_Base_R_Hand", "rHand", "RightHand"),
}
# Where each of our bones points: its child joint. Others keep the file's rotation as it is.
_POINTS_AT = {
    "left_hip": "left_knee",
    "right_hip": "right_knee",
    "left_knee": "left_ankle",
    "right_knee": "right_ankle",
    "left_shoulder": "left_elbow",
    "right_shoulder": "right_elbow",
    "left_elbow": "left_wrist",
    "right_elbow": "right_wrist",
}
# Character Creator skeletons give every bone its own axes: the world rotation of a bone in T-pose.
_DOWN = ((-1, 0, 0), (0, -1, 0), (0, 0, 1))
_LEFT = ((0, 1, 0), (-1, 0, 0), (0, 0, 1))
_RIGHT = ((0, -1, 0), (1, 0, 0), (0, 0, 1))
_FOOT = ((-1, 0, 0), (0, 0, 1), (0, 1, 0))
_BONE_AXES: dict[str, tuple[tuple[int, ...], ...]] = {
    **{f"CC_Base_{side}_{bone}": _DOWN for side in "LR" for bone in ("Thigh", "Calf")},
    **{f"CC_Base_{side}_Foot": _FOOT for side in "LR"},
    **{f"CC_Base_L_{bone}": _LEFT for bone in ("Clavicle", "Upperarm", "Forearm", "Hand")},
    **{f"CC_Base_R_{bone}": _RIGHT for bone in ("Clavicle", "Upperarm", "Forearm", "Hand")},
}


class Motion(NamedTuple):
    """A BVH file.

    Attributes:
      names: J joint names, parents before children.
      parents: [J] int, -1 = root.
      offsets: [J, 3] rest offset from the parent, in the file's unit.
      rotations: [T, J, 3, 3] local rotation matrices.
      translation: [T, 3] root position, in the file's unit.
      fps: frames per second.
    """

    names: tuple[str, ...]
    parents: np.ndarray
    offsets: np.ndarray
    rotations: np.ndarray
    translation: np.ndarray
    fps: float


def _axis_rotation(axis: str, degrees: np.ndarray) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    one, zero = np.ones_like(c), np.zeros_like(c)
    rows = {
        "X": (one, zero, zero, zero, c, -s, zero, s, c),
        "Y": (c, zero, s, zero, one, zero, -s, zero, c),
        "Z": (c, -s, zero, s, c, zero, zero, zero, one),
    }[axis]
    return np.stack(rows, -1).reshape(*np.shape(degrees), 3, 3)


def read_bvh(path: str | Path) -> Motion:
    """Reads a BVH file; raises ValueError with the file's name where it is not one."""
    tokens = Path(path).read_text(errors="replace").split()
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[list[str]] = []
    stack: list[int] = []
    try:
        position = 0
        while tokens[position] != "MOTION":
            token = tokens[position]
            if token in ("ROOT", "JOINT"):
                names.append(tokens[position + 1])
                parents.append(stack[-1] if stack else -1)
                offsets.append([0.0, 0.0, 0.0])
                channels.append([])
                position += 2
            elif token == "End":  # an end site: remember that its OFFSET is not a joint's
                stack.append(-2)
                position += 3
            elif token == "{":
                stack.append(len(names) - 1)
                position += 1
            elif token == "}":
                stack.pop()
                position += 1
            elif token == "OFFSET":
                if stack[-1] != -2:
                    offsets[stack[-1]] = [float(x) for x in tokens[position + 1 : position + 4]]
                position += 4
            elif token == "CHANNELS":
                count = int(tokens[position + 1])
                channels[stack[-1]] = tokens[position + 2 : position + 2 + count]
                position += 2 + count
            else:
                position += 1
        frames = int(tokens[tokens.index("Frames:", position) + 1])
        time_at = tokens.index("Time:", position) + 1
        seconds = float(tokens[time_at])
        width = sum(len(c) for c in channels)
        values = np.array(tokens[time_at + 1 : time_at + 1 + frames * width], np.float64)
        values = values.reshape(frames, width)
    except (IndexError, ValueError) as error:
        raise ValueError(f"{path} is not a complete BVH motion file; export it again") from error

    rotations = np.tile(np.eye(3), (frames, len(names), 1, 1))
    translation = np.zeros((frames, 3))
    column = 0
    for joint, joint_channels in enumerate(channels):
        for channel in joint_channels:
            if channel.endswith("rotation"):
                turn = _axis_rotation(channel[0], values[:, column])
                rotations[:, joint] = rotations[:, joint] @ turn
            elif joint == 0:
                translation[:, "XYZ".index(channel[0])] = values[:, column]
            column += 1
    return Motion(
        tuple(names), np.array(parents), np.array(offsets), rotations, translation, 1 / seconds
    )


def world_rotations(motion: Motion) -> np.ndarray:
    """Returns [T, J, 3, 3], every joint's rotation in the world."""
    world = motion.rotations.copy()
    for joint, parent in enumerate(motion.parents):
        if parent >= 0:
            world[:, joint] = world[:, parent] @ motion.rotations[:, joint]
    return world


def _rotation_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Returns the smallest rotation [3, 3] that turns direction `start` into `end`."""
    a = start / np.linalg.norm(start)
    b = end / np.linalg.norm(end)
    v, c = np.cross(a, b), float(a @ b)
    if c < -0.999999:
        raise ValueError("opposite rest directions: the two skeletons do not share a rest pose")
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + k + k @ k / (1 + c)


def matrix_to_axis_angle(matrix: np.ndarray) -> np.ndarray:
    """Returns axis-angle vectors [*, 3] in radians of rotation matrices [*, 3, 3]; numpy only."""
    # By way of the quaternion's largest component, which is safe at 0 and at pi.
    m = matrix
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    squares = np.stack(
        [1 + trace] + [1 - trace + 2 * m[..., i, i] for i in range(3)], -1
    )  # 4 w^2, 4 x^2, 4 y^2, 4 z^2
    w_row = [m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]]
    xy, xz, yz = (
        m[..., 0, 1] + m[..., 1, 0],
        m[..., 0, 2] + m[..., 2, 0],
        m[..., 1, 2] + m[..., 2, 1],
    )
    rows = np.stack(
        [
            np.stack([squares[..., 0], *w_row], -1),
            np.stack([w_row[0], squares[..., 1], xy, xz], -1),
            np.stack([w_row[1], xy, squares[..., 2], yz], -1),
            np.stack([w_row[2], xz, yz, squares[..., 3]], -1),
        ],
        -2,
    )
    best = np.argmax(squares, -1)
    q = np.take_along_axis(rows, best[..., None, None], -2)[..., 0, :]
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    q = np.where(q[..., :1] < 0, -q, q)
    sine = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, q[..., :1])
    return q[..., 1:] * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-12), 2.0)


def retarget(motion: Motion, rest_joints: np.ndarray) -> np.ndarray:
    """Returns the motion as axis-angle rotations [T, 55, 3] (radians) of our joints.

    Args:
      motion: a file whose rest is a T-pose, y up, facing +z.
      rest_joints: [55, 3], our body's joints at rest.

    Raises:
      ValueError: bones are missing, or the rest pose is another.
    """
    lookup = {name: index for index, name in enumerate(motion.names)}
    world = world_rotations(motion)
    axes = np.tile(np.eye(3), (len(motion.names), 1, 1))
    rest = np.zeros((len(motion.names), 3))
    for joint, parent in enumerate(motion.parents):
        name = motion.names[joint]
        axes[joint] = _BONE_AXES.get(name, axes[parent] if parent >= 0 else np.eye(3))
        if parent >= 0:
            rest[joint] = rest[parent] + axes[parent] @ motion.offsets[joint]
    world = world @ np.swapaxes(axes, -1, -2)

    source: dict[str, int] = {}
    for ours, candidates in BONE_NAMES.items():
        found = [lookup[name] for name in candidates if name in lookup]
        if found:
            source[ours] = found[0]
    missing = [name for name in ("pelvis", *_POINTS_AT) if name not in source]
    if missing:
        raise ValueError(f"the motion file has no bone for {', '.join(missing)}")
    for ours, expected in (("left_hip", (0, -1, 0)), ("left_shoulder", (1, 0, 0))):
        bone = rest[source[_POINTS_AT[ours]]] - rest[source[ours]]
        if bone @ np.array(expected) < 0.5 * np.linalg.norm(bone):
            raise ValueError(
                "the motion file's rest pose is no T-pose with y up and the left arm along +x; "
                "export it with that rest pose"
            )

    ours_world = np.tile(np.eye(3), (len(world), len(JOINT_NAMES), 1, 1))
    local = np.tile(np.eye(3), (len(world), len(JOINT_NAMES), 1, 1))
    for joint, name in enumerate(JOINT_NAMES):
        parent = PARENTS[joint]
        if name not in source:
            ours_world[:, joint] = ours_world[:, parent]
            continue
        turn = world[:, source[name]]
        child = _POINTS_AT.get(name)
        if child in source:
            theirs = rest[source[child]] - rest[source[name]]
            ours = rest_joints[JOINT_NAMES.index(child)] - rest_joints[joint]
            turn = turn @ _rotation_between(ours, theirs)
        elif name.endswith("_wrist"):
            elbow = name.replace("wrist", "elbow")
            theirs = rest[source[name]] - rest[source[elbow]]
            ours = rest_joints[joint] - rest_joints[JOINT_NAMES.index(elbow)]
            turn = turn @ _rotation_between(ours, theirs)
        ours_world[:, joint] = turn
        if parent < 0:
            local[:, joint] = turn
        else:
            local[:, joint] = np.swapaxes(ours_world[:, parent], -1, -2) @ turn
    return matrix_to_axis_angle(local).astype(np.float32)
