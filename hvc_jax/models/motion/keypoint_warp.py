"""First-order motion: soft masks around keypoints, an affine map of each, the mix of warps."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.ops.warp import identity_grid, repeat_upsample, warp

_NEAREST = 3
"""Warps that are mixed at a pixel, besides the background."""


class MaskShape(NamedTuple):
    """Gaussians whose softmax are the masks."""

    size: jax.Array  # [K] standard deviations in half picture widths
    level: jax.Array  # [K] logits at the keypoints
    background: jax.Array  # [1] logit of the background everywhere


class SoftMasks(nn.Module):
    """How far each pixel belongs to each keypoint, by a softmax over Gaussians around them.

    The background has one constant logit, and the middle of the picture as its position.
    `points`: keypoints K.
    """

    points: int

    def setup(self) -> None:
        """The shape of the masks is learned."""
        log_size = self.param("log_size", nn.initializers.constant(-2.5), (self.points,))
        level = self.param("level", nn.initializers.zeros_init(), (self.points,))
        background = self.param("background", nn.initializers.constant(-5.0), (1,))
        self.shape = MaskShape(jnp.exp(log_size), level, background)

    def __call__(
        self, positions: jax.Array, rows: int, columns: int
    ) -> tuple[jax.Array, jax.Array]:
        """Masks [B, rows, columns, K + 1] that sum to 1, the background last, and offsets.

        `positions`: [B, K, 2] keypoints (u, v) in [-1, 1]; offsets [B, rows, columns, K + 1, 2] are
        from the keypoints, in half picture widths.
        """
        batch = positions.shape[0]
        grid = jnp.broadcast_to(identity_grid(rows, columns), (batch, rows, columns, 2))
        offsets = grid[..., None, :] - positions[:, None, None]
        logits = self.shape.level - jnp.sum(offsets**2, -1) / (2 * self.shape.size**2)
        background = jnp.broadcast_to(self.shape.background, (batch, rows, columns, 1))
        offsets = jnp.concatenate([offsets, grid[..., None, :]], -2)
        return jax.nn.softmax(jnp.concatenate([logits, background], -1), -1), offsets


class AffineMotion(NamedTuple):
    """Where each keypoint's warp samples the key frame: `source + linear (pixel - target)`."""

    target: jax.Array  # [B, K, 2] keypoints in the target frame, (u, v) in [-1, 1]
    source: jax.Array  # [B, K, 2] the same keypoints in the key frame
    linear: jax.Array  # [B, K, 2, 2]


class LocalAffine(nn.Module):
    """The linear part of each keypoint's map, from its neighbours; nothing is sent for it.

    The map that takes the offsets of a keypoint's neighbours in the target frame to those in the
    key frame, by least squares (Schaefer et al., "Image deformation using moving least squares",
    SIGGRAPH 2006). Weights of neighbours are learned, beginning with the human skeleton. Where
    neighbours do not determine it, across a limb for instance, it is a rotation, and where they
    coincide with the keypoint the identity.
    `points`: keypoints K.
    """

    points: int

    @nn.compact
    def __call__(self, target: jax.Array, source: jax.Array) -> jax.Array:
        """Linear maps [B, K, 2, 2] of keypoints [B, K, 2] in the target and in the key frame."""
        weight = jax.nn.softmax(self.param("affinity", _skeleton_affinity, (self.points,) * 2), -1)
        reach = jnp.exp(self.param("log_reach", nn.initializers.constant(-2.8), (1,)))
        now = target[:, None] - target[:, :, None]  # [B, K, neighbours, 2]
        before = source[:, None] - source[:, :, None]
        trust = reach**2
        moment = jnp.einsum("kj,bkji,bkjl->bkil", weight, before, now)
        # The rotation that fits best: the angle of the moment's antisymmetric and trace parts.
        cosine = moment[..., 0, 0] + moment[..., 1, 1] + trust
        sine = moment[..., 1, 0] - moment[..., 0, 1]
        length = jnp.sqrt(cosine**2 + sine**2 + 1e-12)
        cosine, sine = cosine / length, sine / length
        rotation = jnp.stack([cosine, -sine, sine, cosine], -1).reshape(moment.shape)
        spread = jnp.einsum("kj,bkji,bkjl->bkil", weight, now, now) + trust * jnp.eye(2)
        a, b, d = spread[..., 0, 0], spread[..., 0, 1], spread[..., 1, 1]
        inverse = jnp.stack([d, -b, -b, a], -1).reshape(moment.shape)
        inverse /= (a * d - b**2)[..., None, None]
        return (moment + trust * rotation) @ inverse


def _skeleton_affinity(_: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Logits [K, K] of neighbours: bones, and the torso's corners with each other."""
    bones = {(1, 3), (3, 5), (2, 4), (4, 6), (7, 9), (9, 11), (8, 10), (10, 12)}
    bones |= {(0, 1), (0, 2), (1, 2), (1, 7), (2, 8), (7, 8), (1, 8), (2, 7)}
    bones |= {(0, face) for face in range(13, 17)} | {(13, 14)}
    logits = np.full(shape, -4.0, np.float32)
    for i, j in bones:
        if max(i, j) < shape[0]:
            logits[i, j] = logits[j, i] = 0.0
    np.fill_diagonal(logits, -9.0)  # its own offset is zero
    return jnp.asarray(logits)


def largest(weights: jax.Array, count: int) -> list[jax.Array]:
    """Indexes [..., 1] of the largest, second largest, ... of `weights` [..., K]."""
    indexes = []
    for _ in range(count):
        indexes.append(jnp.argmax(weights, -1, keepdims=True))
        weights = jnp.where(jnp.arange(weights.shape[-1]) == indexes[-1], -1.0, weights)
    return indexes


def warp_by_keypoints(
    x: jax.Array, masks: jax.Array, motion: AffineMotion, shape: MaskShape
) -> jax.Array:
    """A picture or features of the key frame, warped by every keypoint and mixed by soft masks.

    Of each cell of `masks` the `_NEAREST` keypoints of largest weight and the background are
    warped, and mixed by the softmax that `SoftMasks` takes over all. `x`: [B, h, w, C], as is
    returned; `masks`: [B, h', w', K + 1] from `SoftMasks` of `shape`, h' a divisor of h.
    """
    batch, rows, columns, _ = x.shape
    count = masks.shape[-1] - 1
    if not count:
        return x
    cell = rows // masks.shape[1]
    place = identity_grid(rows, columns)
    of_points = jnp.stack([shape.level, 0.5 / shape.size**2], -1)
    table = jnp.concatenate(
        [
            motion.target,
            motion.source,
            motion.linear.reshape(batch, count, 4),
            jnp.broadcast_to(of_points, (batch, count, 2)),
        ],
        -1,
    )
    copies, logits = [x], [jnp.broadcast_to(shape.background, (batch, rows, columns, 1))]
    for index in largest(masks[..., :-1], min(_NEAREST, count)):
        own = jnp.take_along_axis(table, index.reshape(batch, -1, 1), 1)
        own = repeat_upsample(own.reshape(*index.shape[:3], table.shape[-1]), cell)
        offset = place - own[..., :2]
        turned = own[..., 4:8:2] * offset[..., :1] + own[..., 5:8:2] * offset[..., 1:]
        copies.append(warp(x, own[..., 2:4] + turned))
        logits.append(own[..., 8:9] - own[..., 9:] * jnp.sum(offset**2, -1, keepdims=True))
    weights = jax.nn.softmax(jnp.concatenate(logits, -1), -1)
    return sum(copy * weights[..., i : i + 1] for i, copy in enumerate(copies))
