"""The body vector: joint tables, field layout and names of what a frame's pose consists of.

This module imports no jax: streams are inspected and edited with it in milliseconds. `pack` and
`unpack` use array methods and slicing only, so numpy and jax arrays both pass through.

Body space: y up, x towards the person's left, the person faces +z; identity is an upright person
who faces the camera. Rotations are axis-angle in radians. The joint order is that of SMPL-X
(Pavlakos et al., CVPR 2019), of which SMPL-H and SMPL are subsets.
"""

from typing import Any, NamedTuple

import numpy as np

_BODY = (
    ("pelvis", None),
    ("left_hip", "pelvis"),
    ("right_hip", "pelvis"),
    ("spine1", "pelvis"),
    ("left_knee", "left_hip"),
    ("right_knee", "right_hip"),
    ("spine2", "spine1"),
    ("left_ankle", "left_knee"),
    ("right_ankle", "right_knee"),
    ("spine3", "spine2"),
    ("left_foot", "left_ankle"),
    ("right_foot", "right_ankle"),
    ("neck", "spine3"),
    ("left_collar", "spine3"),
    ("right_collar", "spine3"),
    ("head", "neck"),
    ("left_shoulder", "left_collar"),
    ("right_shoulder", "right_collar"),
    ("left_elbow", "left_shoulder"),
    ("right_elbow", "right_shoulder"),
    ("left_wrist", "left_elbow"),
    ("right_wrist", "right_elbow"),
)
_FACE = (("jaw", "head"), ("left_eye_smplhf", "head"), ("right_eye_smplhf", "head"))
_FINGERS = ("index", "middle", "pinky", "ring", "thumb")


def _hand(side: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"{side}_{finger}{k}", f"{side}_{finger}{k - 1}" if k > 1 else f"{side}_wrist")
        for finger in _FINGERS
        for k in (1, 2, 3)
    )


_TREE = _BODY + _FACE + _hand("left") + _hand("right")

JOINT_NAMES: tuple[str, ...] = tuple(name for name, _ in _TREE)
"""The 55 joints in SMPL-X order."""

JOINT_INDEX: dict[str, int] = {name: i for i, name in enumerate(JOINT_NAMES)}

PARENTS: tuple[int, ...] = tuple(-1 if p is None else JOINT_INDEX[p] for _, p in _TREE)
"""Parent of every joint; -1 for the pelvis. A parent always precedes its children."""

NUM_JOINTS = 55
NUM_BODY_JOINTS = 22
NUM_BETAS = 10
NUM_EXPRESSION = 10

BETAS = slice(0, 10)
EXPRESSION = slice(10, 20)
POSE = slice(20, 185)
CAMERA = slice(185, 188)
BODY_VECTOR_SIZE = 188

_AXES = ("x", "y", "z")

VECTOR_NAMES: tuple[str, ...] = (
    *(f"betas_{i}" for i in range(NUM_BETAS)),
    *(f"expression_{i}" for i in range(NUM_EXPRESSION)),
    *(f"{joint}_{axis}" for joint in JOINT_NAMES for axis in _AXES),
    "camera_scale",
    "camera_x",
    "camera_y",
)
"""Name of each of the 188 entries of a body vector."""

VECTOR_INDEX: dict[str, int] = {name: i for i, name in enumerate(VECTOR_NAMES)}

# Pitch nods (about the left-right axis), yaw turns (about the vertical), roll tilts.
_TURNS = {"pitch": "x", "yaw": "y", "roll": "z"}

EXPRESSION_NAMES: tuple[str, ...] = (
    "smile",
    "lips_apart",
    "pucker",
    "mouth_corners_down",
    "mouth_stretch",
    "upper_lip_raise",
    "brow_raise",
    "brow_inner_raise",
    "eyes_closed",
    "squint",
)
"""What the expression coefficients of the open body move (`expression_names` in its file)."""

SHAPE_NAMES: dict[int, str] = {0: "tall", 4: "slim"}
"""Shape coefficients of the open body that one word describes: by 24 cm, and by 5 cm of waist."""

EDIT_ALIASES: dict[str, str] = {
    f"{joint}_{turn}": f"{joint}_{axis}" for joint in JOINT_NAMES for turn, axis in _TURNS.items()
}
EDIT_ALIASES |= {f"body_{turn}": f"pelvis_{axis}" for turn, axis in _TURNS.items()}
EDIT_ALIASES |= {name: f"expression_{i}" for i, name in enumerate(EXPRESSION_NAMES)}
EDIT_ALIASES |= {"jaw": "expression_1", "blink": "expression_8"}
EDIT_ALIASES |= {f"shape_{i}": f"betas_{i}" for i in range(NUM_BETAS)}
EDIT_ALIASES |= {name: f"betas_{i}" for i, name in SHAPE_NAMES.items()}
"""Other names for entries of the body vector, e.g. head_yaw for head_y, smile, blink, tall."""


class BodyParams(NamedTuple):
    """State of one body, or of a batch of bodies (any leading dimensions)."""

    betas: Any  # [*, 10] shape coefficients, in standard deviations
    expression: Any  # [*, 10] facial expression coefficients, in standard deviations
    global_orient: Any  # [*, 3] axis-angle of the pelvis in camera space, radians
    body_pose: Any  # [*, 54, 3] axis-angle of joints 1..54 relative to their parents, radians
    camera: Any  # [*, 3] weak perspective (scale, x, y); see `hvc_jax.body.camera`


def pack(params: BodyParams) -> Any:
    """Returns the flat body vector [*, 188] of `params` (numpy in, numpy out; jax in, jax out)."""
    namespace = _namespace(params)
    lead = params.global_orient.shape[:-1]
    parts = (
        params.betas,
        params.expression,
        params.global_orient,
        params.body_pose.reshape(*lead, 3 * (NUM_JOINTS - 1)),
        params.camera,
    )
    return namespace.concatenate(parts, axis=-1)


def unpack(vector: Any) -> BodyParams:
    """Returns the `BodyParams` of body vectors [*, 188]; ValueError on another size."""
    if vector.shape[-1] != BODY_VECTOR_SIZE:
        raise ValueError(
            f"a body vector has {BODY_VECTOR_SIZE} entries, got {vector.shape[-1]}; "
            "see hvc_jax.body.params.VECTOR_NAMES for the layout"
        )
    pose = vector[..., POSE]
    return BodyParams(
        betas=vector[..., BETAS],
        expression=vector[..., EXPRESSION],
        global_orient=pose[..., :3],
        body_pose=pose[..., 3:].reshape(*vector.shape[:-1], NUM_JOINTS - 1, 3),
        camera=vector[..., CAMERA],
    )


def identity_vector() -> np.ndarray:
    """Returns the body vector [188] of the upright T-pose in the middle of the picture."""
    vector = np.zeros(BODY_VECTOR_SIZE, np.float32)
    vector[VECTOR_INDEX["camera_scale"]] = 0.9
    return vector


def resolve_name(name: str) -> int:
    """Returns the index of `name` or an alias; KeyError, which proposes near names."""
    name = EDIT_ALIASES.get(name, name)
    if name in VECTOR_INDEX:
        return VECTOR_INDEX[name]
    import difflib

    near = difflib.get_close_matches(name, [*VECTOR_NAMES, *EDIT_ALIASES], n=3)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    raise KeyError(f"unknown body parameter {name!r}{hint}")


def mirror(vector: np.ndarray) -> np.ndarray:
    """Returns body vectors [*, 188] of the mirror image (left and right exchanged), numpy only.

    Axis-angle vectors are pseudo-vectors: under x -> -x their y and z components change sign.
    Shape directions of the open body are left-right symmetric; asymmetric expression directions
    are listed in `MIRROR_EXPRESSION_SIGN`.
    """
    params = unpack(np.asarray(vector))
    pose = np.concatenate([params.global_orient[..., None, :], params.body_pose], axis=-2)
    pose = pose[..., MIRROR_JOINTS, :] * np.array([1, -1, -1], pose.dtype)
    return pack(
        BodyParams(
            betas=params.betas,
            expression=params.expression * MIRROR_EXPRESSION_SIGN.astype(pose.dtype),
            global_orient=pose[..., 0, :],
            body_pose=pose[..., 1:, :],
            camera=params.camera * np.array([1, -1, 1], pose.dtype),
        )
    )


def _mirror_name(name: str) -> str:
    if name.startswith("left_"):
        return "right_" + name[len("left_") :]
    if name.startswith("right_"):
        return "left_" + name[len("right_") :]
    return name


MIRROR_JOINTS: np.ndarray = np.array([JOINT_INDEX[_mirror_name(n)] for n in JOINT_NAMES])
"""Joint that takes each joint's place in the mirror image."""

MIRROR_EXPRESSION_SIGN: np.ndarray = np.ones(NUM_EXPRESSION)
"""Sign of each expression coefficient of the open body in the mirror image."""


def _namespace(params: BodyParams) -> Any:
    if all(isinstance(field, np.ndarray | np.generic | float) for field in params):
        return np
    import jax.numpy as jnp

    return jnp
