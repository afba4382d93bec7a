"""Cross-attention over a key picture's cells: where a frame looks for what it shows."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from hvc_jax.models.layers import Conv
from hvc_jax.ops.warp import identity_grid

OCTAVES = 6


def positional_code(height: int, width: int) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines of cell positions, each [height, width, 2 * OCTAVES].

    Periods are 4, 2, 1, ... half picture sides, so that a model meets the same values at every
    size. The product of two codes depends on the distance of the cells alone.
    """
    grid = identity_grid(height, width)[..., None]
    angles = (grid * (jnp.pi * 2.0 ** (jnp.arange(OCTAVES) - 1))).reshape(height, width, -1)
    return jnp.cos(angles), jnp.sin(angles)


class Attended(NamedTuple):
    """What attention makes of a key picture's cells.

    Attributes:
      values: [B, h, w, V] weighted sums of the key's values.
      look: [B, h, w, 2] expected position (u, v) in [-1, 1] among the key's cells.
      found: [B, h, w, 1] weight of the key's cells; the rest went to the null keys.
      null: [B, h, w, N] weights of the null keys.
    """

    values: jax.Array
    look: jax.Array
    found: jax.Array
    null: jax.Array


def attend(
    query: jax.Array,
    key: jax.Array,
    values: jax.Array,
    null: jax.Array | None = None,
    window: int = 0,
    dropped: jax.Array | None = None,
) -> Attended:
    """softmax(Q K^T) V over cells of the key picture, beside some null keys.

    Args:
      query: [B, h, w, D] of the target frame.
      key: [B, h, w, D] of the key picture.
      values: [B, h, w, V] of the key picture.
      null: [B, h, w, N] logits of null keys, somewhere to look for what the key picture does not
        show (Mallya et al., "Implicit warping", arXiv 2210.01794, sec. 3.2); None = no such keys.
      window: side of square windows in cells, even; a cell looks inside its window and half a
        side around it. 0, or a size that does not divide both sides, looks everywhere.
      dropped: [B, h, w, 1], 1 for the key's cells that cannot be looked at; None = all can.
    """
    batch, rows, columns, _ = query.shape
    if null is None:
        null = jnp.zeros((batch, rows, columns, 0))
    shown = jnp.ones((batch, rows, columns, 1)) if dropped is None else 1 - dropped
    places = jnp.broadcast_to(identity_grid(rows, columns), (batch, rows, columns, 2))
    values = jnp.concatenate([values, places, jnp.ones_like(shown), shown], -1)
    inside = bool(window) and not rows % window and not columns % window and rows > window
    if inside:
        query, null = windows(query, window), windows(null, window)
        key, values = halo_windows(key, window), halo_windows(values, window)
    parts = (query, key, values, null)
    flat = [x.reshape(x.shape[0], x.shape[1] * x.shape[2], x.shape[3]) for x in parts]
    logits = jnp.einsum("bqd,bkd->bqk", flat[0], flat[1])
    if inside or dropped is not None:  # what is beyond the border has no weight either
        logits = jnp.where(flat[2][:, None, :, -1] > 0, logits, -1e9)
    weights = jax.nn.softmax(jnp.concatenate([logits, flat[3]], -1), -1)
    real, missed = weights[..., : logits.shape[-1]], weights[..., logits.shape[-1] :]
    seen = jnp.einsum("bqk,bkv->bqv", real, flat[2][..., :-1])
    both = jnp.concatenate([seen, missed], -1).reshape(*query.shape[:3], -1)
    if inside:
        both = from_windows(both, batch, rows, columns)
    count = values.shape[-1] - 4
    found = both[..., count + 2 : count + 3]
    look = both[..., count : count + 2] / (found + 1e-6)
    return Attended(both[..., :count], look, found, both[..., count + 3 :])


def windows(x: jax.Array, side: int) -> jax.Array:
    """[B, H, W, C] -> [B * windows, side, side, C], in order; `from_windows` is the inverse."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // side, side, w // side, side, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, side, side, c)


def from_windows(x: jax.Array, batch: int, height: int, width: int) -> jax.Array:
    """[B * windows, side, side, C] -> [batch, height, width, C]."""
    side, channels = x.shape[1], x.shape[-1]
    x = x.reshape(batch, height // side, width // side, side, side, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height, width, channels)


def halo_windows(x: jax.Array, side: int) -> jax.Array:
    """The `windows` of x [B, H, W, C] and half a side around each: [B * windows, 2 side, 2 side, C].

    What lies outside x is zero. Slices alone: nothing is looked up by position.
    """  # noqa: E501
    half = side // 2
    x = jnp.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
    for axis in (1, 3):  # rows, then columns behind the rows' two axes
        count = x.shape[axis] // half
        x = x.reshape(*x.shape[:axis], count, half, *x.shape[axis + 1 :])
        parts = [jax.lax.slice_in_dim(x, i, count - 3 + i, stride=2, axis=axis) for i in range(4)]
        x = jnp.concatenate(parts, axis + 1)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, 2 * side, 2 * side, x.shape[-1])


class CrossAttention(nn.Module):
    """Values of the key picture for every cell of the target frame.

        motion ─┬─► angles ─► positional code of the cell, turned ─┐
                └─► what to look for ──────────────────────────────┴─► Q ─┐
        positional code, what the key's features show ────────────────► K ─┴─► softmax(Q K^T) V

    Q and K join a positional code and learned features (Gao et al., "Implicit motion function",
    CVPR 2024, sec. 3.3). The motion features turn each wave of the query's code by an angle of its
    own and say how sharply it counts, as rotary embeddings (Su et al., arXiv 2104.09864) turn by
    the position: a sum cannot move a code, a turn does. An untrained model looks at the same cell.

    Attributes:
      match: channels of the learned part of Q and K.
      nulls: null keys.
      dropout: share of the key's cells that are hidden in training (where there is the rng stream
        "noise"), so that queries do not depend on one cell (arXiv 2210.01794, sec. 3.2).
      window: as of `attend`.
    """

    match: int
    nulls: int
    dropout: float
    window: int = 0

    @nn.compact
    def __call__(self, motion: jax.Array, content: jax.Array, values: jax.Array) -> Attended:
        """The key's `values` [B, h, w, V] for a frame.

        Args:
          motion: [B, h, w, C] motion features of the frame.
          content: [B, h, w, F] features of the key picture.
          values: [B, h, w, V] of the key picture.
        """
        batch, rows, columns, _ = motion.shape
        cosine, sine = positional_code(rows, columns)
        angle = Conv(2 * OCTAVES, 1, zero=True, name="turn")(motion)
        sharpness = self.param("log_octave", nn.initializers.constant(0.2), (OCTAVES,))
        weight = jnp.exp(
            jnp.tile(sharpness, 2) + Conv(2 * OCTAVES, 1, zero=True, name="sharpen")(motion)
        )
        turned = (
            cosine * jnp.cos(angle) - sine * jnp.sin(angle),
            sine * jnp.cos(angle) + cosine * jnp.sin(angle),
        )
        wanted = nn.Dense(self.match, kernel_init=nn.initializers.zeros_init(), name="wanted")
        shown = nn.Dense(self.match, name="shown")
        place = jnp.broadcast_to(
            jnp.concatenate([cosine, sine], -1), (batch, rows, columns, 4 * OCTAVES)
        )
        query = jnp.concatenate([weight * turned[0], weight * turned[1], wanted(motion)], -1)
        key = jnp.concatenate([place, shown(content)], -1)
        null = nn.Dense(self.nulls, name="null")(motion)
        dropped = None
        if self.dropout and self.has_rng("noise"):
            shape = (batch, rows, columns, 1)
            dropped = jax.random.bernoulli(self.make_rng("noise"), self.dropout, shape)
            dropped = dropped.astype(jnp.float32)
        found = attend(query, key, values, null, self.window, dropped)
        small = nn.initializers.normal(0.02)
        null_values = self.param("null_values", small, (self.nulls, values.shape[-1]))
        return found._replace(values=found.values + found.null @ null_values)
