"""Validation of a model while it is trained: its loss, its error, and bits, estimated and real."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from hvc_jax.codec.options import EncodeOptions
from hvc_jax.models.codec_model import slot_groups
from hvc_jax.ops.compile import fast_jit
from hvc_jax.stream.tables import fit_tables
from hvc_jax.stream.vectors import encode_vectors
from hvc_jax.training import losses
from hvc_jax.training.export import learned_schema
from hvc_jax.training.points import points_distance
from hvc_jax.training.step import unit_range

HostBatch = dict[str, np.ndarray]


def make_validate(
    config: Any, model: Any, extract: losses.Features | None, sequences: Sequence[HostBatch]
) -> Callable[[Any], dict[str, float]]:
    """A function of parameters that gives means over all frames of some sequences.

    Latents are rounded to their steps, as the codec does it. Its terms: "validation/total", the
    training objective without an adversarial part, and the terms of `losses.rate_distortion` beside
    it; "validation/psnr" in dB; "validation/bits_estimated", what the prior says of a frame, and
    "validation/bits_real", what `real_bits` makes of the same frames.

    Args:
      config: The whole configuration.
      model: The codec model.
      extract: Feature network of the perceptual loss, or None.
      sequences: Of `data.validation`, at least one.
    """
    whole = ConfigDict(config.loss.to_dict() | {"perceptual_window": 0})  # nothing random

    @fast_jit
    def measure(params: Any, batch: Any, extract: Any) -> tuple[dict[str, jax.Array], Any, Any]:
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
        return terms, outputs["latent"], outputs["bits"]

    def validate(params: Any) -> dict[str, float]:
        found = [jax.device_get(measure(params, batch, extract)) for batch in sequences]
        terms = jax.tree.map(lambda *x: float(np.mean(x)), *(terms for terms, _, _ in found))
        means = {
            f"validation/{name.removeprefix('loss/')}": value
            for name, value in terms.items()
            if name.startswith("loss/")
        }
        means["validation/bits_estimated"] = float(np.mean([bits[1:] for _, _, bits in found]))
        tracks = [np.asarray(latents, np.float32) for _, latents, _ in found]
        if (real := real_bits(config.model, params, tracks)) is not None:
            means["validation/bits_real"] = real
        return means

    return validate


def real_bits(model_config: Any, params: Any, tracks: Sequence[np.ndarray]) -> float | None:
    """Bits a frame of the coded motion of latents, by an encoder with its default options.

    Each half of the tracks is coded with tables that were fitted on the other half. Streams as
    short as these cost more a frame than long ones, whose contexts have learned.

    Args:
      model_config: `config.model`.
      params: Parameters of CodecModel; the learned steps are taken from them.
      tracks: Latents of consecutive frames, [T, D] float32 each.

    Returns:
      Mean over the frames after the first of each; None with fewer than two tracks.
    """
    if len(tracks) < 2 or not all(np.isfinite(track).all() for track in tracks):
        return None
    schema, bits = learned_schema(model_config, params), 0
    for part in (0, 1):
        tables = fit_tables(schema, list(tracks[1 - part :: 2]))
        for track in tracks[part::2]:
            coded = encode_vectors(schema, tables, track, rate_weight=EncodeOptions.rate_weight)
            bits += 8 * sum(len(group.payload) for group in coded.groups)
    return bits / sum(len(track) - 1 for track in tracks)


def step_sizes(model_config: Any, params: Any) -> dict[str, float]:
    """Quantisation steps as "step/GROUP": the geometric mean of what belongs together."""
    steps, groups = np.asarray(params["log_step"], np.float64), slot_groups(model_config.motion)
    return {f"step/{name}": float(np.exp(steps[at].mean())) for name, at in groups.items()}
