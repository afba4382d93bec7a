"""The generator of variants with a displacement field: key pictures in, frame out, in one pass."""

import itertools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

PICTURES = 4
"""Candidates of every pixel: past and future key picture as displaced, and both as they are."""
BLOCK = 4
"""Side of the blocks, in pixels, whose statistics the network sees."""
DETAILS = 3
"""Bands of the blend that are strengthened or weakened."""

_STILL = -2.0
"""Logit at the start of the candidates that the stream's own blend does not use."""
_LEAST_SHARE = 0.01
_GREY_LEVELS = 255.0**2


class Sources(NamedTuple):
    """What a frame is made of."""

    # [B, H, W, 12] in [0, 1], RGB of the past and the future key picture as displaced, then of both
    # as coded. Where there is one only, it stands for both; a frame that is itself a key picture
    # has it four times.
    pictures: jax.Array
    # [B, H, W, 1] in [0, 1], of the past picture in the blend that the stream describes
    share: jax.Array
    qp: jax.Array  # [B], quantisation parameter of the intra key picture before the frame, 0 to 63


class FieldGenerator(nn.Module):
    """Sources -> frame.

        statistics of 4x4 blocks ─► conv3 ─► conv3 ─(+)─► conv3, dilated ─(+)─► conv3 ─► gains
        frame = sum of softmax(logits) * pictures + sum of gains * details of the blend

    Where candidates agree, where they do not and how sharp each is says which to trust: a still
    background comes from the key picture as it is, an uncovered one from the reference that saw it,
    and the blur of coarse key pictures is sharpened or blocks are smoothed. The network sees
    logarithms of block-wise squared differences, and only weighs; so it is small (a tenth of a
    GMAC for 256x256) and learns in minutes on one core, where a convolutional network on the
    pictures themselves, thirty times larger, had learned next to nothing in half an hour
    (experiments/051_generator).
    `config`: model block of a configuration; `width` are its channels.
    """

    config: ml_collections.FrozenConfigDict

    def setup(self) -> None:
        """Submodules."""
        width, zero = self.config.width, nn.initializers.zeros_init()
        self.enter = nn.Conv(width, (3, 3))
        self.near = nn.Conv(width, (3, 3))
        self.far = nn.Conv(width, (3, 3), kernel_dilation=2)
        self.leave = nn.Conv(PICTURES + DETAILS, (3, 3), kernel_init=zero)

    def frames(self, sources: Sources) -> jax.Array:
        """The frames [B, H, W, 3], around [0, 1] and not clipped; H and W multiples of 4."""
        pictures = jnp.split(sources.pictures, PICTURES, -1)
        bands = details(blend(sources))
        x = nn.silu(self.enter(statistics(sources, bands)))
        x += nn.silu(self.near(x))
        x += nn.silu(self.far(x))
        height, width = sources.share.shape[1:3]
        made = jax.image.resize(
            self.leave(x), (len(x), height, width, PICTURES + DETAILS), "linear"
        )
        share = jnp.clip(sources.share, _LEAST_SHARE, 1 - _LEAST_SHARE)
        start = [jnp.log(share), jnp.log(1 - share)] + [jnp.full_like(share, _STILL)] * 2
        weights = nn.softmax(made[..., :PICTURES] + jnp.concatenate(start, -1), -1)
        factors = jnp.concatenate([weights, made[..., PICTURES:]], -1)
        return sum(factors[..., i : i + 1] * part for i, part in enumerate([*pictures, *bands]))

    def __call__(self, batch: dict[str, jax.Array], train: bool) -> dict:
        """As `CodecModel.__call__`, for the trainer; the field's bits are not counted here.

        `batch`: sources [B, H, W, 13] (pictures, then share) and qp [B]; `train`: changes nothing.

        Returns frame [B, H, W, 3], bits [B] (zeros), group_bits (none) and aux with the stream's
        blend as "warped".
        """
        sources = Sources(batch["sources"][..., :12], batch["sources"][..., 12:], batch["qp"])
        frame = self.frames(sources)
        bits = jnp.zeros(len(frame))
        return {"frame": frame, "bits": bits, "group_bits": {}, "aux": {"warped": blend(sources)}}


def blend(sources: Sources) -> jax.Array:
    """The frames [B, H, W, 3] that the stream's shares make of the displaced pictures."""
    past, future = sources.pictures[..., :3], sources.pictures[..., 3:6]
    return future + sources.share * (past - future)


def details(picture: jax.Array) -> list[jax.Array]:
    """A picture [B, H, W, 3] in `DETAILS` bands, from fine to coarse, without what is left."""
    bands = []
    for level in range(DETAILS):
        smooth = blur(picture, 2**level)
        bands.append(picture - smooth)
        picture = smooth
    return bands


def blur(picture: jax.Array, distance: int = 1) -> jax.Array:
    """A picture [B, H, W, C] after the filter (1, 2, 1) / 4 along both axes, borders repeated.

    `picture`: what is filtered; `distance`: between the filter's taps, pixels.
    """
    for axis in (1, 2):
        margin = [(distance, distance) if i == axis else (0, 0) for i in range(4)]
        wide = jnp.pad(picture, margin, mode="edge")
        length = picture.shape[axis]
        before, after = (
            jax.lax.slice_in_dim(wide, start, start + length, axis=axis)
            for start in (0, 2 * distance)
        )
        picture = (before + 2 * picture + after) / 4
    return picture


def statistics(sources: Sources, bands: list[jax.Array]) -> jax.Array:
    """What the network sees of every block of candidates: [B, H / 4, W / 4, 14 + DETAILS]."""
    pictures = jnp.split(sources.pictures, PICTURES, -1)
    compared = [a - b for a, b in itertools.combinations(pictures, 2)]
    sharp = [picture - blur(picture) for picture in pictures]
    energies = [_mean(jnp.square(x).mean(-1, keepdims=True)) for x in compared + bands + sharp]
    levels = jnp.log1p(_GREY_LEVELS * jnp.concatenate(energies, -1)) / 2 - 1
    share = _mean(sources.share)
    inside = jnp.clip(share, _LEAST_SHARE, 1 - _LEAST_SHARE)
    logit = jnp.log(inside / (1 - inside)) / 2
    light = _mean(blend(sources).mean(-1, keepdims=True)) - 0.5
    qp = jnp.broadcast_to((sources.qp[:, None, None, None] - 42) / 6, share.shape)
    return jnp.concatenate([levels, share - 0.5, logit, light, qp.astype(share.dtype)], -1)


def _mean(x: jax.Array) -> jax.Array:
    return nn.avg_pool(x, (BLOCK, BLOCK), (BLOCK, BLOCK))
