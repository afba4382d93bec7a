"""Supervision of a token's positions by the body's keypoints, where bodies are known.

A token encoder finds its own points without labels (FOMM), given many clips. With few, the
keypoints of the posed body tell it where to look; nothing of the body is sent or needed after
training.
"""

import functools

import jax
import jax.numpy as jnp

from hvc_jax.body import params
from hvc_jax.body.assets import load_body
from hvc_jax.body.camera import project
from hvc_jax.body.landmarks import COCO_JOINTS, Skeleton, landmarks_of, pose_points
from hvc_jax.models.token import POSITIONS
from hvc_jax.ops.rotation import axis_angle_to_matrix

SUPERVISED = POSITIONS[:13]  # without eyes and ears


@functools.cache
def _landmarks() -> Skeleton:
    with jax.ensure_compile_time_eval():
        return landmarks_of(load_body())


def body_points(body: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Where the keypoints of bodies lie in the picture.

    `body`: [B, 188] body vectors; a camera scale of 0 says that no body is known.

    Returns [B, 13, 2] positions (u, v) in [-1, 1], those outside the picture at its border, and [B,
    13], 1 where the body is known, else 0.
    """
    state = params.unpack(body)
    pose = jnp.concatenate(
        [state.global_orient[:, None], state.body_pose[:, : params.NUM_BODY_JOINTS - 1]], 1
    )
    turns = axis_angle_to_matrix(pose)
    points, _ = pose_points(_landmarks(), COCO_JOINTS, state.betas, turns)
    screen = project(points, state.camera)[:, SUPERVISED, :2]
    # At the border and not left out: a position that nothing holds wanders through the picture.
    known = jnp.broadcast_to(state.camera[:, :1] > 0, screen.shape[:2])
    return jnp.clip(screen, -1, 1), known.astype(jnp.float32)


def points_distance(latent: jax.Array, body: jax.Array) -> jax.Array:
    """Mean distance of a token's first positions to the body's keypoints, half picture widths.

    `latent`: [B, D] tokens with at least 13 positions, 26 numbers, at the head; `body`: [B, 188].
    """
    target, known = body_points(body)
    count = 2 * len(SUPERVISED)
    if latent.shape[-1] < count:
        raise ValueError(
            f"loss.points needs model.motion.points >= {len(SUPERVISED)}; set loss.points=0 or "
            "send more points"
        )
    found = latent[:, :count].reshape(-1, len(SUPERVISED), 2)
    distance = jnp.sqrt(jnp.sum((found - target) ** 2, -1) + 1e-6)
    return jnp.sum(known * distance) / (jnp.sum(known) + 1e-6)
