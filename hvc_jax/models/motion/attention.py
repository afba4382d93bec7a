"""Cross-attention between motion features: where a frame shows what its key picture shows."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from hvc_jax.ops.warp import identity_grid

OCTAVES = 6


def positional_code(height: int, width: int) -> jax.Array:
    """Sines and cosines of cell positions: [height, width, 4 * OCTAVES], in [-1, 1].

    Periods are 4, 2, 1, ... half picture sides, so that a model meets the same values at every
    size. The product of two codes depends on the distance of the cells alone.
    """
    grid = identity_grid(height, width)[..., None]
    angles = grid * (jnp.pi * 2.0 ** (jnp.arange(OCTAVES) - 1))
    waves = jnp.stack([jnp.sin(angles), jnp.cos(angles)], -1)
    return waves.reshape(height, width, 4 * OCTAVES)


class Attended(NamedTuple):
    """What attention makes of a key picture's cells.

    Attributes:
      values: [B, h, w, V] weighted means of the key's values.
      look: [B, h, w, 2] expected position (u, v) in [-1, 1] among the key's cells.
      found: [B, h, w, 1] weight of the key's cells; the rest went to the null keys.
    """

    values: jax.Array
    look: jax.Array
    found: jax.Array


def attend(
    query: jax.Array,
    key: jax.Array,
    values: jax.Array,
    null_key: jax.Array,
    null_values: jax.Array,
    kept: jax.Array | None = None,
) -> Attended:
    """softmax(Q K^T) V over all cells of the key picture and some null keys.

    Args:
      query: [B, h, w, D] of the target frame.
      key: [B, h, w, D] of the key picture.
      values: [B, h, w, V] of the key picture.
      null_key: [N, D], somewhere to look for what the key picture does not show (Mallya et al.,
        "Implicit warping", arXiv 2210.01794, sec. 3.2).
      null_values: [N, V].
      kept: [B, h * w] booleans, the cells that can be looked at; None = all.
    """
    batch, rows, columns, _ = query.shape
    cells = rows * columns
    flat = [x.reshape(batch, cells, -1) for x in (query, key, values)]
    logits = jnp.einsum("bqd,bkd->bqk", flat[0], flat[1])
    if kept is not None:
        logits = jnp.where(kept[:, None], logits, -1e9)
    nulls = jnp.einsum("bqd,nd->bqn", flat[0], null_key)
    weights = jax.nn.softmax(jnp.concatenate([logits, nulls], -1), -1)
    real, null = weights[..., :cells], weights[..., cells:]
    grid = jnp.broadcast_to(identity_grid(rows, columns).reshape(1, cells, 2), (batch, cells, 2))
    seen = jnp.einsum("bqk,bkv->bqv", real, jnp.concatenate([flat[2], grid], -1))
    found = real.sum(-1, keepdims=True)
    moved = seen[..., :-2] + null @ null_values
    shape = (batch, rows, columns)
    look = seen[..., -2:] / (found + 1e-6)
    return Attended(*(x.reshape(*shape, -1) for x in (moved, look, found)))


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


class CrossAttention(nn.Module):
    """Values of the key picture for every cell of the target frame, by their motion features.

        motion ─► match (+ point) (+ position) ─► Q ─┐
          both motions ─► point ──┘                  │
        key's motion ─► match (+ position) ─────► K ─┴─► softmax(Q K^T) V

    Q and K are sums of a projection and a positional code (Gao et al., "Implicit motion function",
    CVPR 2024, sec. 3.3). One projection serves both frames, so that cells that show the same can
    agree; another, of both and zero at the start, can point to a position. Positions decide at the
    start: an untrained model looks at the same cell.

    Attributes:
      width: channels of Q and K, at least 4 * OCTAVES.
      nulls: null keys.
      dropout: share of the key's cells that are hidden in training (where there is the rng stream
        "noise"), so that queries do not depend on one cell (arXiv 2210.01794, sec. 3.2).
      window: side of the windows in cells inside which to look; 0, or a size that does not divide
        both sides, looks everywhere.
    """

    width: int
    nulls: int
    dropout: float
    window: int = 0

    @nn.compact
    def __call__(self, motion: jax.Array, key_motion: jax.Array, values: jax.Array) -> Attended:
        """The key's `values` [B, h, w, V], by motion features [B, h, w, C] of both frames."""
        batch, rows, columns, _ = motion.shape
        sharpness = self.param("log_octave", nn.initializers.constant(0.2), (OCTAVES,))
        code = positional_code(rows, columns) * jnp.tile(jnp.repeat(jnp.exp(sharpness), 2), 2)
        code = jnp.pad(code, ((0, 0), (0, 0), (0, self.width - code.shape[-1])))
        match = nn.Dense(self.width, kernel_init=nn.initializers.normal(0.05), name="match")
        point = nn.Dense(self.width, kernel_init=nn.initializers.zeros_init(), name="point")
        query = match(motion) + point(jnp.concatenate([motion, key_motion], -1)) + code
        key = match(key_motion) + code
        small = nn.initializers.normal(0.02)
        null_key = self.param("null_key", small, (self.nulls, self.width))
        null_values = self.param("null_values", small, (self.nulls, values.shape[-1]))
        side = self.window
        inside = bool(side) and not rows % side and not columns % side
        if inside:
            query, key, values = (windows(x, side) for x in (query, key, values))
        kept = None
        if self.dropout and self.has_rng("noise"):
            shape = (key.shape[0], key.shape[1] * key.shape[2])
            kept = jax.random.bernoulli(self.make_rng("noise"), 1 - self.dropout, shape)
        found = attend(query, key, values, null_key, null_values, kept)
        if inside:
            centres = jnp.broadcast_to(identity_grid(rows, columns), (batch, rows, columns, 2))
            # Inside a window positions are relative to it.
            middle = windows(centres, side).mean((1, 2), keepdims=True)
            scale = jnp.array([side / columns, side / rows])
            found = found._replace(look=found.look * scale + middle)
            found = Attended(*(from_windows(x, batch, rows, columns) for x in found))
        return found
