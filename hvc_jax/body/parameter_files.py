"""Body vectors from the parameter files that others write: AMASS and image-based estimators.

Sources and what is done to them (our space: y up, x to the person's left, viewer on +z):

| source | recognised by | axes of the root | transform |
|---|---|---|---|
| AMASS SMPL-H | `poses` [T, 156] | z up, world | root turned by -90 degrees about x |
| AMASS SMPL-X | `root_orient`, `pose_body` | z up, world | the same |
| estimators | `global_orient`, `body_pose` | OpenCV camera: y down, z forward | root turned by 180 degrees about x |
| estimators | `pose` [T, 72] (VIBE, CLIFF, ROMP) | the same | the same |
| `hvc fit` | `bodies` [T, 188], or a .npy of that shape | ours | none |

Their cameras: `parameter_cameras`. Rotations may be axis-angle or matrices. Pose angles carry over to the open body, since its joints have the rest
pose and axes of SMPL-X; shape coefficients do not, and are kept only on request.
"""  # noqa: E501

import os
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from hvc_jax.body.files import BodyFileError, read_raw
from hvc_jax.body.parameter_cameras import PELVIS, View, read_camera
from hvc_jax.body.params import BODY_VECTOR_SIZE, NUM_JOINTS, BodyParams, pack
from hvc_jax.ops import rotation

# Fields of estimator files, and the first joint they fill in the 55.
_FIELDS = {
    "body_pose": (1, 21),
    "jaw_pose": (22, 1),
    "leye_pose": (23, 1),
    "reye_pose": (24, 1),
    "left_hand_pose": (25, 15),
    "right_hand_pose": (40, 15),
}
_AMASS_X = {
    "pose_body": (1, 21),
    "pose_jaw": (22, 1),
    "pose_eye": (23, 2),
    "pose_hand": (25, 30),
}


def read_parameters(
    path: str | os.PathLike,
    *,
    keep_shape: bool = False,
    pelvis: np.ndarray | None = None,
    view: View | None = None,
) -> np.ndarray:
    """Returns body vectors [T, 188] of a parameter file (.npz, .npy, or .pkl of plain arrays).

    Args:
      path: the file.
      keep_shape: take betas and expression as they are; only right for the model they belong to.
      pelvis: [3] or [T, 3] rest pelvis of that model (`Body.J_template[0]`), for cameras that act
        on uncentred vertices; by default that of the mean SMPL or SMPL-X body, as the joints tell.
      view: of the picture that the parameters were estimated in; None for a square one.

    Raises:
      BodyFileError: the file is of no known kind, or a field has a wrong shape.
    """
    raw = {"bodies": _load_npy(path)} if str(path).endswith(".npy") else read_raw(path)
    if "bodies" in raw:
        return _own(raw["bodies"], path)
    if "poses" in raw:
        pose, turn = _amass_h(raw, path), -0.5 * np.pi
    elif "pose" in raw:
        pose, turn = _amass_h({"poses": raw["pose"]}, path), np.pi
    elif "root_orient" in raw and "pose_body" in raw:
        frames = len(raw["root_orient"])
        pose, turn = _collect(raw, "root_orient", _AMASS_X, frames, path), -0.5 * np.pi
    elif "global_orient" in raw and "body_pose" in raw:
        frames = len(np.atleast_2d(raw["global_orient"]))
        pose, turn = _collect(raw, "global_orient", _FIELDS, frames, path), np.pi
    else:
        raise BodyFileError(
            f"{path}: none of 'poses', 'pose', 'root_orient' and 'global_orient' is present; give "
            "a file of hvc fit, or AMASS or SMPL-X parameters"
        )
    root = rotation.axis_angle_to_matrix(jnp.asarray(pose[:, 0]))
    upright = rotation.axis_angle_to_matrix(jnp.array([turn, 0.0, 0.0])) @ root
    pose[:, 0] = np.asarray(rotation.matrix_to_axis_angle(upright))
    frames = len(pose)

    def shape(names: tuple[str, ...]) -> np.ndarray:
        out = np.zeros((frames, 10), np.float32)
        found = next((raw[n] for n in names if n in raw), None)
        if keep_shape and found is not None:
            values = np.atleast_2d(found)[:, :10]
            out[:, : values.shape[1]] = values
        return out

    if pelvis is None:
        hands = any(name in raw for name in ("left_hand_pose", "jaw_pose", "pose_hand"))
        pelvis = np.array(PELVIS["smplx" if hands else "smpl"])
    camera = read_camera(raw, frames, pelvis, view, path)
    if camera is None:
        camera = np.tile(np.array([0.9, 0.0, 0.0], np.float32), (frames, 1))
    vector = pack(
        BodyParams(
            betas=shape(("betas",)),
            expression=shape(("expression", "exp")),
            global_orient=pose[:, 0],
            body_pose=pose[:, 1:],
            camera=camera,
        )
    )
    return np.asarray(vector, np.float32)


def _amass_h(raw: Mapping[str, Any], path: Any) -> np.ndarray:
    """Returns the pose [T, 55, 3] of 52-joint rows: 22 body joints, then both hands."""
    rows = np.asarray(raw["poses"], np.float32)
    if rows.ndim != 2 or rows.shape[1] not in (72, 156, 165):
        raise BodyFileError(f"{path}: field 'poses' has shape {rows.shape}, not [T, 156]")
    joints = rows.reshape(len(rows), -1, 3)
    pose = np.zeros((len(rows), NUM_JOINTS, 3), np.float32)
    pose[:, :22] = joints[:, :22]
    if joints.shape[1] == 52:
        pose[:, 25:] = joints[:, 22:]
    elif joints.shape[1] == NUM_JOINTS:
        pose = joints.copy()
    return pose


def _collect(
    raw: Mapping[str, Any],
    root: str,
    table: Mapping[str, tuple[int, int]],
    frames: int,
    path: Any,
) -> np.ndarray:
    """Returns the pose [T, 55, 3] from fields of axis-angle vectors or matrices."""
    pose = np.zeros((frames, NUM_JOINTS, 3), np.float32)
    for name, (first, count) in {root: (0, 1), **table}.items():
        if name not in raw:
            continue
        values = np.asarray(raw[name], np.float32)
        if values.size == frames * count * 9:
            matrix = jnp.asarray(values.reshape(frames, count, 3, 3))
            values = np.asarray(rotation.matrix_to_axis_angle(matrix))
        elif name == "body_pose" and values.size == frames * 69:  # SMPL: 23 joints with rigid hands
            values = values.reshape(frames, 23, 3)[:, :21]
        elif values.size != frames * count * 3:
            raise BodyFileError(
                f"{path}: field {name!r} has shape {values.shape}; expected {count} rotations for "
                f"each of {frames} frames (hands as 45 numbers, not principal components)"
            )
        pose[:, first : first + count] = values.reshape(frames, count, 3)
    return pose


def _load_npy(path: Any) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise BodyFileError(f"{path}: is no .npy file; write one with hvc fit") from error


def _own(bodies: Any, path: Any) -> np.ndarray:
    """Returns the body vectors of a file of our own, checked."""
    bodies = np.asarray(bodies)
    if bodies.ndim != 2 or bodies.shape[1] != BODY_VECTOR_SIZE or bodies.dtype.kind != "f":
        raise BodyFileError(
            f"{path}: holds {bodies.dtype} {list(bodies.shape)} and no body vectors [T, 188]; "
            "write it with hvc fit"
        )
    if not np.isfinite(bodies).all():
        raise BodyFileError(f"{path}: holds numbers that are not finite; write it with hvc fit")
    return bodies.astype(np.float32)
