"""Bodies written with the fields of SMPL-X, as other programs read them."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from hvc_jax.body.parameter_cameras import PELVIS
from hvc_jax.body.parameter_poses import CAMERA_TURN
from hvc_jax.body.params import CAMERA, NUM_JOINTS, POSE


def smplx_fields(bodies: np.ndarray, fps: float) -> dict[str, np.ndarray]:
    """Returns the fields of SMPL-X by name, float32, of body vectors [T, 188].

    `global_orient` [T, 3], `body_pose` [T, 63], `jaw_pose`, `leye_pose`, `reye_pose` [T, 3],
    `left_hand_pose` and `right_hand_pose` [T, 45]: axis-angle, radians, axes of OpenCV (y down, z
    forward), hands from the flat hand on (`flat_hand_mean=True` in the package smplx). `pred_cam`
    [T, 3]: (s, tx, ty) with u = s (X + tx), v = s (Y + ty), v down, over the coded square. `fps`
    []. Shape and expression of the open body mean nothing to SMPL-X and are left out.
    """
    pose = np.asarray(bodies, np.float64)[:, POSE].reshape(-1, NUM_JOINTS, 3)
    turn = Rotation.from_rotvec([-CAMERA_TURN, 0, 0])
    root = (turn * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
    scale, x, y = np.asarray(bodies, np.float64)[:, CAMERA].T
    aside, up = PELVIS["smplx"][:2]
    fields = {
        "global_orient": root,
        "body_pose": pose[:, 1:22],
        "jaw_pose": pose[:, 22],
        "leye_pose": pose[:, 23],
        "reye_pose": pose[:, 24],
        "left_hand_pose": pose[:, 25:40],
        "right_hand_pose": pose[:, 40:],
        "pred_cam": np.stack([scale, x - aside, -y - up], 1),
    }
    flat = {name: np.asarray(v, np.float32).reshape(len(pose), -1) for name, v in fields.items()}
    return flat | {"fps": np.float32(fps)}
