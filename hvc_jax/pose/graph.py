"""Runs a converted network: a list of operations, in the order of their execution.

The dozen operations are those of TensorFlow Lite, as third_party/landmarks/convert.py writes them;
pictures are [B, H, W, C]. Only the batch differs from the file, where it is 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from hvc_jax.ops.warp import bilinear_upsample, depth_to_space

_NHWC = ("NHWC", "HWIO", "NHWC")
_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "": lambda x: x,
    "relu": jax.nn.relu,
    "relu6": lambda x: jnp.clip(x, 0.0, 6.0),
}


def _padded(x: jax.Array, node: dict, window: tuple[int, int], fill: float = 0.0) -> jax.Array:
    """Returns x with the border that the node's "SAME" asks for."""
    if node["padding"] == "VALID":
        return x
    pads = jax.lax.padtype_to_pads(x.shape[1:3], window, node["strides"], "SAME")
    return jnp.pad(x, [(0, 0), *pads, (0, 0)], constant_values=fill)


def _conv_2d(node: dict, x: jax.Array, weights: jax.Array, bias: jax.Array) -> jax.Array:
    if weights.shape[1:3] == (1, 1) and node["strides"] == [1, 1]:
        flat = x.reshape(-1, x.shape[-1]) @ weights[:, 0, 0].T + bias
        return flat.reshape(*x.shape[:3], -1)
    kernel = jnp.moveaxis(weights, 0, -1)  # OHWI to HWIO
    y = jax.lax.conv_general_dilated(
        x, kernel, node["strides"], node["padding"], dimension_numbers=_NHWC
    )
    return y + bias


def _depthwise_conv_2d(node: dict, x: jax.Array, weights: jax.Array, bias: jax.Array) -> jax.Array:
    # A sum of shifted products: grouped convolutions are slow on CPUs.
    _, rows, columns, channels = weights.shape
    if channels != x.shape[-1]:  # one picture to many
        x = jnp.repeat(x, channels // x.shape[-1], axis=-1)
    x = _padded(x, node, (rows, columns))
    down, right = node["strides"]
    height = (x.shape[1] - rows) // down + 1
    width = (x.shape[2] - columns) // right + 1
    out = bias
    for i in range(rows):
        for j in range(columns):
            ends = (i + (height - 1) * down + 1, j + (width - 1) * right + 1)
            out = out + x[:, i : ends[0] : down, j : ends[1] : right] * weights[0, i, j]
    return out


def _max_pool_2d(node: dict, x: jax.Array) -> jax.Array:
    down, right = node["strides"]
    window = tuple(node["window"])
    x = _padded(x, node, window, -jnp.inf)
    strides = (1, down, right, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, *window, 1), strides, "VALID")


def _resize_bilinear(node: dict, x: jax.Array) -> jax.Array:
    rows, columns = x.shape[1:3]
    if node["align"] or not node["half_pixel"] or node["size"] != [2 * rows, 2 * columns]:
        raise ValueError("only half-pixel resizing to twice the size is known")
    return bilinear_upsample(x)


def _strided_slice(node: dict, x: jax.Array) -> jax.Array:
    begin, end, steps = node["begin"], node["end"], node["steps"]
    inner = [slice(*part) for part in zip(begin[1:], end[1:], steps[1:], strict=True)]
    return x[(slice(None), *inner)]


_OPERATIONS: dict[str, Callable[..., jax.Array]] = {
    "conv_2d": _conv_2d,
    "depthwise_conv_2d": _depthwise_conv_2d,
    "max_pool_2d": _max_pool_2d,
    "resize_bilinear": _resize_bilinear,
    "depth_to_space": lambda node, x: depth_to_space(x, node["block"]),
    "strided_slice": _strided_slice,
    "add": lambda node, x, y: x + y,
    "prelu": lambda node, x, slope: jnp.where(x > 0, x, x * slope),
    "relu": lambda node, x: jax.nn.relu(x),
    "logistic": lambda node, x: jax.nn.sigmoid(x),
    "pad": lambda node, x: jnp.pad(x, node["paddings"]),
    "mean": lambda node, x: x.mean(tuple(node["axes"]), keepdims=node["keep"]),
    "reshape": lambda node, x: x.reshape(x.shape[0], *node["shape"][1:]),
    "concatenation": lambda node, *parts: jnp.concatenate(parts, axis=node["axis"]),
    "fully_connected": lambda node, x, weights, bias: x @ weights.T + bias,
}
OPERATIONS = frozenset(_OPERATIONS)
"""Names of the operations that can be run."""


def run_graph(
    graph: Mapping[str, Any], weights: Mapping[str, jax.Array], pictures: jax.Array
) -> dict[str, jax.Array]:
    """Returns every output of a network by name, float32, the batch in front.

    `graph`: "nodes", "input", "outputs", "output_names" of a converted file; `weights`: its
    constants by name; `pictures`: [B, H, W, C], in the range that the network was trained on.
    """
    values: dict[str, jax.Array] = {**weights, graph["input"]: pictures}
    for node in graph["nodes"]:
        inputs = [values[name] for name in node["inputs"]]
        result = _OPERATIONS[node["op"]](node, *inputs)
        values[node["output"]] = _ACTIVATIONS[node["activation"]](result)
    named = zip(graph["output_names"], graph["outputs"], strict=True)
    return {name: values[tensor] for name, tensor in named}
