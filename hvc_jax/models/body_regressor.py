r"""The network that finds a person's body vector in a picture.

    picture [B,128,128,3] -- backbone --> heat maps [B,32,32,17] --> keypoints, confidence [B,17]
                                              \\--> person mask [B,32,32]
    head and shoulders [B,48,48,3] -- `FacingNet` --> is it a back? orders left and right
    keypoints, confidence ---- lifter MLP ---> rotations 6D x 22, betas 10, camera 3

Two stages meet at 17 COCO keypoints, on purpose. The first has to cross from rendered people to
real ones, and learns from both. The second never sees a pixel, so it is trained on motion capture
alone and has no domain gap. The keypoints also are the measurements for `hvc_jax.body.fit`.
The heat-map half follows Simple Baselines (Xiao et al., ECCV 2018), the lifting half Martinez et
al. (ICCV 2017), 6D rotations Zhou et al. (CVPR 2019).
"""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from hvc_jax.models.body_facing import WINDOW, FacingNet

NUM_KEYPOINTS = 17
INPUT_SIZE = 128
HEATMAP_SIZE = 32
UNSEEN = 0.1
"""Keypoints of less confidence count as not seen."""
LIFTED_JOINTS = 22
LIFTED_SIZE = LIFTED_JOINTS * 6 + 10 + 3


class Keypoints(NamedTuple):
    """What the picture half finds.

    Attributes:
      points: [B, 17, 2] (u, v) in [-1, 1] over the picture, v down.
      confidence: [B, 17] in [0, 1], about how far to trust each point.
      heat: [B, 32, 32, 17] logits of where each keypoint is.
      visibility: [B, 17] logits of the confidence.
      mask: [B, 32, 32] logits of "person here".
    """

    points: jax.Array
    confidence: jax.Array
    heat: jax.Array
    visibility: jax.Array
    mask: jax.Array


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with group normalisation around an identity; shape unchanged."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [B, H, W, C] to the same shape."""
        channels = x.shape[-1]
        y = nn.relu(nn.GroupNorm(num_groups=8)(x))
        y = nn.Conv(channels, (3, 3), use_bias=False)(y)
        y = nn.relu(nn.GroupNorm(num_groups=8)(y))
        y = nn.Conv(channels, (3, 3), use_bias=False, kernel_init=nn.initializers.zeros)(y)
        return x + y


class KeypointNet(nn.Module):
    """A small hourglass from pictures to keypoints.

    Attributes:
      widths: channels at 1/4, 1/8 and 1/16 of the input size.
      judge: whether to find out how far to trust each keypoint; without it the confidence is 1.
    """

    widths: tuple[int, int, int] = (32, 64, 128)
    judge: bool = True

    @nn.compact
    def __call__(self, pictures: jax.Array) -> Keypoints:
        """Returns the keypoints of pictures [B, 128, 128, 3] in [0, 1]."""
        fine, middle, coarse = self.widths
        x = (pictures - 0.45) * 4.0
        x = nn.relu(nn.Conv(24, (5, 5), strides=2)(x))
        x = nn.Conv(fine, (3, 3), strides=2)(x)
        skip_fine = ResidualBlock()(x)
        x = nn.Conv(middle, (3, 3), strides=2)(skip_fine)
        skip_middle = ResidualBlock()(ResidualBlock()(x))
        x = nn.Conv(coarse, (3, 3), strides=2)(skip_middle)
        for _ in range(3):
            x = ResidualBlock()(x)
        # The whole picture tells left from right, and front from back.
        x = x + nn.Dense(coarse)(nn.relu(nn.Dense(64)(x.mean((1, 2)))))[:, None, None]
        x = _double(nn.Dense(middle)(x)) + skip_middle
        x = ResidualBlock()(x)
        x = _double(nn.Dense(fine)(x)) + skip_fine
        x = ResidualBlock()(x)
        x = nn.relu(nn.GroupNorm(num_groups=8)(x))
        maps = nn.Conv(NUM_KEYPOINTS + 1, (1, 1))(x)
        heat, mask = maps[..., :NUM_KEYPOINTS], maps[..., NUM_KEYPOINTS]

        mask = mask.astype(jnp.float32)
        batch = heat.shape[0]
        if not self.judge:
            sure = jnp.ones((batch, NUM_KEYPOINTS))
            return Keypoints(decode_heat(heat), sure, heat, jnp.inf * sure, mask)
        flat = heat.reshape(batch, -1, NUM_KEYPOINTS)
        attention = jax.nn.softmax(flat, axis=1)
        seen = jnp.einsum("bpk,bpc->bkc", attention, x.reshape(batch, -1, fine))
        peak = jnp.max(flat, 1) - jnp.mean(flat, 1)
        seen = jnp.concatenate([seen, peak[..., None], jnp.log(attention.max(1))[..., None]], -1)
        seen = nn.relu(nn.Dense(32)(seen))
        names = self.param("names", nn.initializers.normal(0.1), (NUM_KEYPOINTS, 32))
        bias = self.param("bias", nn.initializers.zeros, (NUM_KEYPOINTS,))
        visibility = jnp.einsum("bkc,kc->bk", seen, names) + bias
        return Keypoints(decode_heat(heat), nn.sigmoid(visibility), heat, visibility, mask)


def _double(x: jax.Array) -> jax.Array:
    """Repeats pixels to twice the size (XLA's transposed convolution is far slower)."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def cell_centres(size: int = HEATMAP_SIZE) -> jax.Array:
    """Returns [size, size, 2], the (u, v) in [-1, 1] of every heat-map cell's centre."""
    line = (jnp.arange(size) + 0.5) / size * 2 - 1
    return jnp.stack(jnp.meshgrid(line, line, indexing="xy"), -1)


def decode_heat(heat: jax.Array, radius: float = 2.5) -> jax.Array:
    """Returns keypoints [B, K, 2] from heat-map logits [B, S, S, K], to a fraction of a cell.

    The expectation is taken near the highest cell only, so a second mode does not pull the point.

    Args:
      heat: [B, S, S, K] logits.
      radius: how far from the highest cell, in cells.
    """
    batch, size, _, keypoints = heat.shape
    flat = heat.reshape(batch, size * size, keypoints)
    centres = cell_centres(size).reshape(-1, 2)
    best = centres[jnp.argmax(flat, 1)]
    distance2 = jnp.sum((centres[None, :, None] - best[:, None]) ** 2, -1)
    near = distance2 <= (radius * 2 / size) ** 2
    weight = jax.nn.softmax(jnp.where(near, flat, -jnp.inf), axis=1)
    return jnp.einsum("bpk,pc->bkc", weight, centres)


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
