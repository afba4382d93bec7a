"""Multiply-accumulates and parameters of a model, by module, from its traced program."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core
from ml_collections import FrozenConfigDict

from hvc_jax.body.params import BODY_VECTOR_SIZE
from hvc_jax.models.codec_model import CodecModel


def multiply_accumulates(function: Callable[..., Any], *arguments: Any) -> Counter[str]:
    """Multiply-accumulates of the convolutions and matrix products of a pure function, by module.

    Nothing is computed; of the arguments only shapes matter, jax.ShapeDtypeStruct will do.
    Element-wise work, gathers and the rasteriser are not counted; a loop of unknown length counts
    once and a branch as its most expensive arm. Modules are paths as "generator/ResBlock_0/Conv_0";
    "" outside any.
    """
    counts: Counter[str] = Counter()
    _walk(jax.make_jaxpr(function)(*arguments).jaxpr, "", 1, counts)
    return counts


def _walk(jaxpr: core.Jaxpr, outer: str, times: int, counts: Counter[str]) -> None:
    """Adds the operations of a program, `times` over, under the name stack `outer`."""
    for equation in jaxpr.eqns:
        stack = f"{outer}/{equation.source_info.name_stack}"
        name, parameters = equation.primitive.name, equation.params
        if name == "conv_general_dilated":
            counts[_module(stack)] += times * _convolution(equation)
        elif name == "dot_general":
            counts[_module(stack)] += times * _product(equation)
        elif name == "cond":
            arms = []
            for branch in parameters["branches"]:
                arm: Counter[str] = Counter()
                _walk(branch.jaxpr, stack, times, arm)
                arms.append(arm)
            counts.update(max(arms, key=lambda arm: sum(arm.values())))
        else:
            repeats = times * parameters["length"] if name == "scan" else times
            for inner in _programs(parameters):
                _walk(inner, stack, repeats, counts)


def _programs(parameters: dict[str, Any]) -> list[core.Jaxpr]:
    """The programs inside an operation: calls, custom derivatives, loop bodies."""
    found = []
    for value in parameters.values():
        if isinstance(value, core.ClosedJaxpr):
            found.append(value.jaxpr)
        elif isinstance(value, core.Jaxpr):
            found.append(value)
    return found


def _module(stack: str) -> str:
    """The path of submodules in a name stack, whose parts are "Class.method" or "name.method"."""
    parts = [part for part in stack.split("/") if part and "(" not in part]
    return "/".join(part.split(".")[0] for part in parts[1:])


def _convolution(equation: core.JaxprEqn) -> int:
    """Each output needs one product for every kernel entry that reaches it."""
    output, kernel = equation.outvars[0].aval, equation.invars[1].aval
    out_channels = kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
    return output.size * kernel.size // out_channels


def _product(equation: core.JaxprEqn) -> int:
    """Each output is a sum over the contracted axes."""
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval
    return equation.outvars[0].aval.size * math.prod(left.shape[axis] for axis in contracted)


def group(counts: dict[str, int], depth: int) -> Counter[str]:
    """Sums of counts over the first `depth` parts of the paths."""
    sums: Counter[str] = Counter()
    for path, count in counts.items():
        sums["/".join(path.split("/")[:depth])] += count
    return sums


def parameter_counts(params: Any) -> dict[str, int]:
    """Number of parameters of every array, by path as in `multiply_accumulates`."""
    return {
        "/".join(str(entry.key) for entry in path): leaf.size
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }


def costs(model_config: Any, side: int) -> tuple[dict[str, dict[str, int]], Any]:
    """Multiply-accumulates of analyse, reference and synthesise, by module, and parameters."""
    model = CodecModel(FrozenConfigDict(model_config))
    picture = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    body = jax.ShapeDtypeStruct((1, BODY_VECTOR_SIZE), jnp.float32)
    batch = {name: picture for name in ("key", "target")}
    batch |= {f"{name}_body": body for name in ("key", "target")}
    past = model_config.get("past", 1)
    batch["previous"] = jax.ShapeDtypeStruct((1, past, side, side, 3), jnp.float32)
    batch["previous_body"] = jax.ShapeDtypeStruct((1, past, BODY_VECTOR_SIZE), jnp.float32)
    rngs = {name: jax.random.key(0) for name in ("params", "noise")}
    variables = jax.eval_shape(lambda b: model.init(rngs, b, train=False), batch)

    def method(name: str) -> Any:
        return lambda variables, *rest: model.apply(variables, *rest, method=name)

    latent = jax.eval_shape(method("analyse"), variables, picture, picture, body)
    features = jax.eval_shape(method("reference"), variables, picture)
    parts = {
        "analyse": (picture, picture, body),
        "reference": (picture,),
        "synthesise": (features, latent, latent),
    }
    counts = {
        name: multiply_accumulates(method(name), variables, *arguments)
        for name, arguments in parts.items()
    }
    return counts, variables["params"]
