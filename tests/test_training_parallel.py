import functools
from typing import Any

import jax
import numpy as np
import pytest
from training_stub import StubModel, stub_batches, stub_config

from hvc_jax.training.parallel import Parallel
from hvc_jax.training.state import create_state
from hvc_jax.training.step import make_step

GLOBAL_BATCH = 16


def brightness(weights: jax.Array, pictures: jax.Array) -> list[jax.Array]:
    """A feature network of one layer, [B, H, W, 3] -> [[B, H, W, 1]]."""
    return [pictures @ weights]


def network(seed: int) -> jax.tree_util.Partial:
    weights = np.random.default_rng(seed).random((3, 1), np.float32)
    return jax.tree_util.Partial(brightness, weights)


@functools.cache  # compiling is what costs
def run(
    kind: str,
    devices: int,
    *,
    noisy: bool = True,
    sharded: bool = False,
    perceptual: bool = False,
    **fields,
) -> tuple[Any, list[dict[str, float]], Any]:
    """The host state, the terms of each step and the placed state after a few steps."""
    config = stub_config(batch_size=GLOBAL_BATCH // devices, **fields)
    model = StubModel(noisy=noisy)
    parallel = Parallel(kind, jax.devices()[:devices], sharded)
    data = stub_batches(GLOBAL_BATCH, 0, 0)
    batch = next(data)
    state = parallel.place_state(create_state(config, model, batch))
    step = make_step(config, model, network(0) if perceptual else None)
    step = parallel.compile(step, state, parallel.place_batch(batch))
    history = []
    for _ in range(3):
        state, terms = step(state, parallel.place_batch(next(data)))
        history.append({name: float(value) for name, value in terms.items()})
    return jax.device_get(state), history, state


def assert_close(one: Any, other: Any, tolerance: float = 1e-6) -> None:
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=tolerance, rtol=1e-5), one, other
    )


ADVERSARIAL = {
    "loss__adversarial": 0.1,
    "loss__adversarial_start": 0,
    "loss__adversarial_ramp": 1,
    "loss__discriminator_width": 4,
    "loss__discriminator_depth": 2,
}


def test_pmap_equals_jit_on_eight_devices() -> None:
    one, one_terms, _ = run("jit", 8, perceptual=True, **ADVERSARIAL)
    other, other_terms, _ = run("pmap", 8, perceptual=True, **ADVERSARIAL)
    assert {"loss/discriminator", "loss/perceptual"} < set(one_terms[0])
    assert_close(one_terms, other_terms)
    assert_close(one, other)


def test_eight_devices_equal_one() -> None:
    one, one_terms, _ = run("jit", 1, noisy=False)
    other, other_terms, _ = run("jit", 8, noisy=False)
    assert_close(one_terms, other_terms)
    assert_close(one, other)


def test_sharded_parameters_give_the_same_numbers() -> None:
    one, one_terms, _ = run("jit", 8, noisy=False)
    other, other_terms, placed = run("jit", 8, noisy=False, sharded=True)
    assert_close(one_terms, other_terms)
    assert_close(one, other)
    wide = placed.params["wide"]["kernel"]
    assert wide.addressable_shards[0].data.size * 8 == wide.size


def test_accumulated_microbatches_equal_one_batch() -> None:
    one, _, _ = run("jit", 1, noisy=False)
    other, _, _ = run("jit", 1, noisy=False, optim__accumulate=4)
    assert_close(one, other)


def test_no_discriminator_unless_asked_for() -> None:
    state, terms, _ = run("jit", 1, noisy=False)
    assert state.discriminator == {} and not any("adversarial" in name for name in terms[0])


def test_mean_of_parameters_follows_them() -> None:
    state, _, _ = run("jit", 1, noisy=False)
    assert state.step == 3
    gap = jax.tree.map(lambda a, b: np.abs(a - b).max(), state.params, state.ema)
    assert 0 < max(jax.tree.leaves(gap)) < 1e-2


def test_another_batch_shape_is_refused_and_not_compiled() -> None:
    config, model = stub_config(batch_size=2), StubModel()
    parallel = Parallel("jit", jax.devices()[:1])
    batch = next(stub_batches(2, 0, 0))
    state = parallel.place_state(create_state(config, model, batch))
    step = parallel.compile(make_step(config, model, None), state, parallel.place_batch(batch))
    with pytest.raises(TypeError):
        step(state, parallel.place_batch(next(stub_batches(3, 0, 0))))


def test_bad_requests_are_explained() -> None:
    with pytest.raises(ValueError, match="use 'jit' or 'pmap'"):
        Parallel("xmap")
    with pytest.raises(ValueError, match="needs parallel='jit'"):
        Parallel("pmap", shard_parameters=True)
    with pytest.raises(ValueError, match="8 devices cannot share a batch of 12"):
        Parallel("jit", jax.devices()[:8]).place_batch(next(stub_batches(12, 0, 0)))


def test_a_sweep_shares_one_program(monkeypatch) -> None:
    """Lambda, seed and feature network are arguments: all runs have the same program text."""
    texts = []
    lower = jax.stages.Lowered.compile
    monkeypatch.setattr(
        jax.stages.Lowered,
        "compile",
        lambda self, **keywords: (texts.append(self.as_text()), lower(self, **keywords))[1],
    )
    model, batch = StubModel(), next(stub_batches(2, 0, 0))
    states = []
    for lmbda, seed, weights in ((0.5, 0, 0), (8.0, 0, 0), (8.0, 3, 0), (8.0, 3, 1)):
        config = stub_config(batch_size=2, loss__lmbda=lmbda, seed=seed)
        parallel = Parallel("jit", jax.devices()[:1])
        start = create_state(stub_config(batch_size=2), model, batch)
        placed = parallel.place_state(start), parallel.place_batch(batch)
        step = parallel.compile(make_step(config, model, network(weights)), *placed)
        state, _ = step(*placed)  # at a rate of zero: the warm-up
        states.append(jax.device_get(step(state, placed[1])[0].params))
    assert len(set(texts)) == 1
    for one, other in ((0, 1), (1, 2), (2, 3)):
        apart = jax.tree.map(lambda a, b: np.abs(a - b).max(), states[one], states[other])
        assert max(jax.tree.leaves(apart)) > 0
