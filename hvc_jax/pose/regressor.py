r"""The network that finds a person's body vector in a picture.

    picture [B,128,128,3] -- `KeypointNet` --> heat maps [B,32,32,17] --> keypoints, confidence
                                           \--> person mask [B,32,32]
    head and shoulders [B,48,48,3] -- `FacingNet` --> is it a back? orders left and right
    keypoints, confidence ---- lifter MLP ---> rotations 6D x 22, betas 10, camera 3

Two stages meet at 17 COCO keypoints. The first has to cross from rendered people to real ones, and
learns from both. The second never sees a pixel, so it is trained on motion capture alone and has no
domain gap. The lifting half follows Martinez et al. (ICCV 2017), 6D rotations Zhou et al. (CVPR
2019).
"""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from hvc_jax.models.keypoint_network import UNSEEN, KeypointNet, Keypoints
from hvc_jax.pose.facing import WINDOW, FacingNet

LIFTED_JOINTS = 22
LIFTED_SIZE = LIFTED_JOINTS * 6 + 10 + 3


def seen_confidence(confidence: jax.Array) -> jax.Array:
    """Returns the confidence of keypoints, 0 where they are not seen.

    A heat map has a highest cell everywhere: where an unseen keypoint is says nothing.
    """
    return jnp.where(confidence > UNSEEN, confidence, 0.0)


class Lifted(NamedTuple):
    """What the lifting half says about B bodies.

    Attributes:
      rotations: [B, 22, 6] first two columns of each joint's rotation (not orthonormalised).
      betas: [B, 10] shape coefficients.
      camera: [B, 3] weak-perspective (scale, x, y).
    """

    rotations: jax.Array
    betas: jax.Array
    camera: jax.Array


def normalise_points(
    points: jax.Array, confidence: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns points moved and scaled to a standard frame, with the centre [B, 2] and size [B, 1].

    Where and how large a person is says nothing about the pose under a weak perspective.

    Args:
      points: [B, 17, 2] in picture units.
      confidence: [B, 17] in [0, 1].
    """
    weight = confidence[..., None] + 1e-6
    total = jnp.sum(weight, 1)
    centre = jnp.sum(points * weight, 1) / total
    offset = points - centre[:, None]
    size = jnp.sqrt(jnp.sum(offset**2 * weight, (1, 2)) / total[:, 0])[:, None]
    size = jnp.maximum(size, 0.02)
    return offset / size[:, None], centre, size


class Lifter(nn.Module):
    """From 2D keypoints to the body: a residual MLP.

    Attributes:
      width: hidden units.
      depth: residual blocks of two layers.
    """

    width: int = 384
    depth: int = 2

    @nn.compact
    def __call__(self, points: jax.Array, confidence: jax.Array) -> Lifted:
        """Returns the bodies of keypoints [B, 17, 2] in [-1, 1] with confidence [B, 17]."""
        confidence = seen_confidence(confidence)
        standard, centre, size = normalise_points(points, confidence)
        gate = confidence[..., None]
        x = jnp.concatenate([standard * gate, gate], -1).reshape(points.shape[0], -1)
        x = nn.Dense(self.width)(x)
        for _ in range(self.depth):
            y = nn.LayerNorm()(x)
            y = nn.relu(nn.Dense(self.width)(y))
            x = x + nn.Dense(self.width, kernel_init=nn.initializers.zeros)(y)
        out = nn.Dense(LIFTED_SIZE, kernel_init=nn.initializers.normal(0.01))(nn.LayerNorm()(x))
        identity = jnp.array([1.0, 0, 0, 0, 1, 0])
        rotations = identity + out[:, : LIFTED_JOINTS * 6].reshape(-1, LIFTED_JOINTS, 6)
        betas = out[:, LIFTED_JOINTS * 6 : -3]
        scale = jnp.exp(out[:, -3:-2]) * size
        # Screen centre of the pelvis = standard-frame offset; camera shifts are in body units.
        at = centre + out[:, -2:] * size
        camera = jnp.concatenate([scale, at[:, :1] / scale, -at[:, 1:] / scale], -1)
        return Lifted(rotations, betas, camera)


class BodyRegressor(nn.Module):
    """Both halves, as they are exported.

    Attributes:
      widths: channels of `KeypointNet`.
      lifter_width: hidden units of `Lifter`.
    """

    widths: tuple[int, int, int] = (32, 64, 128)
    lifter_width: int = 384

    def setup(self) -> None:
        """Names the parts."""
        self.keypoints = KeypointNet(self.widths)
        self.lifter = Lifter(self.lifter_width)
        self.facing = FacingNet()

    def __call__(self, pictures: jax.Array) -> tuple[Keypoints, Lifted]:
        """Returns keypoints and bodies of pictures [B, 128, 128, 3] in [0, 1]."""
        if self.is_initializing():
            self.facing(jnp.zeros((1, WINDOW, WINDOW, 3)))
        found = self.keypoints(pictures)
        return found, self.lifter(found.points, found.confidence)

    def find(self, pictures: jax.Array) -> Keypoints:
        """Returns the keypoints of pictures [B, 128, 128, 3] in [0, 1]."""
        return self.keypoints(pictures)

    def face(self, windows: jax.Array) -> jax.Array:
        """Returns the logits [B] of "shows the back" of windows [B, 48, 48, 3] in [0, 1]."""
        return self.facing(windows)

    def lift(self, points: jax.Array, confidence: jax.Array) -> Lifted:
        """Returns the bodies of keypoints [B, 17, 2] with confidence [B, 17]."""
        return self.lifter(points, confidence)
