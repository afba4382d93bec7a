"""Structural similarity (SSIM, MS-SSIM) of uint8 RGB frames, one value a frame."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Wang, Simoncelli, Bovik, "Multiscale structural similarity", 2003, section 3.2."""


class MetricError(ValueError):
    """A metric cannot be computed; one sentence with the reason and the fix."""


def ssim(original: np.ndarray, decoded: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Returns the mean structural similarity of R, G and B of frames [T, H, W, 3] uint8, at most 1.

    Gaussian window of 11x11 with sigma 1.5, population covariance, only windows inside the picture
    (Wang et al., 2004; the same as scikit-image with gaussian_weights). `mask`: [T, H, W] weights
    of the windows' centres; a frame without any gives NaN.
    """
    check_frames(original, decoded)
    if min(original.shape[1:3]) < _WINDOW:
        raise MetricError(f"SSIM needs {_WINDOW} pixels a side; use larger frames.")
    return _framewise(_ssim, original, decoded, mask)


def ms_ssim(
    original: np.ndarray, decoded: np.ndarray, mask: np.ndarray | None = None
) -> np.ndarray:
    """Returns the multi-scale structural similarity of each frame over five octaves, at most 1.

    Of R, G and B alike, then averaged, as learned compression reports it. Negative contrast terms
    count as zero. Arguments as in `ssim`; the mask is halved with the pictures.
    Raises MetricError: a side has 160 pixels or fewer, too few for five octaves of the window.
    """
    check_frames(original, decoded)
    check_ms_ssim_side(min(original.shape[1:3]))
    return _framewise(_ms_ssim, original, decoded, mask)


def check_ms_ssim_side(side: int) -> None:
    """Raises MetricError if the shorter side of the frames, in pixels, is too short for MS-SSIM."""
    smallest = (_WINDOW - 1) * 2 ** (len(_SCALE_WEIGHTS) - 1)
    if side <= smallest:
        raise MetricError(f"MS-SSIM needs more than {smallest} pixels a side; use larger frames.")


def check_frames(original: np.ndarray, decoded: np.ndarray) -> None:
    """Raises unless both are uint8 stacks of one shape."""
    for name, frames in (("original", original), ("decoded", decoded)):
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
            raise MetricError(
                f"The {name} frames are {frames.dtype} {frames.shape}; give uint8 [T, H, W, 3]."
            )
    if original.shape != decoded.shape:
        raise MetricError(
            f"Original {original.shape} and decoded {decoded.shape} differ in shape; align them."
        )


def _framewise(
    metric: object, original: np.ndarray, decoded: np.ndarray, mask: np.ndarray | None
) -> np.ndarray:
    """Returns a jitted metric of single frames, for every frame."""
    masks = [None] * len(original) if mask is None else np.asarray(mask, np.float32)
    triples = zip(original, decoded, masks, strict=True)
    return np.asarray([metric(*triple) for triple in triples], np.float64)


@jax.jit
def _ssim(a: jax.Array, b: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Returns the SSIM of one uint8 picture [H, W, 3]."""
    similarity, _ = _similarity(_planes(a), _planes(b), mask)
    return similarity.mean()


@jax.jit
def _ms_ssim(a: jax.Array, b: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Returns the MS-SSIM of one uint8 picture [H, W, 3]."""
    x, y = _planes(a), _planes(b)
    product = jnp.ones(3)
    for i, weight in enumerate(_SCALE_WEIGHTS):
        similarity, contrast = _similarity(x, y, mask)
        last = i == len(_SCALE_WEIGHTS) - 1
        product *= jax.nn.relu(similarity if last else contrast) ** weight
        x, y = _halve(x), _halve(y)
        mask = None if mask is None else _halve(mask[None])[0]
    return product.mean()


def _planes(picture: jax.Array) -> jax.Array:
    return jnp.moveaxis(picture.astype(jnp.float32) / 255, -1, 0)


def _similarity(x: jax.Array, y: jax.Array, mask: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Returns (SSIM, contrast-structure term) [C] of planes [C, H, W] in [0, 1]."""
    rows, columns = _blur_matrix(x.shape[1]), _blur_matrix(x.shape[2])

    def blur(z: jax.Array) -> jax.Array:
        # Full precision: variances are differences of nearly equal numbers.
        left = jnp.matmul(rows, z, precision="highest")
        return jnp.matmul(left, columns.T, precision="highest")

    mean_x, mean_y = blur(x), blur(y)
    variance_x, variance_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    contrast = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    inside = slice(_WINDOW // 2, -(_WINDOW // 2))
    weights = None if mask is None else jnp.broadcast_to(mask[inside, inside], contrast.shape)

    def mean(z: jax.Array) -> jax.Array:
        return jnp.average(z, axis=(1, 2), weights=weights)

    return mean(luminance * contrast), mean(contrast)


@functools.cache
def _blur_matrix(size: int) -> np.ndarray:
    """Returns [size - 10, size]: the Gaussian window at every place inside a line."""
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    window = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    matrix = np.zeros((size - _WINDOW + 1, size), np.float32)
    for i in range(len(matrix)):
        matrix[i, i : i + _WINDOW] = window / window.sum()
    return matrix


def _halve(x: jax.Array) -> jax.Array:
    """Returns the means of 2x2 blocks of [C, H, W]; an odd last line is dropped."""
    c, h, w = x.shape
    even = x[:, : h // 2 * 2, : w // 2 * 2]
    return even.reshape(c, h // 2, 2, w // 2, 2).mean((2, 4))
