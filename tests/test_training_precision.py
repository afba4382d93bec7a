"""bfloat16 layers: the parameters stay float32 and the numbers stay close."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict
from training_stub import StubModel, stub_batches, stub_config

from hvc_jax.models.codec_model import CodecModel
from hvc_jax.training.config import load_config
from hvc_jax.training.precision import layers_in
from hvc_jax.training.state import create_state
from hvc_jax.training.step import make_step, unit_range


def steps(dtype: str, count: int = 20) -> tuple[object, list[float]]:
    config = stub_config(
        batch_size=2,
        dtype=dtype,
        total_steps=count,
        loss__adversarial=0.1,
        loss__adversarial_start=0,
        loss__discriminator_width=4,
        loss__discriminator_depth=2,
    )
    model, batch = StubModel(), next(stub_batches(2, 0, 0))
    step = make_step(config, model, None)
    run = jax.jit(lambda s, b: step.update(s, *step.gradients(s, b, 0)))
    state, totals = create_state(config, model, batch), []
    for _ in range(count):
        state, terms = run(state, batch)
        totals.append(float(terms["loss/l1"]))
    return state, totals


def test_training_in_bfloat16_stays_near_float32() -> None:
    exact, losses = steps("float32")
    close, rounded = steps("bfloat16")
    assert {x.dtype for x in jax.tree.leaves((close.params, close.ema))} == {np.dtype("float32")}
    assert losses != rounded and rounded[-1] < rounded[0]
    np.testing.assert_allclose(rounded, losses, rtol=0.02)
    change = jax.tree.map(lambda a, b: np.abs(a - b).max(), exact.params, close.params)
    assert max(jax.tree.leaves(change)) < 0.05


@pytest.mark.parametrize("variant", ["semantic", "keypoint"])
def test_every_convolution_of_the_codec_runs_in_bfloat16(variant: str) -> None:
    config = load_config(f"{variant}.py:runlocal")
    model = CodecModel(FrozenConfigDict(config.model))
    batch = unit_range(next(stub_batches(1, 0, 0, side=64, past=config.model.past)))
    shapes = jax.eval_shape(lambda: create_state(config, model, batch)).params

    def run(params: object) -> object:
        rngs = {"noise": jax.random.key(0)}
        with layers_in("bfloat16"):
            return model.apply({"params": params}, batch, train=True, rngs=rngs)

    text = str(jax.make_jaxpr(run)(shapes))
    convolutions = [line for line in text.splitlines() if "conv_general_dilated[" in line]
    assert convolutions and all(":bf16[" in line for line in convolutions)
    outputs = jax.eval_shape(run, shapes)
    # What is measured in pixels or bits never loses digits.
    assert outputs["frame"].dtype == outputs["bits"].dtype == jnp.float32


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match="use 'float32' or 'bfloat16'"):
        layers_in("float16")
