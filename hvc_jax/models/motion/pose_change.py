"""A decoded frame in another pose: the mesh flow between two poses of the same frame.

Where the poses agree the frame stays as it is, so that a frame that was not edited, or a part of
the body that was not, is exactly what was decoded, however badly the body was fitted.
"""

import jax
import jax.numpy as jnp

from hvc_jax.models.motion.mesh_flow import key_mesh, mesh_motion
from hvc_jax.ops.fill import pull_push
from hvc_jax.ops.warp import average_pool, identity_grid, resize_grid, warp

_SCALE = 2
"""Pixels of the picture along a side of a pixel of the mesh flow."""

_STILL = 0.02
"""Displacements below this many pixels count as none."""


def change_pose(frames: jax.Array, sent: jax.Array, edited: jax.Array) -> jax.Array:
    """Frames [B, H, W, 3] in [0, 1] with the body moved from one pose to another, [B, 188] each.

    What the body no longer covers is filled from the background around it.
    """
    batch, height, width, _ = frames.shape
    rows, columns = height // _SCALE, width // _SCALE
    mesh = key_mesh(sent, rows, columns)
    motion = mesh_motion(mesh, edited)
    displacement = (motion.grid - identity_grid(rows, columns)) * jnp.array([width, height]) / 2
    moved = jnp.linalg.norm(displacement, axis=-1, keepdims=True) > _STILL
    grid = jnp.where(moved, motion.grid, identity_grid(rows, columns))
    shown = warp(frames, resize_grid(grid, height, width))
    background = pull_push(average_pool(frames, _SCALE), 1 - mesh.near)
    enlarge = lambda x: jax.image.resize(x, (batch, height, width, x.shape[-1]), "bilinear")  # noqa: E731
    near = enlarge(moved.astype(frames.dtype))
    left = jnp.clip(enlarge(motion.left), 0, 1)
    shown = shown + left * (enlarge(background) - shown)
    return jnp.where(near + left > 0, shown, frames)
