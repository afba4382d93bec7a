"""The 33 landmarks of the pose network as points that ride on the body's joints.

As in `hvc_jax.body.landmarks`: each point is a fixed offset from a joint's rest position, turned
with that joint, so that no vertex is skinned.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.assets import Body, load_body
from hvc_jax.body.landmarks import Skeleton, landmarks_of
from hvc_jax.body.params import JOINT_INDEX, NUM_BODY_JOINTS

NAMES = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye",
    "right_eye_outer", "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_pinky",
    "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb", "left_hip",
    "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel",
    "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip
"""The landmarks in the network's order."""

INDEX = {name: i for i, name in enumerate(NAMES)}

COCO = np.array([0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28])
"""Which landmarks are the 17 COCO keypoints."""

# Where the network puts its landmarks, from the joints and the skin of the body: metres of the
# rest pose, left side. Found on 24 rendered clips, whose truth is known.
_OFFSETS = {
    "nose": (0.000, 0.016, -0.019), "left_eye": (0.001, 0.006, -0.005),
    "left_ear": (-0.026, -0.010, 0.031), "mouth_left": (-0.003, 0.009, -0.014),
    "left_shoulder": (-0.014, -0.002, -0.003), "left_elbow": (-0.020, -0.009, 0.025),
    "left_wrist": (0.002, -0.007, 0.001), "left_pinky": (-0.014, -0.006, 0.024),
    "left_index": (-0.025, -0.012, -0.021), "left_thumb": (0.009, 0.005, -0.030),
    "left_hip": (-0.011, 0.004, 0.039), "left_knee": (0.001, 0.002, -0.020),
    "left_ankle": (0.002, 0.027, 0.006), "left_heel": (-0.012, 0.023, 0.003),
    "left_foot_index": (0.035, 0.015, -0.006),
}  # fmt: skip
_KNUCKLES = {"pinky": "pinky1", "index": "index1", "thumb": "thumb2"}


def _rides_on(name: str) -> str:
    side, _, part = name.partition("_")
    if side not in ("left", "right") or part.startswith(("eye", "ear")):
        return "head"
    if part in _KNUCKLES:
        return f"{side}_wrist"
    if part == "heel":
        return f"{side}_ankle"
    return f"{side}_foot" if part == "foot_index" else name


RIDES_ON = np.array([JOINT_INDEX[_rides_on(name)] for name in NAMES])
"""The joint that each landmark rides on."""


def _skin_vertices(body: Body) -> dict[str, int]:
    """Returns the vertices that heels, big toes and mouth corners are taken at, by name."""
    vertices = np.asarray(body.v_template)
    joints = np.asarray(body.J_template)
    smile = np.linalg.norm(np.asarray(body.exprdirs[0]), axis=-1)
    found = {}
    for side, sign in (("left", 1), ("right", -1)):
        ankle = joints[JOINT_INDEX[f"{side}_ankle"]]
        low = np.flatnonzero(
            (vertices[:, 1] < ankle[1] - 0.03) & (np.abs(vertices[:, 0] - ankle[0]) < 0.1)
        )
        back = low[vertices[low, 1] < ankle[1] - 0.04]
        found[f"{side}_heel"] = int(back[np.argmin(vertices[back, 2])])
        found[f"{side}_foot_index"] = int(
            low[np.argmax(vertices[low, 2] - 0.5 * sign * vertices[low, 0])]
        )
        there = np.where(sign * vertices[:, 0] > 0, smile, 0.0)
        found[f"mouth_{side}"] = int(np.argmax(there))
    return found


def skeleton_of(body: Body) -> Skeleton:
    """Returns the landmarks of a body model in T-pose."""
    coco, skin = landmarks_of(body), _skin_vertices(body)
    betas = body.num_betas
    points, directions = [], []
    for k, name in enumerate(NAMES):
        side, _, part = name.partition("_")
        if name in skin:
            points.append(body.v_template[skin[name]])
            directions.append(body.shapedirs[:, skin[name]])
        elif RIDES_ON[k] == JOINT_INDEX["head"]:
            row = {"nose": 0, "left_ear": 3, "right_ear": 4}.get(name, 1 if side == "left" else 2)
            points.append(coco.points[row])
            directions.append(coco.point_directions[:, row])
        else:
            joint = JOINT_INDEX[f"{side}_{_KNUCKLES[part]}" if part in _KNUCKLES else name]
            points.append(body.J_template[joint])
            directions.append(body.J_shapedirs[:betas, joint])
    mirrored = np.array([-1.0, 1.0, 1.0])
    for k, name in enumerate(NAMES):
        offset = np.array(_OFFSETS.get(name.replace("right", "left"), (0, 0, 0)), np.float32)
        points[k] = points[k] + (offset * mirrored if "right" in name else offset)
    return Skeleton(
        body.J_template[:NUM_BODY_JOINTS],
        body.J_shapedirs[:betas, :NUM_BODY_JOINTS],
        jnp.stack(points),
        jnp.stack(directions, axis=1),
    )


@functools.cache
def open_skeleton() -> Skeleton:
    """Returns the skeleton of the open body."""
    with jax.ensure_compile_time_eval():
        return skeleton_of(load_body())
