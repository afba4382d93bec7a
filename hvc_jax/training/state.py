"""What training carries from step to step, and how it begins."""

from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax

from hvc_jax.models.discriminator import Discriminator

Params = dict[str, Any]


@flax.struct.dataclass
class TrainState:
    """Everything that a checkpoint holds; all arrays float32 but `step`."""

    step: jax.Array  # int32 scalar, updates done
    params: Params  # Parameters of the codec model
    ema: Params  # Their running mean, which is exported
    optimizer: Any  # optax state of `params`
    discriminator: Params  # Parameters of the discriminator; {} without an adversarial loss
    discriminator_optimizer: Any  # Its optax state


def learning_rate(optim: Any, peak: float, total_steps: int) -> optax.Schedule:
    """Warm-up, then constant or a cosine to `optim.final_lr` of the peak; else ValueError."""
    warmup = min(optim.warmup, max(total_steps // 2, 1))
    if optim.schedule == "constant":
        return optax.linear_schedule(0.0, peak, warmup)
    if optim.schedule == "cosine":
        return optax.warmup_cosine_decay_schedule(
            0.0, peak, warmup, max(total_steps, warmup + 1), peak * optim.final_lr
        )
    raise ValueError(f"optim.schedule={optim.schedule!r}; use 'cosine' or 'constant'")


def _quantisation_steps(params: Params) -> Any:
    """Marks the logarithms of the quantisation steps in a tree of parameters."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: getattr(path[-1], "key", None) == "log_step", params
    )


def optimizers(config: Any) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    """Clipped Adam for the model and for the discriminator.

    Adam moves every number by about the learning rate, whatever its gradient. Weights are small;
    the logarithm of a quantisation step has to go as far as lambda asks, and gets
    `optim.step_lr_factor` times that rate.
    """

    def build(peak: float) -> optax.GradientTransformation:
        schedule = learning_rate(config.optim, peak, config.total_steps)
        return optax.chain(
            optax.clip_by_global_norm(config.optim.clip),
            optax.adam(schedule, b1=config.optim.b1, b2=config.optim.b2),
            optax.masked(optax.scale(config.optim.step_lr_factor), _quantisation_steps),
        )

    return build(config.optim.lr), build(config.optim.discriminator_lr)


def discriminator_of(config: Any) -> Discriminator | None:
    """The discriminator that the configuration asks for, or None."""
    if config.loss.adversarial <= 0:
        return None
    return Discriminator(config.loss.discriminator_width, config.loss.discriminator_depth)


def create_state(config: Any, model: Any, batch: dict[str, jax.Array]) -> TrainState:
    """The state before the first step, from the seed, on the default device."""
    tx, discriminator_tx = optimizers(config)
    discriminator = discriminator_of(config)
    shapes = {name: (array.shape[1:], array.dtype) for name, array in batch.items()}

    @jax.jit
    def create(rng: jax.Array) -> TrainState:
        rng_model, rng_noise, rng_discriminator = jax.random.split(rng, 3)
        one = {name: jnp.zeros((1, *shape), dtype) for name, (shape, dtype) in shapes.items()}
        one = {k: v.astype(jnp.float32) for k, v in one.items()}
        rngs = {"params": rng_model, "noise": rng_noise}
        params = model.init(rngs, one, train=False)["params"]
        judged: Params = {}
        if discriminator is not None:
            seen = [one["target"]] * (2 if config.loss.discriminator_sees_key else 1)
            judged = discriminator.init(rng_discriminator, jnp.concatenate(seen, -1))["params"]
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            ema=jax.tree.map(jnp.copy, params),
            optimizer=tx.init(params),
            discriminator=judged,
            discriminator_optimizer=discriminator_tx.init(judged),
        )

    return create(jax.random.key(config.seed))
