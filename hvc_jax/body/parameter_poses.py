"""Poses of others' parameters as rotations of the 55 joints, upright in our space.

| source | recognised by | axes of the root | turned about x by |
|---|---|---|---|
| AMASS | `poses` of 52 or 55 joints without a camera; `root_orient` and `pose_body` | z up, world | -90 degrees |
| estimators | `global_orient` and `body_pose` (HMR2, GVHMR, SMPLer-X, ROMP), `global_pose` (PIXIE) | OpenCV: y down, z forward | 180 degrees |
| estimators | all joints in one: `pose` (VIBE, WHAM, CLIFF), `poses`, `smpl_thetas` (ROMP), `pred_rotmat` (TRAM), ... | the same | the same |

Rotations are axis-angle or matrices, of one body or many. Pose angles carry over to the open body,
since its joints have the rest pose and axes of SMPL-X.
"""  # noqa: E501

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from hvc_jax.body.files import BodyFileError
from hvc_jax.body.params import NUM_JOINTS

CAMERA_TURN = math.pi
WORLD_TURN = -0.5 * math.pi

_HANDS = {"left_hand_pose": (25, 15), "right_hand_pose": (40, 15)}
_FACE = {"jaw_pose": (22, 1), "leye_pose": (23, 1), "reye_pose": (24, 1)}


class _Split(NamedTuple):
    """A pose in several fields: those that must be there, and the joints that each fills."""

    root: str
    body: str
    parts: dict[str, tuple[int, int]]
    turn: float


_SPLIT = (
    _Split(
        "root_orient",
        "pose_body",
        {"pose_body": (1, 21), "pose_jaw": (22, 1), "pose_eye": (23, 2), "pose_hand": (25, 30)},
        WORLD_TURN,
    ),
    _Split("global_orient", "body_pose", {"body_pose": (1, 21), **_FACE, **_HANDS}, CAMERA_TURN),
    _Split("global_pose", "body_pose", {"body_pose": (1, 21), **_FACE, **_HANDS}, CAMERA_TURN),
)
_WHOLE = (
    *("smpl_thetas", "poses", "pose", "pred_rotmat", "pred_pose", "pred_thetas"),
    *("pred_body_pose", "fullpose"),
)
_JOINTS = {22: "the body", 24: "SMPL", 52: "SMPL-H", 55: "SMPL-X"}
_RATES = ("mocap_framerate", "mocap_frame_rate", "mocap_fps")
_NO_ANGLES = {4: "quaternions", 6: "six numbers a rotation", 12: "3x4 matrices"}
_FULL_TURN = 2 * math.pi


class Pose(NamedTuple):
    """Rotations of a record."""

    rotations: np.ndarray  # [T, 55, 3] axis-angle, radians, the root not yet turned
    turn: float  # about x, radians, that makes the root ours
    field: str  # where they are from
    # the hands are axis-angle of the smplx package, which adds its mean pose
    relative_hands: bool = False
    joints: int = 0  # how many the field has


def read_pose(
    raw: Mapping[str, np.ndarray], has_camera: bool, hands: np.ndarray | None, path: Any
) -> Pose:
    """Returns the rotations of a record.

    With `has_camera` it is an estimator's; `hands` are the principal components [2, K, 45] of the
    model's hands, or None. Raises BodyFileError: a field has a wrong shape; the message names it
    and `path`.
    """
    if "Rh" in raw and "Th" in raw:
        raise BodyFileError(
            f"{path}: 'Rh' and 'Th' are in the world of EasyMocap's cameras, which are not in the "
            "file; give global_orient and transl in the camera, with K"
        )
    if "root_orient" in raw and "cam_R" in raw and "cam_t" in raw:
        raise BodyFileError(
            f"{path}: 'root_orient' is in the world of the cameras 'cam_R' and 'cam_t' (SLAHMR); "
            "give global_orient and transl in the camera, with K"
        )
    if "cam_poses" in raw and "poses" in raw:
        raise BodyFileError(
            f"{path}: 'poses' are in the world of the cameras in 'cam_poses' (3DPW); give "
            "global_orient and transl in the camera, with K"
        )
    for split in _SPLIT:
        if split.root in raw and split.body in raw:
            for field in (split.root, split.body):
                _refuse_other_rotations(raw[field], field, path)
            relative = split.turn == CAMERA_TURN and _axis_angle_hands(raw)
            pose = _collect(raw, split, hands, path)
            _refuse_degrees(pose, split.body, path)
            return Pose(pose, split.turn, split.root, relative)
    name = next((n for n in _WHOLE if n in raw), None)
    if name is None:
        alone = next((s for s in _SPLIT if s.root in raw), _SPLIT[1])
        raise BodyFileError(f"{path}: field {alone.body!r} is missing beside {alone.root!r}")
    _refuse_other_rotations(raw[name], name, path)
    pose, joints = _whole(raw[name], name, path)
    _refuse_degrees(pose, name, path)
    captured = any(rate in raw for rate in _RATES)
    world = name in ("poses", "fullpose") and not has_camera and (joints >= 52 or captured)
    return Pose(pose, WORLD_TURN if world else CAMERA_TURN, name, joints=joints)


def upright(pose: Pose) -> np.ndarray:
    """Returns the rotations [T, 55, 3] with the root turned into our space."""
    out = pose.rotations.copy()
    turn = Rotation.from_rotvec([pose.turn, 0, 0])
    good = np.isfinite(out[:, 0]).all(-1)
    out[good, 0] = (turn * Rotation.from_rotvec(out[good, 0])).as_rotvec()
    return out


def _refuse_other_rotations(values: np.ndarray, name: str, path: Any) -> None:
    """Raises for rotations of which several conventions are in use."""
    kind = _NO_ANGLES.get(values.shape[-1] if values.ndim > 1 else 0)
    if values.shape[-2:] == (4, 4):
        kind = "4x4 matrices"
    if kind:
        raise BodyFileError(
            f"{path}: field {name!r} has shape {values.shape}, which is {kind}: give axis-angle "
            "[.., 3] or matrices [.., 3, 3]"
        )


def _refuse_degrees(rotations: np.ndarray, name: str, path: Any) -> None:
    """Raises where most joints turn by more than once around."""
    angles = np.linalg.norm(rotations[:, 1:22], axis=-1)
    angles = angles[np.isfinite(angles) & (angles > 0)]
    if len(angles) and np.median(angles) > _FULL_TURN:
        raise BodyFileError(
            f"{path}: the angles of field {name!r} are {np.median(angles):.0f} radians in the "
            "middle: are they degrees? Multiply them by pi / 180"
        )


def _axis_angle_hands(raw: Mapping[str, np.ndarray]) -> bool:
    hands = [raw[name] for name in _HANDS if name in raw]
    return bool(hands) and all(h.shape[-2:] != (3, 3) for h in hands)


def _whole(values: np.ndarray, name: str, path: Any) -> tuple[np.ndarray, int]:
    """Returns the pose [T, 55, 3] of all joints in one field, and how many those are."""
    shape = values.shape
    if len(shape) >= 3 and shape[-2:] == (3, 3):
        joints, width = shape[-3], 9
    elif len(shape) >= 2 and shape[-1] == 3 and shape[-2] in _JOINTS:
        joints, width = shape[-2], 3
    else:
        last = shape[-1] if shape else 0
        joints, width = next(
            ((j, w) for j in _JOINTS for w in (3, 9) if j * w == last), (last // 3, 3)
        )
    if joints not in _JOINTS or values.size % (joints * width) or not values.size:
        known = ", ".join(f"{3 * j} ({n})" for j, n in _JOINTS.items())
        raise BodyFileError(
            f"{path}: field {name!r} has shape {shape}, not [T, N] with N of {known}"
        )
    rows = axis_angle(values.reshape(-1, joints, width))
    pose = np.zeros((len(rows), NUM_JOINTS, 3))
    pose[:, :22] = rows[:, :22]
    if joints == 52:
        pose[:, 25:] = rows[:, 22:]
    elif joints == NUM_JOINTS:
        pose = rows
    return pose, joints


def _collect(
    raw: Mapping[str, np.ndarray], split: _Split, components: np.ndarray | None, path: Any
) -> np.ndarray:
    """Returns the pose [T, 55, 3] from several fields of axis-angle vectors or matrices."""
    root, body = raw[split.root], raw[split.body]
    # Three axis-angle vectors or one matrix: the rest of the body tells.
    matrix = root.shape[-2:] == (3, 3) and (root.ndim > 2 or body.shape[-2:] == (3, 3))
    width = 9 if matrix or root.shape[-1:] == (9,) else 3
    if not root.size or root.size % width:
        raise BodyFileError(f"{path}: field {split.root!r} has shape {root.shape}, not [T, 3]")
    frames = root.size // width
    sizes = {n: raw[n].size for n in split.parts if n in raw}
    if split.body in sizes and sizes[split.body] not in [
        frames * j * w for j in (21, 23) for w in (3, 9)
    ]:
        raise _wrong_shape(raw, split.body, 21, frames, path)
    pose = np.zeros((frames, NUM_JOINTS, 3))
    pose[:, :1] = axis_angle(root.reshape(frames, 1, width))
    for name, (first, count) in split.parts.items():
        if name not in raw:
            continue
        values = raw[name]
        per = values.size // frames if values.size % frames == 0 else -1
        if name == "body_pose" and per in (69, 207):  # SMPL: 23 joints with rigid hands
            values = axis_angle(values.reshape(frames, 23, per // 23))[:, :21]
        elif per in (3 * count, 9 * count):
            values = axis_angle(values.reshape(frames, count, per // count))
        elif name in _HANDS and components is not None and 0 < per < 45:
            some = components[list(_HANDS).index(name), :per]
            values = (values.reshape(frames, per) @ some).reshape(frames, 15, 3)
        else:
            raise _wrong_shape(raw, name, count, frames, path)
        pose[:, first : first + count] = values
    return pose


def _wrong_shape(
    raw: Mapping[str, np.ndarray], name: str, count: int, frames: int, path: Any
) -> BodyFileError:
    hint = ""
    if name in _HANDS:
        hint = "; principal components of hands need --body with the SMPL-X file"
    return BodyFileError(
        f"{path}: field {name!r} has shape {raw[name].shape}; expected {count} rotations for each "
        f"of {frames} frames, as axis-angle or matrices{hint}"
    )


def axis_angle(values: np.ndarray) -> np.ndarray:
    """Returns axis-angle vectors [T, J, 3] of themselves or of matrices [T, J, 9], in float64.

    Rows that are not finite, or whose matrices are no rotations, come back as NaN.
    """
    values = values.astype(np.float64)
    values = np.where(np.abs(values) < 1e4, values, np.nan)
    if values.shape[-1] == 3:
        return values
    flat = values.reshape(-1, 3, 3)
    good = np.isfinite(flat).all((1, 2))
    good[good] = np.abs(np.linalg.det(flat[good]) - 1) < 0.2
    out = np.full((len(flat), 3), np.nan)
    if good.any():
        out[good] = Rotation.from_matrix(flat[good]).as_rotvec()
    return out.reshape(*values.shape[:-1], 3)
