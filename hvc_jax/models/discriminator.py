"""The patch discriminator of the adversarial loss; used in training only."""

import flax.linen as nn
import jax

from hvc_jax.ops.warp import space_to_depth


class Discriminator(nn.Module):
    """Scores of overlapping patches, and the features that feature matching compares.

        picture ─► [2x2 to depth ─► conv 3x3 (weight-normalised) ─► leaky ReLU] x depth ─► conv ─►
                                                                  │
                                                               features

    Halving by space-to-depth and a plain convolution has the receptive field of the usual strided
    4x4 one, whose backward pass is slow on CPU. Weight normalisation bounds the layers without
    the running state that spectral normalisation needs.

    Isola et al., "Image-to-image translation with conditional adversarial networks", sec. 3.2.2.
    https://arxiv.org/abs/1611.07004
    """

    width: int = 32  # channels after the first halving; doubled at each next one, at most 8 times
    depth: int = 4  # number of halvings

    @nn.compact
    def __call__(self, picture: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        """Scores and features of pictures.

        `picture`: [B, H, W, C] in [0, 1]; H and W divisible by 2 ** depth. C = 6 where the key
        picture stands beside the picture to judge.

        Returns scores [B, H / 2^depth, W / 2^depth, 1], high for real; and one [B, h, w, c] of
        features a layer.
        """
        x = picture * 2 - 1
        features = []
        for level in range(self.depth):
            channels = self.width * min(2**level, 8)
            convolution = nn.Conv(channels, (3, 3), name=f"conv_{level}")
            x = nn.WeightNorm(convolution, name=f"normed_{level}")(space_to_depth(x, 2))
            x = nn.leaky_relu(x, 0.2)
            features.append(x)
        return nn.Conv(1, (3, 3), name="score")(x), features
