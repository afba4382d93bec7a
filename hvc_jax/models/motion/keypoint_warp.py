"""Copies of the key frame that positions carry along: whose a place is, how they turn, the mix."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.ops.warp import identity_grid, repeat_upsample, warp

_NEAREST = 3
"""Copies that are mixed at a place, besides the background."""


class Reach(NamedTuple):
    """How far each position's possession goes.

    Attributes:
      size: [K] standard deviations in half picture widths.
      level: [K] logits at the positions.
      background: [1] logit of the background everywhere.
    """

    size: jax.Array
    level: jax.Array
    background: jax.Array


class Ownership(nn.Module):
    """Which of a token's positions each place belongs to, and where it lies from there.

    A softmax over the distances to the positions and one constant for the background, whose
    position is the middle of the picture. A place and its offset from its owner go along with the
    owner from frame to frame; the background stays where it is.

    Attributes:
      points: positions K; 0 leaves the background alone.
    """

    points: int

    def setup(self) -> None:
        """How far possession goes is learned."""
        log_size = self.param("log_size", nn.initializers.constant(-2.5), (self.points,))
        level = self.param("level", nn.initializers.zeros_init(), (self.points,))
        background = self.param("background", nn.initializers.constant(-5.0), (1,))
        self.reach = Reach(jnp.exp(log_size), level, background)

    def __call__(
        self, positions: jax.Array, rows: int, columns: int
    ) -> tuple[jax.Array, jax.Array]:
        """Shares and offsets of positions [B, K, 2] on a grid.

        Args:
          positions: (u, v) in [-1, 1].
          rows: of the grid.
          columns: of the grid.

        Returns:
          Shares [B, rows, columns, K + 1] that sum to 1, the background last, and offsets [B, rows,
          columns, K + 1, 2] in half picture widths.
        """
        batch = positions.shape[0]
        grid = jnp.broadcast_to(identity_grid(rows, columns), (batch, rows, columns, 2))
        offsets = grid[..., None, :] - positions[:, None, None]
        logits = self.reach.level - jnp.sum(offsets**2, -1) / (2 * self.reach.size**2)
        background = jnp.broadcast_to(self.reach.background, (batch, rows, columns, 1))
        offsets = jnp.concatenate([offsets, grid[..., None, :]], -2)
        return jax.nn.softmax(jnp.concatenate([logits, background], -1), -1), offsets


class Placement(NamedTuple):
    """Where each position's copy of the key frame looks: at `there + linear (place - here)`.

    Attributes:
      here: [B, K, 2] positions in the target frame, (u, v) in [-1, 1].
      there: [B, K, 2] the same positions in the key frame.
      linear: [B, K, 2, 2] how what surrounds a position has turned and stretched since.
    """

    here: jax.Array
    there: jax.Array
    linear: jax.Array


class Turning(nn.Module):
    """How the surroundings of each position turned, from the positions that belong to it.

    The linear map that takes the offsets of a position's neighbours in the target frame to those
    in the key frame, by least squares (Schaefer et al., "Image deformation using moving least
    squares", SIGGRAPH 2006). Who belongs to whom is learned, beginning with the human skeleton.
    Where neighbours say nothing, across a limb for instance, it is a rotation, and where they
    coincide with the position the identity. Nothing is sent for it.

    Attributes:
      points: positions K.
    """

    points: int

    @nn.compact
    def __call__(self, here: jax.Array, there: jax.Array) -> jax.Array:
        """Linear maps [B, K, 2, 2] of positions [B, K, 2] in the target and in the key frame."""
        if not self.points:
            return jnp.zeros((here.shape[0], 0, 2, 2), here.dtype)
        weight = jax.nn.softmax(self.param("affinity", _skeleton_affinity, (self.points,) * 2), -1)
        reach = jnp.exp(self.param("log_reach", nn.initializers.constant(-2.8), (1,)))
        now = here[:, None] - here[:, :, None]  # [B, K, neighbours, 2]
        before = there[:, None] - there[:, :, None]
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
    """Logits [K, K] of who belongs to whom: bones, and the torso's corners with each other."""
    bones = {(1, 3), (3, 5), (2, 4), (4, 6), (7, 9), (9, 11), (8, 10), (10, 12)}
    bones |= {(0, 1), (0, 2), (1, 2), (1, 7), (2, 8), (7, 8), (1, 8), (2, 7)}
    bones |= {(0, face) for face in range(13, 17)} | {(13, 14)}
    logits = np.full(shape, -4.0, np.float32)
    for i, j in bones:
        if max(i, j) < shape[0]:
            logits[i, j] = logits[j, i] = 0.0
    np.fill_diagonal(logits, -9.0)  # its own offset is zero
    return jnp.asarray(logits)


def largest(shares: jax.Array, count: int) -> list[jax.Array]:
    """Indexes [..., 1] of the largest, second largest, ... of `shares` [..., K]."""
    indexes = []
    for _ in range(count):
        indexes.append(jnp.argmax(shares, -1, keepdims=True))
        shares = jnp.where(jnp.arange(shares.shape[-1]) == indexes[-1], -1.0, shares)
    return indexes


def carry(x: jax.Array, share: jax.Array, placement: Placement, reach: Reach) -> jax.Array:
    """Moved copies of a picture or of features, mixed by who owns a place.

    The owners of a cell of the grid of `share`, the `_NEAREST` with the largest shares, and the
    background are mixed by the softmax that `Ownership` takes over all.

    Args:
      x: [B, h, w, C] of the key frame.
      share: [B, h', w', K + 1] from `Ownership`, h' a divisor of h.
      placement: where the copies look.
      reach: of the positions.

    Returns:
      [B, h, w, C].
    """
    batch, rows, columns, _ = x.shape
    count = share.shape[-1] - 1
    if not count:
        return x
    cell = rows // share.shape[1]
    place = identity_grid(rows, columns)
    of_points = jnp.stack([reach.level, 0.5 / reach.size**2], -1)
    table = jnp.concatenate(
        [
            placement.here,
            placement.there,
            placement.linear.reshape(batch, count, 4),
            jnp.broadcast_to(of_points, (batch, count, 2)),
        ],
        -1,
    )
    copies, logits = [x], [jnp.broadcast_to(reach.background, (batch, rows, columns, 1))]
    for owner in largest(share[..., :-1], min(_NEAREST, count)):
        own = jnp.take_along_axis(table, owner.reshape(batch, -1, 1), 1)
        own = repeat_upsample(own.reshape(*owner.shape[:3], table.shape[-1]), cell)
        offset = place - own[..., :2]
        turned = own[..., 4:8:2] * offset[..., :1] + own[..., 5:8:2] * offset[..., 1:]
        copies.append(warp(x, own[..., 2:4] + turned))
        logits.append(own[..., 8:9] - own[..., 9:] * jnp.sum(offset**2, -1, keepdims=True))
    weights = jax.nn.softmax(jnp.concatenate(logits, -1), -1)
    return sum(copy * weights[..., i : i + 1] for i, copy in enumerate(copies))
