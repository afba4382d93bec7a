"""Named example poses as body vectors (numpy only, no jax)."""

import numpy as np

from hvc_jax.body.params import VECTOR_INDEX, identity_vector

# Degrees. Arms come down by turning the left shoulder about -z, the right one about +z.
POSES: dict[str, dict[str, float]] = {
    "t": {},
    "a": {"left_shoulder_z": -45, "right_shoulder_z": 45},
    "standing": {
        "left_shoulder_z": -68, "right_shoulder_z": 68, "left_elbow_y": -18, "right_elbow_y": 18,
    },
    "arms_up": {
        "left_collar_z": 12, "right_collar_z": -12, "left_shoulder_z": 62, "right_shoulder_z": -62,
    },
    "sitting": {
        "left_hip_x": -86, "right_hip_x": -86, "left_knee_x": 86, "right_knee_x": 86,
        "left_shoulder_z": -63, "right_shoulder_z": 63, "left_elbow_y": -65, "right_elbow_y": 65,
    },
    "head_turned": {
        "head_y": 42, "neck_y": 16, "left_shoulder_z": -63, "right_shoulder_z": 63,
    },
    "walking": {
        "left_hip_x": -28, "left_knee_x": 12, "right_hip_x": 22, "right_knee_x": 26,
        "left_shoulder_z": -70, "right_shoulder_z": 70, "left_shoulder_y": 22,
        "right_shoulder_y": 22, "left_elbow_y": -25, "right_elbow_y": 25, "spine2_y": 8,
    },
}  # fmt: skip
"""Name -> angles in degrees of the joints that are not at rest."""


def pose_vector(name: str) -> np.ndarray:
    """Returns the body vector [188] of a named pose; ValueError: there is no such pose."""
    if name not in POSES:
        raise ValueError(f"unknown pose {name!r}; choose one of {', '.join(POSES)}")
    vector = identity_vector()
    for slot, degrees in POSES[name].items():
        vector[VECTOR_INDEX[slot]] = np.deg2rad(degrees)
    return vector
