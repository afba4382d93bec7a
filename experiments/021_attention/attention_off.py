"""What attention is worth: PSNR of models with it, without it, and of the key picture held.

    python experiments/021_attention/attention_off.py DATA MODEL.safetensors ... > off.csv

DATA is a built data set with a split "development" or "validation". Without attention every cell
looks at itself, at every scale. Bytes play no part: latents are rounded to their steps.
"""

import csv
import sys
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.data.validation import sequences
from hvc_jax.evaluation.bootstrap import mean_interval
from hvc_jax.models.codec_model import CodecModel
from hvc_jax.models.export import load_export
from hvc_jax.models.motion.attention import Attended, CrossAttention
from hvc_jax.ops.warp import identity_grid
from hvc_jax.training.step import unit_range

CLIPS, FRAMES = 48, 32


def looking_at_itself(call: Any, arguments: Any, keywords: Any, context: Any) -> Any:
    """A Flax interceptor in whose scope attention gives every cell its own values."""
    if not isinstance(context.module, CrossAttention) or context.method_name != "__call__":
        return call(*arguments, **keywords)
    values = arguments[2]
    grid = jnp.broadcast_to(identity_grid(*values.shape[1:3]), (*values.shape[:3], 2))
    one = jnp.ones((*values.shape[:3], 1))
    return Attended(values, grid, one, 0 * one)


def psnr(pictures: np.ndarray, target: np.ndarray) -> float:
    """Mean PSNR of frames [T, H, W, 3] in [0, 1], dB."""
    error = np.square(np.clip(pictures, 0, 1) - target).mean((1, 2, 3))
    return float(-10 * np.log10(error + 1e-10).mean())


def main() -> int:
    """Writes a row a model: its gain over hold, and what attention adds, with 95 % intervals."""
    data, *paths = sys.argv[1:]
    writer = csv.writer(sys.stdout)
    writer.writerow(["model", "clips", "hold", "off", "on", "worth", "low", "high"])
    for path in map(Path, paths):
        export = load_export(path)
        model, size = CodecModel(export.config.model), export.config.data.size
        fields = {"path": data, "size": size, "key_qps": (22, 52), "past": model.config.past}

        @jax.jit
        def run(params: Any, batch: Any, model: CodecModel = model) -> jax.Array:
            return model.apply({"params": params}, batch, train=False)["frame"]

        @jax.jit
        def run_off(params: Any, batch: Any, model: CodecModel = model) -> jax.Array:
            with nn.intercept_methods(looking_at_itself):
                return model.apply({"params": params}, batch, train=False)["frame"]

        rows = []
        for sequence in sequences(fields, CLIPS, FRAMES):
            batch = unit_range(jax.tree.map(jnp.asarray, sequence))
            target = np.asarray(batch["target"])
            shown = [batch["key"], run_off(export.params, batch), run(export.params, batch)]
            rows.append([psnr(np.asarray(each), target) for each in shown])
        hold, off, on = np.mean(rows, 0)
        worth = mean_interval([row[2] - row[1] for row in rows])
        numbers = (hold, off, on, worth.mean, worth.low, worth.high)
        name = path.parent.name if path.stem == "model" else path.stem
        writer.writerow([name, len(rows), *(f"{x:.3f}" for x in numbers)])
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
