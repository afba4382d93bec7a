"""Building blocks that every network here is made of."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from hvc_jax.ops.warp import repeat_upsample, space_to_depth


class Conv(nn.Module):
    """A convolution with `SAME` padding: [B, H, W, C] -> [B, H, W, features]."""

    features: int  # output channels
    kernel: int = 3  # side of the square kernel, pixels
    zero: bool = False  # start at zero, for heads that must not act before they have learned to
    bias: float = 0.0  # where the biases start

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve `x` [B, H, W, C]."""
        init = nn.initializers.zeros_init() if self.zero else nn.initializers.lecun_normal()
        bias = nn.initializers.constant(self.bias)
        size = (self.kernel, self.kernel)
        return nn.Conv(self.features, size, kernel_init=init, bias_init=bias)(x)


class ResBlock(nn.Module):
    """Pre-activation residual block; a 1x1 convolution adapts the skip where widths differ.

        x ─► RMSNorm ─► SiLU ─► conv3 ─► RMSNorm ─► SiLU ─► conv3 ─(+)─►
        └────────────────────────── skip ─────────────────────────┘

    RMSNorm over channels keeps no batch statistics and is the cheapest norm on CPU.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Transform `x` [B, H, W, C] to [B, H, W, features]."""
        skip = x if x.shape[-1] == self.features else Conv(self.features, 1)(x)
        h = Conv(self.features)(nn.silu(nn.RMSNorm()(x)))
        return skip + Conv(self.features, zero=True)(nn.silu(nn.RMSNorm()(h)))


class SpadeBlock(nn.Module):
    """Residual block whose normalisation is modulated at each pixel by `maps`.

    Park et al., "Semantic image synthesis with spatially-adaptive normalization", sec. 3.
    https://arxiv.org/abs/1903.07291
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, maps: jax.Array) -> jax.Array:
        """Transform `x` [B, H, W, C] to [B, H, W, features], steered by `maps` [B, H, W, M]."""
        skip = x if x.shape[-1] == self.features else Conv(self.features, 1)(x)
        hidden = nn.silu(Conv(self.features // 2)(maps))
        gamma, beta = jnp.split(Conv(2 * x.shape[-1], zero=True)(hidden), 2, axis=-1)
        h = nn.RMSNorm()(x) * (1 + gamma) + beta
        h = nn.silu(nn.RMSNorm()(Conv(self.features)(nn.silu(h))))
        return skip + Conv(self.features, zero=True)(h)


class Down(nn.Module):
    """Half the resolution: space-to-depth, then a 1x1 convolution; nothing is thrown away."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Halve `x` [B, H, W, C] to [B, H/2, W/2, features]."""
        return Conv(self.features, 1)(space_to_depth(x, 2))


class Up(nn.Module):
    """Twice the resolution: 3x3 convolution, then repetition.

    Convolving before repeating costs a quarter of the other order; transposed convolutions are
    an order of magnitude slower on CPU.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Double `x` [B, H, W, C] to [B, 2 H, 2 W, features]."""
        return repeat_upsample(Conv(self.features)(x), 2)


class TransformerBlock(nn.Module):
    """Self-attention and a feed-forward layer over tokens [B, N, C]; `heads` divide C."""

    heads: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Attend over `x` [B, N, C]."""
        channels = x.shape[-1]
        h = nn.RMSNorm()(x)
        q, k, v = (
            nn.Dense(channels, use_bias=False, name=name)(h).reshape(
                *x.shape[:2], self.heads, channels // self.heads
            )
            for name in ("query", "key", "value")
        )
        h = jax.nn.dot_product_attention(q, k, v).reshape(x.shape)
        x = x + nn.Dense(channels, kernel_init=nn.initializers.zeros_init(), name="out")(h)
        h = nn.silu(nn.Dense(2 * channels, name="expand")(nn.RMSNorm()(x)))
        return x + nn.Dense(channels, kernel_init=nn.initializers.zeros_init(), name="reduce")(h)
