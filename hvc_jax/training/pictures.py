"""Picture grids of a run: what the model makes of a few examples, and how it moves the key."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from hvc_jax.body.shade import color_wheel
from hvc_jax.ops.compile import fast_jit
from hvc_jax.ops.warp import identity_grid
from hvc_jax.training.log import image_grid
from hvc_jax.training.step import unit_range

HostBatch = dict[str, np.ndarray]
_ROWS = 4


def make_predict(model: Any) -> Callable[[Any, HostBatch], np.ndarray]:
    """A function of (parameters, host batch) that gives a picture of a few examples.

    Each row is an example: key, target, motion, the key as warped, prediction. Motion is the field
    in colours (hue is direction), or where there is none how much of each place is attended to
    as moving (white).
    """

    @fast_jit
    def apply(params: Any, batch: HostBatch) -> tuple[dict[str, jax.Array], jax.Array, Any]:
        batch = unit_range(batch)
        outputs = model.apply({"params": params}, batch, train=False)
        return batch, outputs["frame"], outputs.get("aux", {})

    def predict(params: Any, batch: HostBatch) -> np.ndarray:
        few = {name: array[:_ROWS] for name, array in batch.items()}
        few, frame, aux = jax.device_get(apply(params, few))
        columns = [few["key"], few["target"]]
        motion = motion_pictures(aux)
        if motion is not None:
            block = frame.shape[1] // motion.shape[1]
            columns.append(motion.repeat(block, 1).repeat(block, 2))
        if "warped" in aux:
            columns.append(aux["warped"])
        return image_grid([*columns, frame])

    return predict


def motion_pictures(aux: dict[str, np.ndarray]) -> np.ndarray | None:
    """Motion or attention as pictures [B, h, w, 3] in [0, 1], None if a model tells of neither.

    `aux`: "grid" [B, h, w, 2], where in the key picture to look, (u, v) in [-1, 1]; or "look_i",
    the same of attention, the finest last; or "background" [B, h, w, 1] in [0, 1], the share of
    what stands still.
    """
    looks = sorted(name for name in aux if name == "grid" or name.startswith("look_"))
    if looks:
        height, width = aux[looks[-1]].shape[1:3]
        motion = np.asarray(aux[looks[-1]]) - np.asarray(identity_grid(height, width))
        return np.stack([color_wheel(field) for field in motion]) / 255
    if "background" in aux:
        return np.repeat(1 - np.asarray(aux["background"]), 3, -1)
    return None
