"""Bodies written as BVH motion, with the bone names that animation programs know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from hvc_jax.body.params import CAMERA, JOINT_NAMES, NUM_JOINTS, PARENTS, POSE
from hvc_jax.ops.files import write_text

_BONES = {
    "pelvis": "Hips", "spine1": "LowerBack", "spine2": "Spine", "spine3": "Spine1",
    "neck": "Neck", "head": "Head", "jaw": "Jaw", "left_eye_smplhf": "LeftEye",
    "right_eye_smplhf": "RightEye",
}  # fmt: skip
_LIMBS = {
    "hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase", "collar": "Shoulder",
    "shoulder": "Arm", "elbow": "ForeArm", "wrist": "Hand",
}  # fmt: skip
_CENTIMETRES = 100.0
_TIP = 2.0  # centimetres that a bone without a child is long


def bone_name(joint: str) -> str:
    """Returns the name of a joint of `JOINT_NAMES` in motion files."""
    if joint in _BONES:
        return _BONES[joint]
    side, _, part = joint.partition("_")
    return side.title() + _LIMBS.get(part, f"Hand{part.title()}")


def write_bvh(path: str | Path, bodies: np.ndarray, rest_joints: np.ndarray, fps: float) -> None:
    """Writes body vectors [T, 188] as BVH: 55 joints, centimetres, Y up, facing +Z at rest.

    The root moves as in the picture, sideways and up; one view does not tell its distance.
    `rest_joints` [55, 3] are those of the body in T-pose, metres.
    """
    pose = np.asarray(bodies, np.float64)[:, POSE].reshape(-1, 3)
    order = [joint for joint, _ in _walk(0, 0)]
    # Intrinsic turns about Z, X and Y, as most programs write them.
    angles = Rotation.from_rotvec(pose).as_euler("ZXY", degrees=True)
    angles = angles.reshape(len(bodies), NUM_JOINTS, 3)[:, order].reshape(len(bodies), -1)
    camera = np.asarray(bodies, np.float64)[:, CAMERA]
    place = np.stack([camera[:, 1], camera[:, 2], np.zeros(len(bodies))], 1) * _CENTIMETRES
    rows = np.concatenate([place, angles], 1)
    lines = ["HIERARCHY", *_hierarchy(np.asarray(rest_joints, np.float64) * _CENTIMETRES)]
    lines += ["MOTION", f"Frames: {len(bodies)}", f"Frame Time: {1 / fps:.8f}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in rows]
    write_text(path, "\n".join(lines) + "\n")


def _walk(joint: int, depth: int) -> list[tuple[int, int]]:
    """Returns (joint, depth) of a joint and all below it, in the order of the file."""
    below = (child for child in range(NUM_JOINTS) if PARENTS[child] == joint)
    return [(joint, depth), *(pair for child in below for pair in _walk(child, depth + 1))]


def _hierarchy(rest: np.ndarray) -> list[str]:
    lines: list[str] = []
    open_joints = 0
    for joint, depth in _walk(0, 0):
        while open_joints > depth:
            open_joints -= 1
            lines.append("  " * open_joints + "}")
        indent, parent = "  " * depth, PARENTS[joint]
        offset = np.zeros(3) if parent < 0 else rest[joint] - rest[parent]
        places = "6 Xposition Yposition Zposition" if parent < 0 else "3"
        kind = "ROOT" if parent < 0 else "JOINT"
        lines += [
            f"{indent}{kind} {bone_name(JOINT_NAMES[joint])}",
            indent + "{",
            f"{indent}  OFFSET " + " ".join(f"{value:.6f}" for value in offset),
            f"{indent}  CHANNELS {places} Zrotation Xrotation Yrotation",
        ]
        if joint not in PARENTS:
            tip = offset / max(float(np.linalg.norm(offset)), 1e-9) * _TIP
            end = "  OFFSET " + " ".join(f"{value:.6f}" for value in tip)
            lines += [f"{indent}  End Site", indent + "  {", indent + "  " + end, indent + "  }"]
        open_joints = depth + 1
    return lines + ["  " * depth + "}" for depth in range(open_joints - 1, -1, -1)]
