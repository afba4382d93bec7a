"""Analysis by synthesis: the encoder has the decoder, so it turns the numbers until frames match.

    latents ─► levels ─► decoder ─► frames' ─┐
       ▲                                     ├─► bits + LMBDA * squared error, a run of frames at once
       └──────────── gradient ◄──────────────┘

Only what is sent with every frame moves, on the lattice of the steps that the stream has: the
decoder sees rounded levels, the gradient passes through the rounding (straight-through; Bengio et
al., arXiv 1308.3432). Semantic vectors and tokens are the same to it.
"""  # noqa: E501

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hvc_jax.models.codec_model import CodecModel
from hvc_jax.models.prior import frames_before
from hvc_jax.ops.batching import batches, padded
from hvc_jax.ops.compile import fast_jit
from hvc_jax.ops.warp import average_pool
from hvc_jax.stream.slots import Schema
from hvc_jax.stream.vectors import QUANTISER_ONE

STEPS = (0, 0, 30, 100)
"""Gradient steps by effort."""

LMBDA = 4.0
"""Bits a frame that one squared grey level of mean error is worth: at 20 dB, where motion is coded,
a bit then buys .04 % of the error, about what it buys in the key picture."""

_BATCH = 8
_SIDE = 128  # pixels; motion that fits there fits, for a quarter of the time
_PACE = 0.5  # Adam's step, in levels
_IDLE = 10.0  # bits a level: numbers whose gradient is smaller hardly move, so they cost nothing


class PolishKey(NamedTuple):
    """A key frame as polishing sees it: features at the working size, latent [D] as decoded."""

    features: Any
    latent: np.ndarray


class Polisher:
    """Betters latents of one model; compiled once per picture size."""

    def __init__(self, model: CodecModel, variables: Any, schema: Schema) -> None:
        self._variables = variables
        self._sent = np.array([slot.index for slot in schema.dynamic])
        self._steps = np.array([slot.step for slot in schema.dynamic], np.float32)

        def straight_through(levels: jax.Array) -> jax.Array:
            return levels + jax.lax.stop_gradient(jnp.round(levels) - levels)

        def distortion(
            levels: jax.Array,
            steps: jax.Array,
            variables: Any,
            key: PolishKey,
            latents: jax.Array,
            frames: jax.Array,
        ) -> tuple[jax.Array, jax.Array]:
            """Weighted squared errors, their sum and each [B]."""
            latents = latents.at[:, self._sent].set(straight_through(levels) * steps)
            spread = lambda x: jnp.broadcast_to(x, (_BATCH, *x.shape[1:]))  # noqa: E731
            features, keys = jax.tree.map(spread, key.features), spread(key.latent[None])
            made, _ = model.apply(variables, features, keys, latents, method="synthesise")
            each = LMBDA * 255.0**2 * jnp.square(jnp.clip(made, 0, 1) - frames).mean((1, 2, 3))
            return each.sum(), each

        def bits(
            levels: jax.Array, scale: jax.Array, variables: Any, before: jax.Array
        ) -> jax.Array:
            """Bits of a run's residuals; at other steps than the model's, up to a constant."""
            levels = straight_through(levels)
            past = frames_before(levels, before, model.config.get("past", 1))
            return model.apply(variables, levels * scale, past * scale, method="rate").sum()

        self._distortion = fast_jit(jax.value_and_grad(distortion, has_aux=True))
        self._bits = jax.jit(jax.value_and_grad(bits))
        self._reference = fast_jit(lambda v, x: model.apply(v, x, method="reference"))

    def key(self, picture: np.ndarray, latent: np.ndarray) -> PolishKey:
        """What polishing needs of a key frame [H, W, 3] uint8 and its latent [D], as decoded."""
        return PolishKey(self._reference(self._variables, _shrunk(picture[None])), latent)

    def objective(
        self,
        frames: np.ndarray,
        latents: np.ndarray,
        key: PolishKey,
        before: np.ndarray,
        quantiser: int = QUANTISER_ONE,
    ) -> float:
        """What polishing makes smaller: bits plus weighted squared errors; see `polish`."""
        run = _Run(self, frames, latents, key, before, quantiser)
        return run.cost(run.levels)[0]

    def polish(
        self,
        frames: np.ndarray,  # [T, H, W, 3] uint8, consecutive frames
        latents: np.ndarray,  # [T, D] where to begin
        key: PolishKey,  # their key frame
        before: np.ndarray,  # [D] the latent of the frame before the first
        steps: int,  # gradient steps
        quantiser: int = QUANTISER_ONE,  # of the stream
    ) -> np.ndarray:
        """Latents [T, D] that are no worse by `objective` than the given ones, rounded or not."""
        run = _Run(self, frames, latents, key, before, quantiser)
        optimiser = optax.adam(optax.cosine_decay_schedule(_PACE, steps, 0.1), eps=_IDLE)
        levels = run.levels
        memory = optimiser.init(levels)
        best, best_cost = levels, np.inf
        for step in range(steps + 1):
            cost, gradient = run.cost(levels)
            if cost < best_cost:
                best, best_cost = levels, cost
            if step < steps:
                change, memory = optimiser.update(gradient, memory)
                levels = optax.apply_updates(levels, change)
        polished = np.array(latents, np.float32)
        polished[:, self._sent] = np.round(np.asarray(best)) * run.steps
        return polished


class _Run:
    """A run of frames, padded to whole batches, with its cost and gradient."""

    def __init__(
        self,
        polisher: Polisher,
        frames: np.ndarray,
        latents: np.ndarray,
        key: PolishKey,
        before: np.ndarray,
        quantiser: int,
    ) -> None:
        self._polisher, self._key = polisher, key
        self._scale = quantiser / QUANTISER_ONE
        self.steps = polisher._steps * self._scale
        self._before = jnp.asarray(before[polisher._sent] / self.steps)
        latents = np.asarray(latents, np.float32)
        self.levels = jnp.asarray(latents[:, polisher._sent] / self.steps)
        self._parts = [
            (padded(mine, _BATCH), _shrunk(padded(shown, _BATCH)))
            for mine, shown in zip(batches(latents, _BATCH), batches(frames, _BATCH), strict=True)
        ]

    def cost(self, levels: jax.Array) -> tuple[float, jax.Array]:
        """The objective, and its gradient [T, D'] with respect to the levels."""
        variables = self._polisher._variables
        total, gradient = self._polisher._bits(levels, self._scale, variables, self._before)
        errors, slopes = [], []
        for i, (latents, frames) in enumerate(self._parts):
            part = levels[i * _BATCH : (i + 1) * _BATCH]
            whole = jnp.pad(part, ((0, _BATCH - len(part)), (0, 0)), mode="edge")
            (_, each), slope = self._polisher._distortion(
                whole, self.steps, variables, self._key, latents, frames
            )
            errors.append(each[: len(part)])
            slopes.append(slope[: len(part)])
        return float(total + jnp.concatenate(errors).sum()), gradient + jnp.concatenate(slopes)


def _shrunk(pictures: np.ndarray) -> jax.Array:
    """Pictures [B, H, W, 3] uint8 in [0, 1], halved while the sides stay above 128 pixels."""
    unit = jnp.asarray(pictures, jnp.float32) / 255
    while min(unit.shape[1:3]) >= 2 * _SIDE and not any(side % 64 for side in unit.shape[1:3]):
        unit = average_pool(unit, 2)
    return unit
