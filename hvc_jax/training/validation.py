"""Validation of a model while it is trained: its loss, its error, and bits, estimated and real."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from hvc_jax.models.codec_model import slot_groups
from hvc_jax.ops.compile import fast_jit
from hvc_jax.training import losses
from hvc_jax.training.points import points_distance
from hvc_jax.training.rates import compare_rates
from hvc_jax.training.step import unit_range

HostBatch = dict[str, np.ndarray]


def make_validate(
    config: Any, model: Any, extract: losses.Features | None, sequences: Sequence[HostBatch]
) -> Callable[[Any], dict[str, float]]:
    """A function of parameters that gives means over all frames of some sequences, at least one.

    Latents are rounded to their steps, as the codec does it. Its terms: "validation/total", the
    training objective without an adversarial part, and the terms of `losses.rate_distortion` beside
    it; "validation/psnr" in dB; "validation/bits_estimated" and "validation/bits_real" of
    `compare_rates`, where there are two sequences. `extract` is the network of the perceptual loss,
    or None.
    """
    whole = ConfigDict(config.loss.to_dict() | {"perceptual_window": 0})  # nothing random

    @fast_jit
    def measure(params: Any, batch: Any, extract: Any) -> tuple[dict[str, jax.Array], Any]:
        batch = unit_range(batch)
        outputs = model.apply({"params": params}, batch, train=False)
        target = batch["target"]
        rate, distortion, terms = losses.rate_distortion(whole, outputs, target, extract)
        if whole.points:
            terms["loss/points"] = points_distance(outputs["latent"], batch["target_body"])
            distortion = distortion + whole.points * terms["loss/points"]
        error = jnp.square(jnp.clip(outputs["frame"], 0, 1) - target).mean((1, 2, 3))
        terms["loss/psnr"] = -10 * jnp.log10(error + 1e-10).mean()
        terms["loss/total"] = rate + whole.lmbda * distortion
        nothing = jnp.zeros((len(target), 0))  # a generator of fields has no latents of its own
        return terms, outputs.get("latent", nothing)

    def validate(params: Any) -> dict[str, float]:
        found = [jax.device_get(measure(params, batch, extract)) for batch in sequences]
        terms = jax.tree.map(lambda *x: float(np.mean(x)), *(terms for terms, _ in found))
        means = {
            f"validation/{name.removeprefix('loss/')}": value
            for name, value in terms.items()
            if name.startswith("loss/")
        }
        tracks = [np.asarray(latents, np.float32) for _, latents in found]
        rates = compare_rates(config.model, params, tracks) if tracks[0].size else None
        if rates is not None:
            means["validation/bits_estimated"] = rates.estimated
            means["validation/bits_real"] = rates.real
        return means

    return validate


def step_sizes(model_config: Any, params: Any) -> dict[str, float]:
    """Quantisation steps as "step/GROUP": the geometric mean of what belongs together."""
    steps, groups = np.asarray(params["log_step"], np.float64), slot_groups(model_config.motion)
    return {f"step/{name}": float(np.exp(steps[at].mean())) for name, at in groups.items()}
