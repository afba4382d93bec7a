"""What the prior says of a stream is what the stream holds, within 5 %, for every variant."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from hvc_jax.models.codec_model import CodecModel, latent_schema
from hvc_jax.training.config import load_config
from hvc_jax.training.rates import compare_rates, fitted_prior

FRAMES, STEP = 128, 0.05


def tracks(seed: int, count: int, slots: int) -> list[np.ndarray]:
    """Levels [T, slots] of bodies that move by turns much and little, smoothly, and are noisy."""
    rng, speeds, found = np.random.default_rng(seed), np.linspace(0.3, 1.5, slots), []
    for _ in range(count):
        lively, swing = np.exp(rng.normal(0, 0.7)), 1.0
        place, speed = np.zeros(slots), np.zeros(slots)
        track = []
        for _ in range(FRAMES):
            swing = np.clip(swing * np.exp(rng.normal(0, 0.15)), 0.1, 4)
            speed = 0.85 * speed + rng.normal(0, 0.35, slots) * lively * swing * speeds
            place = 0.98 * place + speed
            track.append(place + rng.normal(0, 0.3, slots))
        found.append(np.array(track))
    return found


@pytest.mark.parametrize(
    ("variant", "past"), [("semantic", 4), ("keypoint", 4), ("implicit", 4), ("keypoint", 1)]
)
def test_the_prior_agrees_with_the_stream(variant: str, past: int) -> None:
    """Also where training had one that sees fewer frames than that which is exported."""
    small = [] if variant == "semantic" else ["--config.model.motion.token_size=12"]
    small += ["--config.model.motion.points=4"] if variant == "keypoint" else []
    config = load_config(f"{variant}.py:size=tiny", small)
    schema = latent_schema(config.model.motion)
    sent = np.array([slot.index for slot in schema.dynamic])
    slots = len(sent)
    trained = CodecModel(FrozenConfigDict(config.model.to_dict() | {"past": past}))
    zeros = jnp.zeros((past, 1, slots))
    params = trained.init(jax.random.key(0), zeros[0], zeros, method="rate")["params"]
    params["log_step"] = np.full(slots, np.log(STEP))

    def latents(seed: int, count: int) -> list[np.ndarray]:
        found = np.zeros((count, FRAMES, schema.size), np.float32)
        found[..., sent] = STEP * np.array(tracks(seed, count, slots))
        return list(found)

    params = fitted_prior(config.model, params, latents(0, 16))
    rates = compare_rates(config.model, params, latents(1, 8))
    assert rates.real > slots / 2  # something moves
    assert abs(rates.estimated / rates.real - 1) < 0.05


def test_models_of_the_first_format_rate_the_change_alone() -> None:
    fields = load_config("keypoint.py:size=tiny").model.to_dict()
    del fields["past"]
    model = CodecModel(FrozenConfigDict(fields))
    levels, past = jnp.ones((5, 32)), jnp.zeros((3, 5, 32))
    params = model.init(jax.random.key(0), levels, past, method="rate")
    run = lambda past: model.apply(params, levels, past, method="rate")  # noqa: E731
    np.testing.assert_array_equal(run(past), run(past.at[1:].set(7.0)))
    assert not np.allclose(run(past), run(past.at[0].set(1.0)))
