"""The factorised prior: one learned density per dimension, for training-time bits.

It exists for training only. The coder's integer tables are fitted to real symbols at export
(tables.py, adaptive.py) and never come from this network's floats.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from hvc_jax.ops.gradient import lower_limit


class FactorizedPrior(nn.Module):
    """Bits of independent symbols under per-dimension learned densities.

        x ──► [matrix, bias, gate] x len(filters) ──► matrix, bias ──► logits of the CDF

    Every matrix passes through softplus and every gate through tanh (bounded by one), so the
    logits rise monotonically in x: any CDF on the line can be approximated.

    Ballé et al., "Variational image compression with a scale hyperprior", appendix 6.1.
    https://arxiv.org/abs/1802.01436

    Attributes:
      dimensions: number of coded dimensions D.
      filters: widths of the hidden layers.
      init_scale: standard deviation, in steps, that the initial densities roughly cover.
    """

    dimensions: int
    filters: tuple[int, ...] = (3, 3)
    init_scale: float = 4.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """-log2 P(x) of noisy or rounded symbols.

        Args:
          x: [*, D] in units of the quantisation step. Adding noise or rounding is the caller's.

        Returns:
          [*, D] bits, positive.
        """
        widths = (1, *self.filters, 1)
        scale = self.init_scale ** (1 / (len(widths) - 1))
        layers = []
        for i, (fan_in, fan_out) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
            start = math.log(math.expm1(1 / scale / fan_out))
            matrix = self.param(
                f"matrix_{i}",
                nn.initializers.constant(start),
                (self.dimensions, fan_in, fan_out),
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
