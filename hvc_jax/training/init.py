"""Parameters of an earlier run as the start of another, such as one at a higher resolution."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from hvc_jax.training.checkpoint import restore_params


def load_params(path: Path) -> dict[str, Any]:
    """Nested dict of numpy arrays of an export (.safetensors) or a workdir; else ValueError."""
    if path.suffix == ".safetensors":
        from hvc_jax.models.export import load_export

        return load_export(path).params
    return restore_params(path)


def merge(
    params: dict[str, Any], loaded: dict[str, Any], source: str, blocks: Sequence[str] = ()
) -> dict[str, Any]:
    """Parameters with every array replaced whose name and shape is also in `loaded`.

    What does not fit keeps its fresh value and is reported, so that a block can be exchanged. Of
    `blocks`, such as "motion" and "log_step", if there are any, these alone are taken.
    Raises ValueError: Nothing fits.
    """
    loaded = {name: part for name, part in loaded.items() if not blocks or name in blocks}
    found = {jax.tree_util.keystr(p): x for p, x in jax.tree_util.tree_leaves_with_path(loaded)}
    fresh: list[str] = []

    def pick(path: Any, array: jax.Array) -> jax.Array:
        name = jax.tree_util.keystr(path)
        if name in found and found[name].shape == array.shape:
            return jnp.asarray(found[name], array.dtype)
        fresh.append(name)
        return array

    merged = jax.tree_util.tree_map_with_path(pick, params)
    total = len(jax.tree.leaves(params))
    if len(fresh) == total:
        raise ValueError(f"{source}: none of its parameters fit; check the widths in config.model")
    if fresh:
        warnings.warn(
            f"{source}: {len(fresh)} of {total} arrays start fresh, as {fresh[0]}", stacklevel=2
        )
    return merged
