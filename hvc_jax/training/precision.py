"""Layers that compute in bfloat16 while everything around them stays in float32.

Convolutions, dense layers and norms cast what they are given and their parameters; what they
return goes on in bfloat16 until it meets something in float32. Positions, meshes, flow grids,
rates, losses, parameters and gradients are never cast: eight bits of a coordinate are a pixel of
a picture 256 wide.
"""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

_LAYERS = (nn.Conv, nn.Dense, nn.RMSNorm)


def layers_in(dtype: str) -> AbstractContextManager:
    """A context in which Linen layers that are called compute in `dtype`.

    `dtype`: "float32", which changes nothing, or "bfloat16".
    Raises ValueError: Neither.
    """
    if dtype == "float32":
        return contextlib.nullcontext()
    if dtype != "bfloat16":
        raise ValueError(f"dtype={dtype!r}; use 'float32' or 'bfloat16'")

    def intercept(
        call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext
    ) -> Any:
        if isinstance(context.module, _LAYERS) and context.method_name == "__call__":
            # The field says what a layer computes in; modules are made anew for every call of
            # `apply`, so nothing outlives the context.
            object.__setattr__(context.module, "dtype", jnp.bfloat16)
        return call(*args, **kwargs)

    return nn.intercept_methods(intercept)


def to_float32(tree: Any) -> Any:
    """The tree with its bfloat16 arrays as float32."""
    return jax.tree.map(lambda x: x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x, tree)
