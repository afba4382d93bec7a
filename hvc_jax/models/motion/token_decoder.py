"""Token -> motion features at several scales, by modulated convolutions."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from hvc_jax.ops.warp import repeat_upsample

CONSTANT_SIDE = 8


class ModulatedConv(nn.Module):
    """A 3x3 convolution whose kernel a style scales by input channel, with unit output variance.

    Karras et al., "Analyzing and improving the image quality of StyleGAN" (CVPR 2020), sec. 2.2.

    Attributes:
      features: output channels.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, style: jax.Array) -> jax.Array:
        """Convolve `x` [B, H, W, C] under `style` [B, S]: [B, H, W, features]."""
        channels = x.shape[-1]
        kernel = self.param(
            "kernel", nn.initializers.lecun_normal(), (3, 3, channels, self.features)
        )
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        scale = 1 + nn.Dense(channels)(style)
        power = jnp.einsum("bc,cf->bf", scale**2, (kernel**2).sum((0, 1)))
        y = jax.lax.conv_general_dilated(
            x * scale[:, None, None],
            kernel,
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return nn.silu(y * jax.lax.rsqrt(power + 1e-8)[:, None, None] + bias) * 1.6


class TokenDecoder(nn.Module):
    """Token -> motion features, coarsest first.

        token ─► dense ─► dense ─► style ────┐
        learned constant ─► conv ─► conv ─► m1 ─► x 2 ─► conv ─► conv ─► m2 ─► x 2 ─► ...
        token, if it is a map ─► dense (+) at every scale

    The latent token decoder of Implicit Motion Function (Gao et al., CVPR 2024, sec. 3.2), with two
    convolutions a scale.

    Attributes:
      widths: channels of the motion features, coarsest scale first.
      style: width of the style.
      map_side: cells along each side of the map that the token is; 0 = it has no places.
    """

    widths: tuple[int, ...]
    style: int
    map_side: int = 0

    @nn.compact
    def __call__(self, token: jax.Array, rows: int, columns: int) -> list[jax.Array]:
        """Features of `token` [B, D]: [B, rows * 2**i, columns * 2**i, widths[i]] for each i."""
        batch = token.shape[0]
        style = nn.silu(nn.Dense(self.style)(token))
        style = nn.silu(nn.Dense(self.style)(style))
        shape = (CONSTANT_SIDE, CONSTANT_SIDE, self.widths[0])
        constant = self.param("constant", nn.initializers.normal(1.0), shape)
        x = jax.image.resize(constant, (rows, columns, self.widths[0]), "linear", antialias=True)
        x = jnp.broadcast_to(x, (batch, *x.shape))
        scales = []
        for i, width in enumerate(self.widths):
            if i:
                x = repeat_upsample(x, 2)
            x = ModulatedConv(width)(x, style)
            if self.map_side:
                side = self.map_side
                places = token.reshape(batch, side, side, -1)
                places = jax.image.resize(
                    places, (batch, *x.shape[1:3], places.shape[-1]), "linear", antialias=True
                )
                x = x + nn.Dense(width)(places)
            x = ModulatedConv(width)(x, style)
            scales.append(x)
        return scales
