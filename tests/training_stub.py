"""A small model and small data with the interfaces of the real ones."""

from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from hvc_jax.ops.warp import average_pool
from hvc_jax.training.config import load_config


class StubModel(nn.Module):
    """Two convolutions and a noisy three-number latent; `broken` makes its rate NaN."""

    broken: bool = False
    noisy: bool = True

    @nn.compact
    def __call__(self, batch: dict[str, jax.Array], train: bool) -> dict[str, Any]:
        key, target, key_body = batch["key"], batch["target"], batch["key_body"]
        latent = nn.Dense(3)(target.mean((1, 2))) - nn.Dense(3, name="key")(
            nn.Dense(64, name="wide")(key_body)
        )
        if train and self.noisy:
            noise = jax.random.uniform(
                self.make_rng("noise"), latent.shape, minval=-0.5, maxval=0.5
            )
            latent = latent + 0.1 * noise
        bits = jnp.log2(1 + latent**2).sum(-1) + (jnp.log(-1.0) if self.broken else 0.0)
        h = nn.relu(nn.Conv(8, (3, 3))(key) + nn.Dense(8, name="mix")(latent)[:, None, None])
        frame = jax.nn.sigmoid(nn.Conv(3, (3, 3))(h))
        small = average_pool(frame, 4)
        aux = {"warped": (key + frame) / 2, "attended_0": small, "look_0": 2 * small[..., :2] - 1}
        return {"frame": frame, "bits": bits, "aux": aux}


def stub_batches(
    size: int, seed: int, start: int, side: int = 16, past: int = 1
) -> Iterator[dict[str, np.ndarray]]:
    """Endless random batches that depend on (seed, step) only."""
    step = start
    while True:
        rng = np.random.default_rng((seed, step))
        pictures = rng.integers(0, 256, (2 + past, size, side, side, 3), np.uint8)
        bodies = rng.normal(size=(2 + past, size, 188)).astype(np.float32)
        flow = rng.uniform(-1, 1, (size, side // 4, side // 4, 3)).astype(np.float32)
        yield (
            {"key": pictures[0], "target": pictures[1], "flow": flow}
            | {"previous": np.moveaxis(pictures[2:], 0, 1)}
            | {"key_body": bodies[0], "target_body": bodies[1]}
            | {"previous_body": np.moveaxis(bodies[2:], 0, 1)}
        )
        step += 1


def stub_config(**fields: Any) -> ConfigDict:
    """The tiny semantic configuration for a few steps; fields by dotted name."""
    config = load_config("semantic.py:runlocal").unlock()
    config.log.images_every = 0
    config.optim.warmup = 1
    config.loss.flow = 0.3
    for name, value in fields.items():
        group, _, leaf = name.rpartition("__")
        (config[group] if group else config)[leaf] = value
    return config.lock()
