"""Inverse kinematics: a joint is dragged and the rotations above it follow.

Levenberg-Marquardt on the joint's position, with the Jacobian through the layer's own tree of
joints, rotations near those at the start preferred, and joint limits kept by projection.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.assets import Body
from hvc_jax.body.lbs import shaped, world_transforms
from hvc_jax.body.params import BODY_VECTOR_SIZE, JOINT_INDEX, POSE, VECTOR_INDEX, unpack
from hvc_jax.ops import rotation
from hvc_jax.stream.schema import Schema

DRAGGED = ("head", "left_wrist", "right_wrist", "left_elbow", "right_elbow")
DRAGGED += ("left_ankle", "right_ankle", "left_knee", "right_knee")
"""Joints that can be dragged where what moves them is sent."""

_STEPS = 30
_STIFFNESS = 0.02
"""Metres that one radian of change is worth: keeps unneeded joints where they are."""

# Largest angle of a joint against its rest, radians, about any axis. Elbows and knees bend about
# one axis; a shoulder comes down by 75 degrees from the T-pose and forward beyond that.
_LIMITS = {"neck": 0.8, "head": 0.9, "shoulder": 2.2, "elbow": 2.6, "hip": 2.1, "knee": 2.6}
_OTHER_LIMIT = 1.0


def movable(schema: Schema, joint: str, parents: tuple[int, ...]) -> list[str]:
    """Names of the slots, sent with every frame, that move `joint`, but for the pelvis."""
    above, place = [], parents[JOINT_INDEX[joint]]
    while place > 0:
        above.append(place)
        place = parents[place]
    names = {f"{name}_{axis}" for name, i in JOINT_INDEX.items() if i in above for axis in "xyz"}
    return [slot.name for slot in schema.dynamic if slot.name in names]


def joint_positions(body: Body, vector: jax.Array) -> jax.Array:
    """Joints [J, 3], metres from the pelvis, of a body vector [188]."""
    state = unpack(vector)
    pose = jnp.concatenate([state.global_orient[None], state.body_pose])
    _, rest = shaped(body, state.betas, state.expression[..., : body.num_expression])
    _, joints = world_transforms(rotation.axis_angle_to_matrix(pose), rest, body.parents)
    return joints - joints[:1]


def solve(
    body: Body, vector: np.ndarray, joint: str, target: np.ndarray, slots: list[str]
) -> np.ndarray:
    """The vector [188] whose `joint` is as near to `target` as limits allow, by `slots` alone.

    `body`: with the 55 joints; `joint`: one of `DRAGGED`; `target`: [3] metres from the pelvis;
    `slots`: from `movable`; not empty. Raises ValueError: Nothing that is sent moves the joint, or
    a target that is not finite.
    """
    if not slots:
        raise ValueError(f"nothing that is sent with every frame moves {joint.replace('_', ' ')}")
    if not np.isfinite(target).all():
        raise ValueError("the joint was dragged to no place; drag it again")
    columns = np.array([VECTOR_INDEX[name] for name in slots])
    moved = _solve(body, jnp.asarray(vector, jnp.float32), columns, JOINT_INDEX[joint], target)
    return np.asarray(moved)


def limits() -> np.ndarray:
    """[188] largest size of the axis-angle vector that every entry belongs to; inf elsewhere."""
    most = np.full(BODY_VECTOR_SIZE, np.inf)
    for name, place in JOINT_INDEX.items():
        if place:
            at = POSE.start + 3 * place
            most[at : at + 3] = _LIMITS.get(name.rpartition("_")[2], _OTHER_LIMIT)
    return most


@functools.partial(jax.jit, static_argnums=(3,))
def _solve(
    body: Body, start: jax.Array, columns: jax.Array, joint: int, target: jax.Array
) -> jax.Array:
    most = jnp.asarray(limits(), jnp.float32)

    def residuals(moved: jax.Array) -> jax.Array:
        vector = start.at[columns].set(moved)
        error = joint_positions(body, vector)[joint] - target
        return jnp.concatenate([error, _STIFFNESS * (moved - start[columns])])

    def step(_: int, moved: jax.Array) -> jax.Array:
        error, slope = residuals(moved), jax.jacfwd(residuals)(moved)
        normal = slope.T @ slope + 1e-4 * jnp.eye(len(moved))
        change = jnp.linalg.solve(normal, slope.T @ error)
        change *= jnp.minimum(1.0, 0.3 / jnp.maximum(jnp.abs(change).max(), 1e-9))
        vector = start.at[columns].set(moved - change)
        pose = vector[POSE].reshape(-1, 3)
        length = jnp.linalg.norm(pose, axis=-1, keepdims=True)
        bound = most[POSE].reshape(-1, 3)
        # A pose that is beyond a limit already may stay there, but goes no further.
        before = jnp.linalg.norm(start[POSE].reshape(-1, 3), axis=-1, keepdims=True)
        bound = jnp.maximum(bound, before)
        pose *= jnp.minimum(1.0, bound / jnp.maximum(length, 1e-9))
        return vector.at[POSE].set(pose.reshape(-1))[columns]

    return start.at[columns].set(jax.lax.fori_loop(0, _STEPS, step, start[columns]))
