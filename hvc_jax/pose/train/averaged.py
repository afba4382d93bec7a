"""A short training of one small network on one device: AdamW, a cosine and averaged parameters."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from hvc_jax.ops.compile import fast_jit

Loss = Callable[..., tuple[jax.Array, dict[str, jax.Array]]]
Report = Callable[[int, dict[str, float], Any], None]


class Schedule(NamedTuple):
    """How a network is optimised.

    Attributes:
      steps: optimiser steps.
      learning_rate: peak of the cosine, reached after a short warm-up.
      final: share of the peak at the end.
      weight_decay: of AdamW.
      average: how much of the running mean of the parameters each step keeps.
    """

    steps: int
    learning_rate: float
    final: float
    weight_decay: float
    average: float


def train_averaged(
    params: Any,
    loss: Loss,
    schedule: Schedule,
    inputs: Iterable[tuple[Any, ...]],
    seed: int,
    report: Report | None = None,
    report_every: int = 100,
) -> Any:
    """Returns the running mean of the parameters after training.

    Args:
      params: start; left as it is.
      loss: (parameters, key of the step, *inputs of the step) -> (scalar, its parts).
      schedule: how long and how.
      inputs: of each step, arrays of the same shapes; at least `schedule.steps`.
      seed: of the steps' keys.
      report: called with (step, mean parts, averaged parameters) every `report_every` steps.
      report_every: steps between reports.
    """
    peak, steps = schedule.learning_rate, schedule.steps
    warm = min(100, max(1, steps // 4))
    rate = optax.warmup_cosine_decay_schedule(0.0, peak, warm, steps, peak * schedule.final)
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=schedule.weight_decay)
    )

    def train_step(params: Any, average: Any, state: Any, step: jax.Array, *inputs: Any) -> Any:
        key = jax.random.fold_in(jax.random.key(seed), step)
        grads, parts = jax.grad(loss, has_aux=True)(params, key, *inputs)
        updates, state = optimiser.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        # A young mean forgets faster, so that it is not mostly the random start.
        keep = jnp.minimum(schedule.average, (1.0 + step) / (10.0 + step))
        average = optax.incremental_update(params, average, 1 - keep)
        return params, average, state, parts

    compiled = fast_jit(train_step, donate_argnums=(0, 1, 2))
    params, average = jax.tree.map(jnp.array, params), jax.tree.map(jnp.array, params)
    state = optimiser.init(params)
    sums: dict[str, float] = {}
    for step, given in zip(range(steps), inputs, strict=False):
        params, average, state, parts = compiled(params, average, state, jnp.int32(step), *given)
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + float(value)
        if report is not None and (step + 1) % report_every == 0:
            report(step + 1, {k: v / report_every for k, v in sums.items()}, average)
            sums = {}
    return average
