"""How the MakeHuman rig maps to the 55 SMPL-X joints, and the A-pose to T-pose transform."""

import numpy as np
from makehuman import Assets

from hvc_jax.body.params import JOINT_INDEX, JOINT_NAMES, NUM_JOINTS, PARENTS

_FINGER = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}

# Bones whose vertices follow a joint; every other bone follows its nearest listed ancestor.
_BONES = {
    "pelvis": ("root", "spine05", "pelvis.L", "pelvis.R"),
    "spine1": ("spine04", "spine03"),
    "spine2": ("spine02",),
    "spine3": ("spine01",),
    "neck": ("neck01", "neck02"),
    "head": ("neck03", "head"),
    "jaw": ("jaw",),
}
_SIDE_BONES = {
    "hip": ("upperleg01", "upperleg02"),
    "knee": ("lowerleg01", "lowerleg02"),
    "ankle": ("foot",),
    "foot": tuple(f"toe{k}-1" for k in range(1, 6)),
    "collar": ("clavicle", "shoulder01"),
    "shoulder": ("upperarm01", "upperarm02"),
    "elbow": ("lowerarm01", "lowerarm02"),
    "wrist": ("wrist",),
    "eye_smplhf": ("eye",),
}
# Joint centres as means of MakeHuman's marker cubes.
_CUBES = {
    "pelvis": ("pelvis",),
    "spine1": ("spine-4",),
    "spine2": ("spine-2",),
    "spine3": ("spine-1",),
    "neck": ("neck",),
    "head": ("head",),
    "jaw": ("mouth",),
}
_SIDE_CUBES = {
    "hip": ("upper-leg",),
    "knee": ("knee",),
    "ankle": ("ankle",),
    "foot": tuple(f"toe-{k}-1" for k in range(1, 6)),
    "collar": ("clavicle", "scapula"),
    "shoulder": ("shoulder",),
    "elbow": ("elbow",),
    "wrist": ("hand",),
    "eye_smplhf": ("eye",),
}


def _sides(name: str) -> tuple[str, str, str]:
    side, part = name.split("_", 1)
    return side[0], side[0].upper(), part


def joint_matrix(assets: Assets) -> np.ndarray:
    """Returns [55, 19158]: joint centres as means of marker-cube vertices of the base mesh."""
    out = np.zeros((NUM_JOINTS, len(assets.vertices)))
    for j, name in enumerate(JOINT_NAMES):
        if name in _CUBES:
            cubes = [f"joint-{c}" for c in _CUBES[name]]
        else:
            low, _, part = _sides(name)
            if part in _SIDE_CUBES:
                cubes = [f"joint-{low}-{c}" for c in _SIDE_CUBES[part]]
            else:
                cubes = [f"joint-{low}-finger-{_FINGER[part[:-1]]}-{part[-1]}"]
        ids = np.concatenate([assets.vertex_groups[c] for c in cubes])
        out[j, ids] = 1.0 / len(ids)
    return out


def skin_weights(assets: Assets) -> np.ndarray:
    """Returns [19158, 55] weights remapped from the MakeHuman rig; rows with skin sum to 1."""
    follows = {}
    for name in JOINT_NAMES:
        if name in _BONES:
            bones = _BONES[name]
        else:
            _, up, part = _sides(name)
            bones = _SIDE_BONES.get(part) or (f"finger{_FINGER[part[:-1]]}-{part[-1]}",)
            bones = tuple(f"{b}.{up}" for b in bones)
        follows.update(dict.fromkeys(bones, JOINT_INDEX[name]))

    def owner(bone):
        while bone not in follows:
            bone = assets.rig[bone]["parent"]
        return follows[bone]

    out = np.zeros((len(assets.vertices), NUM_JOINTS))
    for bone, pairs in assets.weights.items():
        if pairs:
            ids, values = np.array(pairs).T
            np.add.at(out[:, owner(bone)], ids.astype(int), values)
    total = out.sum(1, keepdims=True)
    return np.where(total > 0, out / np.maximum(total, 1e-9), 0.0)


def _between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the smallest rotation [3, 3] that turns direction a into direction b."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    v, c = np.cross(a, b), a @ b
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + k + k @ k / (1 + c)


def _about_x(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def t_pose_rotations(joints: np.ndarray) -> np.ndarray:
    """Returns [55, 3, 3] world rotations that take the A-pose with centres `joints` to a T-pose.

    Arms end along +-x with palms down, legs nearly vertical, feet unturned.
    """
    rotations = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    at = lambda name: joints[JOINT_INDEX[name]]  # noqa: E731
    for side, sign in (("left", 1.0), ("right", -1.0)):
        out = np.array([sign, 0.0, 0.0])
        index = {part: JOINT_INDEX[f"{side}_{part}"] for part in ("collar", "shoulder", "elbow")}
        collar = np.deg2rad(12.0) * sign
        c, s = np.cos(collar), np.sin(collar)
        rotations[index["collar"]] = [[c, -s, 0], [s, c, 0], [0, 0, 1]]
        upper = rotations[index["collar"]] @ (at(f"{side}_elbow") - at(f"{side}_shoulder"))
        shoulder = _between(upper, out) @ rotations[index["collar"]]
        lower = shoulder @ (at(f"{side}_wrist") - at(f"{side}_elbow"))
        elbow = _between(lower, out) @ shoulder
        hand = elbow @ (at(f"{side}_middle1") - at(f"{side}_wrist"))
        wrist = _between(hand, out) @ elbow
        # Palm down: the knuckle line from little finger to index finger points forward (+z).
        knuckles = wrist @ (at(f"{side}_index1") - at(f"{side}_pinky1"))
        twist = np.arctan2(knuckles[1], knuckles[2])
        # Twist is shared between the upper arm, the forearm and the wrist, as bones do it.
        rotations[index["shoulder"]] = _about_x(0.4 * twist) @ shoulder
        rotations[index["elbow"]] = _about_x(0.8 * twist) @ elbow
        for j, name in enumerate(JOINT_NAMES):
            if name.startswith(side) and (name.endswith("wrist") or name[-1].isdigit()):
                rotations[j] = _about_x(twist) @ wrist
        leg = at(f"{side}_ankle") - at(f"{side}_hip")
        straight = _between(leg, np.array([0.35 * leg[0], leg[1], 0.5 * leg[2]]))
        rotations[JOINT_INDEX[f"{side}_hip"]] = straight
        rotations[JOINT_INDEX[f"{side}_knee"]] = straight
    return rotations


def to_t_pose(points, joints, weights, rotations):
    """Returns (points', joints') after turning each joint's skin by fixed world rotations.

    Linear in (points, joints), so it applies to blend shape offsets as well.
    """
    moved = joints.copy()
    for j in range(1, NUM_JOINTS):
        p = PARENTS[j]
        moved[j] = moved[p] + rotations[p] @ (joints[j] - joints[p])
    shift = moved - np.einsum("jab,jb->ja", rotations, joints)
    blended = np.einsum("vj,jab->vab", weights, rotations)
    return np.einsum("vab,vb->va", blended, points) + weights @ shift, moved
