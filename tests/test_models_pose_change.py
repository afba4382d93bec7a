"""A decoded frame in another pose."""

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.params import JOINT_INDEX, POSE, identity_vector
from hvc_jax.models.motion.pose_change import change_pose

CHANGE = jax.jit(change_pose)


def test_equal_poses_leave_the_frame_bit_by_bit() -> None:
    frames = jax.random.uniform(jax.random.key(0), (1, 64, 64, 3))
    body = jnp.asarray(identity_vector())[None]
    np.testing.assert_array_equal(CHANGE(frames, body, body), frames)


def test_only_the_edited_part_moves() -> None:
    frames = jax.random.uniform(jax.random.key(1), (1, 64, 64, 3))
    body = identity_vector()
    edited = body.copy()
    edited[POSE.start + 3 * JOINT_INDEX["left_shoulder"] + 2] = -0.8
    changed = np.asarray(CHANGE(frames, jnp.asarray(body)[None], jnp.asarray(edited)[None]))
    difference = np.abs(changed - frames)[0].max(-1)
    assert difference.max() > 0.2
    columns = np.flatnonzero(difference.max(0) > 1e-3)
    assert columns.min() >= 28  # the left arm of who faces the camera is right in the picture
    assert (difference[:, :28] == 0).all()
