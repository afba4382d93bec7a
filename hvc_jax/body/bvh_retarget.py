"""Motion capture carried over to the 55-joint body.

Retargeting copies every bone's *world* rotation since the file's rest pose, with one fixed turn per
bone that aligns the two rest poses (our bone's direction at rest onto the file's). World rotations
do not depend on how a skeleton splits its spine or names its twist bones, so one table of names
serves all conventions.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from hvc_jax.body.bvh import Motion, read_bvh
from hvc_jax.body.params import JOINT_NAMES, PARENTS


def _both(ours: str, *theirs: str) -> dict[str, tuple[str, ...]]:
    """Names of a bone of both sides: {side} is Left, {s} l, {S} L."""
    return {
        f"{side}_{ours}": tuple(
            name.format(side=side.title(), s=side[0], S=side[0].upper())
            for name in (*theirs[:-1], f"{side}_{ours}", f"{{S}}_{ours}", theirs[-1])
        )
        for side in ("left", "right")
    }


# For each of our joints: the names that files give to the bone, first found wins. Those of
# Character Creator, DAZ, Unreal, Biped, Rokoko, Xsens, SMPL, and last of CMU and Mixamo.
BONE_NAMES: dict[str, tuple[str, ...]] = {
    "pelvis": ("CC_Base_Pelvis", "hip", "pelvis", "Hips"),
    **_both("hip", "CC_Base_{S}_Thigh", "{s}Thigh", "thigh_{s}", "{S}_Thigh", "{side}Thigh",
            "{side}Hip", "{side}UpLeg"),
    **_both("knee", "CC_Base_{S}_Calf", "{s}Shin", "calf_{s}", "{S}_Calf", "{side}Shin",
            "{side}Knee", "{side}Leg"),
    **_both("ankle", "CC_Base_{S}_Foot", "{s}Foot", "foot_{s}", "{S}_Foot", "{side}Ankle",
            "{side}Foot"),
    "neck": ("CC_Base_NeckTwist01", "neck", "neck_01", "Neck1", "Neck"),
    "head": ("CC_Base_Head", "head", "Head"),
    **_both("collar", "CC_Base_{S}_Clavicle", "{s}Collar", "clavicle_{s}", "{S}_Clavicle",
            "{side}Collar", "{side}Shoulder"),
    **_both("shoulder", "CC_Base_{S}_Upperarm", "{s}Shldr", "upperarm_{s}", "{S}_UpperArm",
            "{side}UpperArm", "{side}Arm", "{side}Shoulder"),
    **_both("elbow", "CC_Base_{S}_Forearm", "{s}ForeArm", "lowerarm_{s}", "{S}_Forearm",
            "{side}LowerArm", "{side}Elbow", "{side}ForeArm"),
    **_both("wrist", "CC_Base_{S}_Hand", "{s}Hand", "hand_{s}", "{S}_Hand", "{side}Wrist",
            "{side}Hand"),
}  # fmt: skip
# Where each of our bones points: its child joint. Others keep the file's rotation as it is.
_POINTS_AT = {
    f"{side}_{bone}": f"{side}_{child}"
    for bone, child in (
        ("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist")
    )
    for side in ("left", "right")
}  # fmt: skip
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


def find_bones(motion: Motion) -> dict[str, int]:
    """Returns for our joints the index of the bone of a file; those without one are left out.

    Case does not matter, nor does a prefix that ends in ":", "|", "_" or a blank (mixamorig:Hips).
    The spine is found by its place, from above the hips to where the arms begin.
    """
    known = {name.lower() for candidates in BONE_NAMES.values() for name in candidates}
    lookup: dict[str, int] = {}
    for index, name in enumerate(motion.names):
        parts = re.split(r"[\s_]+", re.split(r"[:|]", name)[-1].lower())[-8:]
        ends = ("_".join(parts[k:]) for k in range(len(parts)))
        lookup.setdefault(next((end for end in ends if end in known), ""), index)
    found = {}
    for ours, candidates in BONE_NAMES.items():
        indices = [lookup[name.lower()] for name in candidates if name.lower() in lookup]
        if indices:
            found[ours] = indices[0]
    for side in ("left", "right"):  # files without collar bones have shoulders alone
        if f"{side}_shoulder" in found and found.get(f"{side}_collar") == found[f"{side}_shoulder"]:
            del found[f"{side}_collar"]
    return found | _spine(motion.parents, found)


def _spine(parents: np.ndarray, found: dict[str, int]) -> dict[str, int]:
    if not {"left_shoulder", "right_shoulder", "left_hip"} <= set(found):
        return {}
    left, right, legs = (
        _upwards(parents, found[name]) for name in ("left_shoulder", "right_shoulder", "left_hip")
    )
    chain = [joint for joint in left if joint in right and joint not in legs][::-1]
    if not chain:
        return {}
    last = len(chain) - 1
    return {"spine1": chain[0], "spine2": chain[last // 2], "spine3": chain[last]}


def _upwards(parents: np.ndarray, joint: int) -> list[int]:
    """Returns a joint and those above it."""
    out = []
    while joint >= 0:
        out.append(joint)
        joint = int(parents[joint])
    return out


def pelvis_places(motion: Motion) -> np.ndarray:
    """Returns the pelvis [T, 3] in the world, in the file's unit; what lies above it moves it."""
    place = np.zeros((len(motion.rotations), 3))
    for joint in _upwards(motion.parents, find_bones(motion).get("pelvis", 0)):
        turned = (motion.rotations[:, joint] @ place[..., None])[..., 0]
        place = motion.places.get(joint, motion.offsets[joint]) + turned
    return place


def metres_per_unit(motion: Motion, rest_joints: np.ndarray) -> float:
    """Returns the scale under which a file's legs are as long as ours [55, 3], metres at rest."""
    bones = find_bones(motion)
    theirs = sum(np.linalg.norm(motion.offsets[bones[n]]) for n in ("left_knee", "left_ankle"))
    ours = rest_joints[[JOINT_NAMES.index(n) for n in ("left_hip", "left_knee", "left_ankle")]]
    return float(np.linalg.norm(np.diff(ours, axis=0), axis=1).sum() / max(theirs, 1e-6))


def world_rotations(motion: Motion) -> np.ndarray:
    """Returns [T, J, 3, 3], every joint's rotation in the world."""
    world = motion.rotations.copy()
    for joint, parent in enumerate(motion.parents):
        if parent >= 0:
            world[:, joint] = world[:, parent] @ motion.rotations[:, joint]
    return world


def _rotation_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Returns the smallest rotation [3, 3] that turns direction `start` into `end`."""
    if min(np.linalg.norm(start), np.linalg.norm(end)) < 1e-9:
        return np.eye(3)  # a bone without length points nowhere
    a = start / np.linalg.norm(start)
    b = end / np.linalg.norm(end)
    v, c = np.cross(a, b), float(a @ b)
    if c < -0.999999:
        raise ValueError("opposite rest directions: the two skeletons do not share a rest pose")
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + k + k @ k / (1 + c)


def read_motion(path: str | Path, rest_joints: np.ndarray) -> tuple[Motion, np.ndarray]:
    """Returns a BVH file and its motion carried over; errors of `retarget` name the file."""
    motion = read_bvh(path)
    try:
        return motion, retarget(motion, rest_joints)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def retarget(motion: Motion, rest_joints: np.ndarray) -> np.ndarray:
    """Returns a motion as axis-angle rotations [T, 55, 3] (radians) of our joints.

    It rests in a T-pose, y up, facing +z; `rest_joints` [55, 3] are those of our body. Raises
    ValueError: bones are missing, or the rest pose is another.
    """
    source = find_bones(motion)
    world = world_rotations(motion)
    axes = np.tile(np.eye(3), (len(motion.names), 1, 1))
    rest = np.zeros((len(motion.names), 3))
    for joint, parent in enumerate(motion.parents):
        name = motion.names[joint]
        axes[joint] = _BONE_AXES.get(name, axes[parent] if parent >= 0 else np.eye(3))
        if parent >= 0:
            rest[joint] = rest[parent] + axes[parent] @ motion.offsets[joint]
    world = world @ np.swapaxes(axes, -1, -2)

    missing = [name for name in ("pelvis", *_POINTS_AT) if name not in source]
    if missing:
        expected = ", ".join(BONE_NAMES[name][-1] for name in missing[:4])
        raise ValueError(
            f"the motion file has no bone for {', '.join(missing)}; it has "
            f"{', '.join(name[:30] for name in motion.names[:8])} ..., where names such as "
            f"{expected} are known; rename the bones"
        )
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
    vectors = Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec()
    return vectors.reshape(*local.shape[:2], 3).astype(np.float32)
