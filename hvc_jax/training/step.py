"""One training step of both networks, as two pure functions that parallel.py compiles into one.

`gradients` sees one device's share of the batch and one forward pass of the model serves both
networks; `update` sees the averaged gradients. The split lets the second run on parameters that
are sharded over devices.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hvc_jax.training import losses
from hvc_jax.training.points import points_distance
from hvc_jax.training.precision import layers_in, to_float32
from hvc_jax.training.state import TrainState, discriminator_of, optimizers

Batch = dict[str, jax.Array]
Gradients = tuple[Any, Any]
Metrics = dict[str, jax.Array]


def unit_range(batch: Batch) -> Batch:
    """The batch with its uint8 pictures as float32 in [0, 1]."""
    return {
        name: array.astype(jnp.float32) / 255 if array.dtype == jnp.uint8 else array
        for name, array in batch.items()
    }


class Inputs(NamedTuple):
    """What a step needs beside state and batch, as arguments of its program.

    So the program is the same for all runs of a sweep, and compiled once; and the 59 MB of a
    VGG16 are not among its constants, which a compiler would fold and convert one by one.

    Attributes:
        lmbda: Weight of the distortion.
        seed: Of the noise and the windows.
        extract: Feature network of the perceptual loss, a pytree of its weights, or None.
    """

    lmbda: jax.Array | np.float32
    seed: jax.Array | np.uint32
    extract: losses.Features | None


@dataclass(frozen=True)
class Step:
    """The two halves of a training step.

    Attributes:
        gradients: (state, batch of this device, its index, inputs if other than these) ->
            ((model's, discriminator's) gradients, terms), means over this device's examples.
        update: (state, gradients, terms) -> (next state, terms with norms).
        inputs: Those of the configuration.
    """

    gradients: Callable[..., tuple[Gradients, Metrics]]
    update: Callable[[TrainState, Gradients, Metrics], tuple[TrainState, Metrics]]
    inputs: Inputs


def make_step(config: Any, model: Any, extract: losses.Features | None) -> Step:
    """The step functions of a configuration.

    Args:
        config: The whole configuration.
        model: The codec model; `apply` gives a dict with frame, bits and aux.
        extract: Feature network of the perceptual loss, as `load_perceptual` gives it, or None.
    """
    inputs = Inputs(np.float32(config.loss.lmbda), np.uint32(config.seed), extract)
    tx, discriminator_tx = optimizers(config)
    discriminator = discriminator_of(config)
    loss, optim = config.loss, config.optim

    def judge(params: Any, frame: jax.Array, key: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        seen = jnp.concatenate([frame, key], -1) if loss.discriminator_sees_key else frame
        with layers_in(config.dtype):
            return to_float32(discriminator.apply({"params": params}, seen))

    def model_loss(
        params: Any, state: TrainState, batch: Batch, rng: jax.Array, inputs: Inputs
    ) -> tuple[jax.Array, tuple[Metrics, jax.Array]]:
        with layers_in(config.dtype):
            outputs, kept = model.apply(
                {"params": params}, batch, train=True, rngs={"noise": rng}, mutable=["looks"]
            )
        outputs, target = to_float32(outputs), batch["target"]
        for look in jax.tree.leaves(kept):  # of the analysis: of targets, then of frames before
            outputs["aux"]["look_analysis"] = look[: len(target)]
        rate, distortion, terms = losses.rate_distortion(loss, outputs, target, inputs.extract, rng)
        if loss.points:
            latents = jnp.concatenate([outputs["latent"], outputs["key_latent"]])
            bodies = jnp.concatenate([batch["target_body"], batch["key_body"]])
            terms["loss/points"] = points_distance(latents, bodies)
            distortion = distortion + loss.points * terms["loss/points"]
        if loss.flow and "flow" in batch:
            terms["loss/flow"] = losses.flow_distance(outputs["aux"], batch["flow"])
            left = 1 - state.step / (loss.flow_until * config.total_steps)
            distortion = distortion + loss.flow * jnp.maximum(left, 0) * terms["loss/flow"]
        if discriminator is not None:
            scores, features = judge(state.discriminator, outputs["frame"], batch["key"])
            _, real_features = judge(state.discriminator, batch["target"], batch["key"])
            terms["loss/adversarial"] = losses.hinge_generator(scores)
            terms["loss/feature_matching"] = losses.feature_distance(features, real_features)
            ramp = losses.adversarial_ramp(loss, state.step)
            distortion = distortion + ramp * (
                loss.adversarial * terms["loss/adversarial"]
                + loss.feature_matching * terms["loss/feature_matching"]
            )
        # Before the decoder looks at the latents, rate alone would silence them for good.
        rate = rate * losses.rate_weight(loss.rate_warmup * config.total_steps, state.step)
        terms["loss/total"] = total = rate + inputs.lmbda * distortion
        return total, (terms, outputs["frame"])

    def points_loss(
        params: Any, state: TrainState, batch: Batch, rng: jax.Array, inputs: Inputs
    ) -> tuple[jax.Array, tuple[Metrics, jax.Array]]:
        frames = jnp.concatenate([batch["target"], batch["key"]])
        keys = jnp.concatenate([batch["key"], batch["key"]])
        bodies = jnp.concatenate([batch["target_body"], batch["key_body"]])
        latents = model.apply({"params": params}, frames, keys, bodies, method="analyse")
        total = points_distance(latents, bodies)
        return total, ({"loss/points": total, "loss/total": total}, batch["target"])

    def discriminator_loss(params: Any, fake: jax.Array, batch: Batch) -> jax.Array:
        real, _ = judge(params, batch["target"], batch["key"])
        scores, _ = judge(params, jax.lax.stop_gradient(fake), batch["key"])
        return losses.hinge_discriminator(real, scores)

    def microbatch(
        state: TrainState, batch: Batch, rng: jax.Array, inputs: Inputs
    ) -> tuple[Gradients, Metrics]:
        batch = unit_range(batch)
        value = jax.value_and_grad(points_loss if loss.points_only else model_loss, has_aux=True)
        (_, (terms, frame)), grads = value(state.params, state, batch, rng, inputs)
        judged: Any = {}
        if discriminator is not None:
            value = jax.value_and_grad(discriminator_loss)
            terms["loss/discriminator"], judged = value(state.discriminator, frame, batch)
        return (grads, judged), terms

    def gradients(
        state: TrainState, batch: Batch, device: jax.Array | int, inputs: Inputs = inputs
    ) -> tuple[Gradients, Metrics]:
        rng = jax.random.fold_in(jax.random.key(inputs.seed + 1), state.step)
        rng = jax.random.fold_in(rng, device)
        parts, size = optim.accumulate, len(batch["target"])
        if size % parts:
            raise ValueError(f"optim.accumulate={parts} must divide the batch of {size} a device")
        # A Python loop: convolutions inside lax.scan are an order of magnitude slower on CPU.
        results = []
        for i in range(parts):
            part = {k: v[i * size // parts : (i + 1) * size // parts] for k, v in batch.items()}
            results.append(microbatch(state, part, jax.random.fold_in(rng, i), inputs))
        return jax.tree.map(lambda *values: sum(values) / parts, *results)

    def update(state: TrainState, grads: Gradients, terms: Metrics) -> tuple[TrainState, Metrics]:
        step = state.step + 1
        changes, optimizer = tx.update(grads[0], state.optimizer, state.params)
        params = optax.apply_updates(state.params, changes)
        # A young mean forgets faster, so that it is not mostly the random start.
        decay = jnp.minimum(optim.ema, (1.0 + step) / (10.0 + step))
        ema = optax.incremental_update(params, state.ema, 1 - decay)
        terms = terms | {
            "norm/gradient": optax.tree.norm(grads[0]),
            "norm/update": optax.tree.norm(changes),
            "norm/params": optax.tree.norm(params),
        }
        discriminator_params = state.discriminator
        discriminator_optimizer = state.discriminator_optimizer
        if discriminator is not None:
            changes, discriminator_optimizer = discriminator_tx.update(
                grads[1], discriminator_optimizer, discriminator_params
            )
            discriminator_params = optax.apply_updates(discriminator_params, changes)
            terms["norm/discriminator_gradient"] = optax.tree.norm(grads[1])
        state = TrainState(
            step=step,
            params=params,
            ema=ema,
            optimizer=optimizer,
            discriminator=discriminator_params,
            discriminator_optimizer=discriminator_optimizer,
        )
        return state, terms

    return Step(gradients, update, inputs)
