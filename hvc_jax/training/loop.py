"""The training run, top to bottom: devices, data, model, state, restore, steps.

Everything random is a function of (seed, step), so a run that was killed and started again ends
with the same parameters as one that was not.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from tqdm import tqdm

from hvc_jax.models.registry import make_model
from hvc_jax.training.checkpoint import Checkpoints
from hvc_jax.training.curve import plot_curve
from hvc_jax.training.data import training_data
from hvc_jax.training.init import load_params, merge
from hvc_jax.training.log import Log, write_run_files
from hvc_jax.training.parallel import Parallel
from hvc_jax.training.pictures import make_predict
from hvc_jax.training.replicas import Replicas
from hvc_jax.training.state import TrainState, create_state
from hvc_jax.training.step import make_step
from hvc_jax.training.validation import make_validate, step_sizes

HostBatch = dict[str, np.ndarray]


class NonFiniteError(FloatingPointError):
    """A term of the loss or a norm is NaN or infinite; the message names the terms and steps."""


class _StopRequest:
    """Notes a SIGTERM, which schedulers send before they take the machine away.

    Of several processes one may be told before the others, and all have to save the same step;
    there jax catches the signal and finds the step.
    """

    def __init__(self) -> None:
        self._seen = False
        self._previous: Any = None

    def __enter__(self) -> "_StopRequest":
        def note(signum: int, frame: Any) -> None:
            self._seen = True

        if jax.process_count() == 1:
            self._previous = signal.signal(signal.SIGTERM, note)
        return self

    def after(self, step: int) -> bool:
        """True when this step is to be the last; every process asks after every step."""
        if jax.process_count() > 1:
            self._seen |= multihost_utils.reached_preemption_sync_point(step)
        return self._seen

    def __exit__(self, *exception: Any) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)


def check_finite(first: int, history: list[dict[str, float]]) -> None:
    """Raises NonFiniteError for the first bad step of a window that begins at step `first`."""
    for i, terms in enumerate(history):
        bad = [name for name, value in terms.items() if not math.isfinite(value)]
        if bad:
            raise NonFiniteError(
                f"step {first + i}: {', '.join(bad)} not finite; stopped, the last checkpoint is "
                "good; lower optim.lr or look at these terms"
            )


def train(
    config: Any,
    workdir: Path,
    *,
    model: Any = None,
    batches: Callable[[int, int, int], Iterator[HostBatch]] | None = None,
    validate: Callable[[Any], dict[str, float]] | None = None,
    devices: list[jax.Device] | None = None,
    progress: bool = True,
) -> tuple[TrainState, bool]:
    """Trains, or goes on training, until `config.total_steps` or SIGTERM.

    Args:
        config: The whole configuration.
        workdir: Checkpoints and logs; a run that finds checkpoints there goes on from the last.
        model: Instead of the codec model of the configuration.
        batches: Instead of the data of the configuration: (batch size, seed, first step) ->
            endless batches of this process.
        validate: Instead of validation on the data of the configuration: parameters -> terms, of
            which "validation/total" chooses the best checkpoint. Other batches have none by
            default.
        devices: Instead of all devices.
        progress: Shows a line with the time left.

    Returns the state, and whether all steps are done (False after SIGTERM; it is saved then).
    Raises NonFiniteError: A term is NaN or infinite; nothing is saved of that.
    """
    workdir = Path(workdir)
    # ------------------------------------------------------------------ devices
    if config.loss.lmbdas:
        parallel = Replicas(config.loss.lmbdas, devices)
    else:
        parallel = Parallel(config.parallel, devices, config.shard_parameters)
    main = jax.process_index() == 0
    block_every_step = jax.default_backend() == "cpu"  # queued collectives can hang there

    # ------------------------------------------------------------------ model and losses
    if model is None:
        model = make_model(config.model)
    extract = load_extractor(config.loss)
    step_functions = make_step(config, model, extract)

    # ------------------------------------------------------------------ data
    if batches is None:
        batches, sequences = training_data(config)
        if validate is None and config.validation.clips and not config.loss.points_only:
            if sequences:
                validate = make_validate(config, model, extract, sequences)
            elif main:
                print("no clips for validation; the newest checkpoint is exported", flush=True)

    local_batch = config.batch_size * parallel.local_batch_factor
    example = next(batches(local_batch, config.seed, 0))

    # ------------------------------------------------------------------ state: resume > init
    write_run_files(workdir, config)
    checkpoints = Checkpoints(workdir, config.checkpoint.keep)
    shapes = jax.eval_shape(lambda: create_state(config, model, example))
    state = checkpoints.restore(parallel.abstract(shapes))
    if state is None:
        state = create_state(config, model, example)
        params = state.params
        if config.init_from:
            loaded = load_params(Path(config.init_from))
            params = merge(params, loaded, config.init_from, config.get("init_blocks", ()))
        state = state.replace(params=params, ema=jax.tree.map(jnp.copy, params))
        state = parallel.place_state(state)
    start = _steps_done(state)
    if main and start:
        print(f"{workdir}: goes on from step {start}")

    # ------------------------------------------------------------------ compile
    started = time.perf_counter()
    if main and progress:
        print("compiling the training step, once; it is kept for later runs", flush=True)
    run_step = parallel.compile(step_functions, state, parallel.place_batch(example))
    if main and progress:
        print(f"compiled in {time.perf_counter() - started:.0f} s", flush=True)
    predict = make_predict(model)

    # ------------------------------------------------------------------ steps
    log = Log(workdir, start)
    history: list[dict[str, Any]] = []
    score, since = math.inf, time.perf_counter()

    def flush(step: int) -> dict[str, float]:
        """Means over the steps since the last flush, checked."""
        nonlocal since
        values = [_named(parallel, terms) for terms in jax.device_get(history)]
        check_finite(step - len(values) + 1, values)
        seconds = time.perf_counter() - since
        means = {name: float(np.mean([v[name] for v in values])) for name in values[0]}
        means["speed/steps_per_second"] = len(values) / seconds
        means["speed/images_per_second"] = (
            len(values) * config.batch_size * len(parallel.devices) / seconds
        )
        history.clear()
        since = time.perf_counter()
        return means

    def averaged(state: TrainState) -> Iterator[tuple[str, Any]]:
        """The averaged parameters of every model, whole in every process."""
        if jax.process_count() > 1:
            return parallel.members(multihost_utils.process_allgather(state.ema, tiled=True))
        return parallel.members(state.ema)

    def validated(state: TrainState) -> dict[str, float]:
        """Terms of validation with the averaged parameters, which are exported."""
        terms: dict[str, float] = {}
        for ending, member in averaged(state):  # all processes see the same sequences
            member = jax.device_get(member)
            found = step_sizes(config.model, member) if "log_step" in member else {}
            found |= validate(member) if validate else {}
            terms |= {name + ending: value for name, value in found.items()}
        return terms

    data = batches(local_batch, config.seed, start)
    stop = _StopRequest()
    bar = tqdm(total=config.total_steps, initial=start, disable=not (progress and main))
    try:
        with stop, bar:
            for step in range(start + 1, config.total_steps + 1):
                batch = next(data)
                state, terms = run_step(state, parallel.place_batch(batch))
                if block_every_step:
                    terms = jax.device_get(terms)
                    check_finite(step, [_named(parallel, terms)])
                history.append(terms)
                stopped = stop.after(step)
                last = step == config.total_steps or stopped
                save = step % config.checkpoint.every == 0 or last
                if step % config.log.every == 0 or save:
                    means = flush(step)
                    loss, bits = (_over_models(means, n) for n in ("loss/total", "bits/latent"))
                    # A run that is told to stop has no time for it, and goes on later.
                    if save and not stopped:
                        means |= validated(state)
                    score = _over_models(means, "validation/total") if validate else -step
                    log.scalars(step, means)
                    bar.set_postfix(loss=f"{loss:.4f}", bits=f"{bits:.0f}")
                    if save and main and validate:
                        plot_curve(workdir)
                if config.log.images_every and step % config.log.images_every == 0:
                    for ending, ema in averaged(state):  # each process draws its own examples
                        log.picture(
                            step, "key_target_motion_prediction" + ending, predict(ema, batch)
                        )
                if save:
                    checkpoints.save(step, state, score)
                bar.update()
                if stopped:
                    break
    finally:
        log.close()
        checkpoints.close()
    return state, _steps_done(state) >= config.total_steps


def _steps_done(state: TrainState) -> int:
    """The step of a state that may be spread over machines; replicas all have the same."""
    return int(np.max(state.step.addressable_data(0)))


def _named(parallel: Parallel | Replicas, terms: dict[str, Any]) -> dict[str, float]:
    """The terms of a step as numbers; those of replicas have an ending each."""
    return {
        name + ending: float(value)
        for ending, one in parallel.members(terms)
        for name, value in one.items()
    }


def _over_models(means: dict[str, float], name: str) -> float:
    """The mean of a term over the replicas, or the term itself; infinite where there is none."""
    values = [value for key, value in means.items() if key.startswith(name)]
    return float(np.mean(values)) if values else math.inf


def load_extractor(loss: Any) -> Any:
    """The network of the perceptual loss, None where it is off; ValueError: no weights."""
    if not loss.perceptual or loss.perceptual_weights in ("", "none"):
        return None
    from hvc_jax.models.perceptual import load_perceptual

    return load_perceptual(loss.perceptual_weights)
