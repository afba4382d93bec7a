"""Bits of coded motion: what the prior says of what the stream really holds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import FrozenConfigDict

from hvc_jax.codec.options import EncodeOptions
from hvc_jax.models.codec_model import CodecModel, learned_schema
from hvc_jax.models.prior import frames_before
from hvc_jax.stream.slots import Schema
from hvc_jax.stream.tables import CodingTables
from hvc_jax.stream.tables_fit import fit_tables
from hvc_jax.stream.vectors import encode_vectors

_RATE, _STEPS, _BATCH = 2e-2, 600, 128  # of the fit of a prior


class Rates(NamedTuple):
    """Bits a frame of the same frames: by the model's prior, and of the stream's payloads."""

    estimated: float
    real: float


def compare_rates(model_config: Any, params: Any, tracks: Sequence[np.ndarray]) -> Rates | None:
    """Estimated and real bits a frame of latents, coded with an encoder's default options.

    Each half of the tracks [T, D] float32 is coded with tables that were fitted on the other half.
    The prior, taken from `params` with the learned steps, is asked about the levels that the
    encoder chose. Streams of a few frames cost more a frame than long ones, whose contexts have
    learned.

    Returns means over the frames after the first of each; None with fewer than two tracks.
    """
    if len(tracks) < 2 or not all(np.isfinite(track).all() for track in tracks):
        return None
    schema = learned_schema(model_config, params)
    model, count = CodecModel(FrozenConfigDict(model_config)), model_config.get("past", 1)

    @jax.jit
    def estimate(params: Any, levels: jax.Array) -> jax.Array:
        past = frames_before(levels, levels[0], count)
        return model.apply({"params": params}, levels, past, method="rate")[1:].sum()

    estimated = real = 0.0
    for part in (0, 1):
        tables = fit_tables(schema, list(tracks[1 - part :: 2]))
        for track in tracks[part::2]:
            levels, bits = _coded(schema, tables, track)
            real += bits
            estimated += float(estimate(params, levels))
    frames = sum(len(track) - 1 for track in tracks)
    return Rates(estimated / frames, real / frames)


def fitted_prior(model_config: Any, params: Any, tracks: Sequence[np.ndarray]) -> Any:
    """The parameters with the prior fitted to the levels that an encoder chooses, as tables are.

    In training the prior sees noise in the place of rounding; an encoder rounds, and to what is
    cheap. The model's prior sees earlier frames; where the parameters have one that sees fewer of
    them than `model_config` says, a fresh one is fitted. Arguments as of `compare_rates`, at least
    one track.
    """
    schema = learned_schema(model_config, params)
    model, tables = CodecModel(FrozenConfigDict(model_config)), fit_tables(schema, list(tracks))
    seen = []
    for track in tracks:
        levels, _ = _coded(schema, tables, track)
        past = frames_before(levels, levels[0], model_config.past)
        seen.append(jnp.concatenate([levels[None], past])[:, 1:])
    windows = jnp.concatenate(seen, 1)
    optimizer = optax.adam(optax.cosine_decay_schedule(_RATE, _STEPS))

    def bits(prior: Any, key: jax.Array) -> jax.Array:
        some = windows[:, jax.random.randint(key, (_BATCH,), 0, windows.shape[1])]
        whole = {"params": {**params, "prior": prior}}
        return model.apply(whole, some[0], some[1:], method="rate").sum(-1).mean()

    def step(state: Any, key: jax.Array) -> tuple[Any, None]:
        prior, memory = state
        change, memory = optimizer.update(jax.grad(bits)(prior, key), memory)
        return (optax.apply_updates(prior, change), memory), None

    fresh = model.init(jax.random.key(0), windows[0, :1], windows[1:, :1], method="rate")
    start, fresh = params["prior"], fresh["params"]["prior"]
    if jax.tree.map(np.shape, start) != jax.tree.map(np.shape, fresh):
        start = fresh
    keys = jax.random.split(jax.random.key(0), _STEPS)
    fit = jax.jit(lambda prior: jax.lax.scan(step, (prior, optimizer.init(prior)), keys)[0][0])
    return {**params, "prior": jax.device_get(fit(jax.tree.map(jnp.asarray, start)))}


def _coded(schema: Schema, tables: CodingTables, track: np.ndarray) -> tuple[jax.Array, int]:
    """Levels [T, D'] that an encoder chooses, and their bits in the stream."""
    coded = encode_vectors(schema, tables, track, rate_weight=EncodeOptions.rate_weight)
    sent = [slot.index for slot in schema.dynamic]
    levels = np.rint(
        coded.reconstructed[:, sent] / np.array([slot.step for slot in schema.dynamic])
    )
    bits = 8 * sum(len(group.payload) for group in coded.groups)
    return jnp.asarray(levels, jnp.float32), bits
