"""Priors: learned densities of what is sent, for training-time bits.

They exist for training, and for the encoder's search. The coder's integer tables are fitted to real
symbols at export (stream/tables_fit.py) and never come from these networks' floats.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.ops.quantise import lower_limit
from hvc_jax.stream.tables import sibling_matrix, stage_of_slots


def frames_before(track: jax.Array, before: jax.Array, count: int) -> jax.Array:
    """Vectors before each of a track [T, D], latest first: [count, T, D]; first `before` [D]."""
    whole = jnp.concatenate([jnp.broadcast_to(before, (count, *before.shape)), track])
    return jnp.stack([whole[count - 1 - k : count - 1 - k + len(track)] for k in range(count)])


class AdaptivePrior(nn.Module):
    """Bits of the next vector of a track, from what the stream's coder sees: the vectors before it,
    and of its own numbers those that are coded earlier.

        past ─► differences ─► learned gains ─► prediction ─► residual ───────────────┐
                  └─► |differences|, own and mean of all ─┐                           │
        |residuals| of earlier stages, siblings and all ──┴─► log scale ─► two logistics, one wider

    As the coder (stream/contexts.py) it predicts from earlier changes and takes the scale of the
    residual from how much moved of late, and in this frame; the coder looks farther back, mixes
    more predictors, and has tables instead of densities.
    """

    names: tuple[str, ...]  # of the coded numbers, which decide in which stage each is coded
    hidden: int = 16  # units between the magnitudes and the scale

    @nn.compact
    def __call__(self, x: jax.Array, past: jax.Array) -> jax.Array:
        """-log2 P(x) of noisy or rounded levels: [*, D] bits > 0, given those of earlier stages.

        `x`: [*, D] in units of the quantisation step; adding noise or rounding is the caller's.
        `past`: [P, *, D] the levels of the P >= 2 frames before, the latest first, treated alike.
        """
        count = len(self.names)
        changes = past[:-1] - past[1:]
        gains = self.param("gains", nn.initializers.zeros_init(), (len(changes), count))
        rest = x - past[0] - jnp.einsum("kd,k...d->...d", gains, changes)
        stages = stage_of_slots(self.names)
        earlier = (stages[:, None] < stages).astype(np.float32)
        sizes, now = jnp.log1p(jnp.abs(changes)), jnp.log1p(jnp.abs(rest))
        seen = [*sizes, *jnp.broadcast_to(sizes.mean(-1, keepdims=True), sizes.shape)]
        for part in (earlier, earlier * sibling_matrix(self.names)):
            seen.append(now @ (part / np.maximum(part.sum(0), 1)))
        own = self.param("own", nn.initializers.normal(0.1), (count, self.hidden))
        h = jnp.tanh(nn.Dense(self.hidden, name="sizes")(jnp.stack(seen, -1)) + own)
        shift, wider, share = jnp.moveaxis(nn.Dense(3, name="shape")(h), -1, 0)
        scale = jnp.exp(jnp.clip(shift, -6.0, 8.0))
        share = nn.sigmoid(share - 2.0)
        narrow = _box(rest, scale)
        wide = _box(rest, scale * (2.0 + jax.nn.softplus(wider)))
        return -jnp.log2(lower_limit((1 - share) * narrow + share * wide, 1e-9))


def _box(x: jax.Array, scale: jax.Array) -> jax.Array:
    """Probability of a step around `x` under a logistic density around 0."""
    # Mirrored, so that the difference is taken where the sigmoids are small.
    x = -jnp.abs(x)
    return jax.nn.sigmoid((x + 0.5) / scale) - jax.nn.sigmoid((x - 0.5) / scale)


class FactorizedPrior(nn.Module):
    """Bits of independent symbols under per-dimension learned densities.

        x ──► [matrix, bias, gate] x len(filters) ──► matrix, bias ──► logits of the CDF

    Every matrix passes through softplus and every gate through tanh (bounded by one), so the
    logits rise monotonically in x: any CDF on the line can be approximated.

    Ballé et al., "Variational image compression with a scale hyperprior", appendix 6.1.
    https://arxiv.org/abs/1802.01436
    """

    dimensions: int  # number of coded dimensions D
    filters: tuple[int, ...] = (3, 3)  # widths of the hidden layers
    # standard deviation, in steps, that the initial densities roughly cover
    init_scale: float = 4.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """-log2 P(x) of noisy or rounded symbols x [*, D], in steps: [*, D] bits, positive."""
        widths = (1, *self.filters, 1)
        scale = self.init_scale ** (1 / (len(widths) - 1))
        layers = []
        for i, (fan_in, fan_out) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
            start = math.log(math.expm1(1 / scale / fan_out))
            matrix = self.param(
                f"matrix_{i}", nn.initializers.constant(start), (self.dimensions, fan_in, fan_out)
            )
            bias = self.param(
                f"bias_{i}",
                lambda rng, shape: jax.random.uniform(rng, shape, minval=-0.5, maxval=0.5),
                (self.dimensions, fan_out),
            )
            gate = None
            if i < len(self.filters):
                gate = self.param(
                    f"gate_{i}", nn.initializers.zeros_init(), (self.dimensions, fan_out)
                )
            layers.append((jax.nn.softplus(matrix), bias, gate))

        def logits(points: jax.Array) -> jax.Array:
            h = points[..., None]
            for matrix, bias, gate in layers:
                h = (h[..., None] * matrix).sum(-2) + bias
                if gate is not None:
                    h = h + jnp.tanh(gate) * jnp.tanh(h)
            return h[..., 0]

        lower, upper = logits(x - 0.5), logits(x + 0.5)
        # The difference of two sigmoids loses all digits in the upper tail; there it is taken
        # between the mirrored (small) values instead.
        sign = -jnp.sign(lower + upper)
        sign = jax.lax.stop_gradient(jnp.where(sign == 0, 1.0, sign))
        likelihood = jnp.abs(jax.nn.sigmoid(sign * upper) - jax.nn.sigmoid(sign * lower))
        return -jnp.log2(lower_limit(likelihood, 1e-9))
