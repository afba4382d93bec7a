"""A first guess of every joint's rotation, from the directions of the bones alone.

In closed form, joint by joint from the pelvis outwards: trunk and head by two directions each,
limbs by the shortest turn, twisted so that elbows and knees bend the way they can.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from hvc_jax.body.landmarks import Skeleton
from hvc_jax.body.params import JOINT_INDEX, NUM_BODY_JOINTS
from hvc_jax.ops import rotation
from hvc_jax.pose.skeleton import INDEX

_STRAIGHT = 0.3  # sine of the bend below which a limb's twist is not told by it


def _unit(vector: jax.Array) -> jax.Array:
    return vector / jnp.maximum(jnp.linalg.norm(vector, axis=-1, keepdims=True), 1e-6)


def frame_of(across: jax.Array, up: jax.Array) -> jax.Array:
    """Returns rotations [*, 3, 3] whose columns are x, y, z: x along `across`, y near `up`."""
    x = _unit(across)
    z = _unit(jnp.cross(x, up))
    return jnp.stack([x, jnp.cross(z, x), z], -1)


def shortest_turn(start: jax.Array, end: jax.Array) -> jax.Array:
    """Returns rotations [*, 3, 3] that turn unit vector `start` into `end` and nothing else."""
    axis = jnp.cross(start, end)
    sine = jnp.linalg.norm(axis, axis=-1, keepdims=True)
    angle = jnp.arctan2(sine, jnp.sum(start * end, -1, keepdims=True))
    return rotation.axis_angle_to_matrix(axis / jnp.maximum(sine, 1e-6) * angle)


def _part(matrix: jax.Array, share: float) -> jax.Array:
    """Returns a share of a rotation."""
    return rotation.axis_angle_to_matrix(rotation.matrix_to_axis_angle(matrix) * share)


def _apply(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    return jnp.sum(matrix * vector[..., None, :], -1)


def _inverse(matrix: jax.Array) -> jax.Array:
    return jnp.swapaxes(matrix, -1, -2)


def limb(
    parent: jax.Array, upper: jax.Array, lower: jax.Array, rest: jax.Array, bent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns rotations [T, 3, 3] of a limb's two joints relative to their parents.

    `parent`: [T, 3, 3] rotation of what the limb hangs on; `upper`, `lower`: [T, 3] directions of
    the bones; `rest`: [3] of both at rest; `bent`: [3] that the lower bone takes when the limb is
    bent by a right angle.
    """
    turn = shortest_turn(
        jnp.broadcast_to(rest, upper.shape), _apply(_inverse(parent), _unit(upper))
    )
    inner = _apply(_inverse(parent @ turn), _unit(lower))
    aside = inner - jnp.sum(inner * rest, -1, keepdims=True) * rest
    side = jnp.cross(jnp.broadcast_to(rest, aside.shape), jnp.broadcast_to(bent, aside.shape))
    twist = jnp.arctan2(jnp.sum(aside * side, -1), jnp.sum(aside * bent, -1))
    size = jnp.linalg.norm(aside, axis=-1)
    twist = twist * jnp.clip(size / _STRAIGHT - 0.5, 0.0, 1.0)
    turn = turn @ rotation.axis_angle_to_matrix(twist[:, None] * rest)
    inner = _apply(_inverse(parent @ turn), _unit(lower))
    return turn, shortest_turn(jnp.broadcast_to(rest, inner.shape), inner)


def pose_from_directions(world: jax.Array, skeleton: Skeleton) -> jax.Array:
    """Returns rotations [T, 22, 3, 3] of bodies whose bones point as those of the landmarks.

    `world`: [T, 33, 3] landmarks, y up, z to the viewer; only directions count.
    """

    def at(name: str) -> jax.Array:
        return world[:, INDEX[name]]

    hips = at("left_hip") - at("right_hip")
    shoulders = at("left_shoulder") - at("right_shoulder")
    trunk = (at("left_shoulder") + at("right_shoulder") - at("left_hip") - at("right_hip")) / 2
    pelvis, chest = (
        frame_of(_unit(hips) + 0.3 * _unit(shoulders), trunk),
        frame_of(shoulders, trunk),
    )
    spine = _part(_inverse(pelvis) @ chest, 1 / 3)
    ears = at("left_ear") - at("right_ear")
    forward = at("nose") - (at("left_ear") + at("right_ear")) / 2
    rest = skeleton.points
    rest_forward = rest[INDEX["nose"]] - (rest[INDEX["left_ear"]] + rest[INDEX["right_ear"]]) / 2
    rest_head = frame_of(jnp.array([1.0, 0, 0]), jnp.cross(rest_forward, jnp.array([1.0, 0, 0])))
    head = frame_of(ears, jnp.cross(forward, ears)) @ _inverse(rest_head)
    neck = _part(_inverse(chest) @ head, 0.5)

    out = jnp.broadcast_to(jnp.eye(3), (len(world), NUM_BODY_JOINTS, 3, 3))
    found = {"pelvis": pelvis, "neck": neck, "head": neck}
    found |= {name: spine for name in ("spine1", "spine2", "spine3")}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        arm = [at(f"{side}_{part}") for part in ("shoulder", "elbow", "wrist")]
        leg = [at(f"{side}_{part}") for part in ("hip", "knee", "ankle")]
        found[f"{side}_shoulder"], found[f"{side}_elbow"] = limb(
            chest,
            arm[1] - arm[0],
            arm[2] - arm[1],
            jnp.array([sign, 0.0, 0.0]),
            jnp.array([0.0, 0.0, 1.0]),
        )
        found[f"{side}_hip"], found[f"{side}_knee"] = limb(
            pelvis,
            leg[1] - leg[0],
            leg[2] - leg[1],
            jnp.array([0.0, -1.0, 0.0]),
            jnp.array([0.0, 0.0, -1.0]),
        )
    index = jnp.array([JOINT_INDEX[name] for name in found])
    return out.at[:, index].set(jnp.stack(list(found.values()), 1))
