"""The one wiring of every variant: analyse, reference, synthesise; and the training-time rate."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from hvc_jax.models.generator import Generator
from hvc_jax.models.motion.implicit import ImplicitMotion
from hvc_jax.models.motion.keypoint import KeypointMotion
from hvc_jax.models.motion.mesh import SemanticMotion
from hvc_jax.models.prior import AdaptivePrior, FactorizedPrior
from hvc_jax.models.reference import Pyramid, ReferenceEncoder
from hvc_jax.ops.quantise import add_uniform_noise
from hvc_jax.stream.schema import Schema

MOTIONS: dict[str, type[nn.Module]] = {
    "semantic": SemanticMotion,
    "keypoint": KeypointMotion,
    "implicit": ImplicitMotion,
}
"""Motion models by `motion.kind`: a class with `analyse`, `align`, the static method
`latent_schema(config)` and, where bodies are sent, `sends_bodies = True`."""


def latent_schema(motion: ml_collections.ConfigDict) -> Schema:
    """The schema of the vectors that a motion block sends, with its initial steps.

    Args:
      motion: motion block of a model config.

    Raises:
      ValueError: if `motion.kind` is no variant.
    """
    return _motion_class(motion).latent_schema(motion)


def learned_schema(model_config: Any, params: dict[str, Any]) -> Schema:
    """What a model sends, with the quantisation steps that it has learned."""
    schema = latent_schema(model_config.motion)
    steps = np.exp(np.asarray(params["log_step"], np.float64))
    slots = tuple(
        dataclasses.replace(slot, step=float(f"{step:.4g}"))
        for slot, step in zip(schema.dynamic, steps, strict=True)
    )
    return dataclasses.replace(schema, dynamic=slots)


def sends_bodies(motion: ml_collections.ConfigDict) -> bool:
    """Whether the latents of a motion block are made from bodies; others ignore them."""
    return getattr(_motion_class(motion), "sends_bodies", False)


def _motion_class(motion: ml_collections.ConfigDict) -> type[nn.Module]:
    if motion.kind not in MOTIONS:
        raise ValueError(f"motion.kind is {motion.kind!r}; use one of {sorted(MOTIONS)}")
    return MOTIONS[motion.kind]


def slot_groups(motion: ml_collections.ConfigDict) -> dict[str, np.ndarray]:
    """Places of the slots by what they belong to: expression, pelvis, left_elbow, camera, token."""
    groups: dict[str, list[int]] = {}
    for place, slot in enumerate(latent_schema(motion).dynamic):
        groups.setdefault(slot.name.rpartition("_")[0] or slot.name, []).append(place)
    return {name: np.array(places) for name, places in groups.items()}


class CodecModel(nn.Module):
    """Key picture and latents in, frame out.

        latent   = analyse(frame, key, body)                [B, D]   what is sent, per frame
        features = reference(key)                           Pyramid  once per key frame
        aligned  = motion.align(features, key_latent, latent)
        frame    = generator(aligned)                       [B, H, W, 3]

    Variants differ in `config.motion` and nowhere else.

    Attributes:
      config: model block of a config.
    """

    config: ml_collections.FrozenConfigDict

    def setup(self) -> None:
        """Submodules and the learned steps."""
        c = self.config
        self.reference_encoder = ReferenceEncoder(tuple(c.widths), c.blocks)
        self.motion = _motion_class(c.motion)(c.motion, tuple(c.widths))
        self.generator = Generator(tuple(c.widths), c.blocks, c.get("strength", 1.0))
        schema = latent_schema(c.motion)
        self.size, self.sent = schema.size, np.array([slot.index for slot in schema.dynamic])
        steps = np.array([slot.step for slot in schema.dynamic], np.float32)
        self.log_step = self.param("log_step", lambda _: jnp.log(steps))
        # Models of format 1 have the factorised prior, of the change from the frame before; to look
        # back at one frame is the same.
        self.adaptive = c.get("past", 0) > 1
        names = tuple(slot.name for slot in schema.dynamic)
        self.prior = AdaptivePrior(names) if self.adaptive else FactorizedPrior(len(names))

    def analyse(self, frames: jax.Array, key: jax.Array, body: jax.Array) -> jax.Array:
        """The latents of frames.

        Args:
          frames: [B, H, W, 3] in [0, 1].
          key: [B, H, W, 3] their key pictures as coded (the implicit variant looks at them).
          body: [B, 188] body vectors of the frames (the semantic variant looks at them).

        Returns:
          [B, D]; quantising is the stream's responsibility.
        """
        return self.motion.analyse(frames, key, body)

    def analyse_key(self, key: jax.Array, body: jax.Array) -> jax.Array:
        """The latents [B, D] of key frames, arguments as of `analyse`."""
        if getattr(self.motion, "relative", False):
            return jnp.zeros((len(key), self.size))
        return self.analyse(key, key, body)

    def reference(self, key: jax.Array) -> Pyramid:
        """Features of the key picture *as coded*, [B, H, W, 3] in [0, 1]."""
        return self.reference_encoder(key)

    def key_parts(self, features: Pyramid, key_latent: jax.Array) -> Any:
        """What `synthesise` can do once for all frames of a key frame; None for nothing.

        Args:
          features: from `reference`.
          key_latent: [B, D] quantised latent of the key frame.
        """
        found = getattr(self.motion, "key_parts", None)
        return None if found is None else found(features, key_latent)

    def synthesise(
        self, features: Pyramid, key_latent: jax.Array, latent: jax.Array, parts: Any = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The decoded frames.

        Args:
          features: from `reference`.
          key_latent: [B, D] quantised latent of the key frame.
          latent: [B, D] quantised latents of the frames.
          parts: from `key_parts`, where they are known.

        Returns:
          frames [B, H, W, 3], around [0, 1] and not clipped, and a dict of intermediate pictures.
        """
        known = () if parts is None else (parts,)
        aligned, aux = self.motion.align(features, key_latent, latent, *known)
        frame, mask = self.generator(aligned)
        return frame, aux | {"mask": mask}

    def rate(self, levels: jax.Array, past: jax.Array) -> jax.Array:
        """Estimated bits [*, D'] of what is sent of frames.

        Args:
          levels: [*, D'] noisy or rounded, in units of the steps.
          past: [P, *, D'] of the frames before, the latest first.
        """
        return self.prior(levels, past) if self.adaptive else self.prior(levels - past[0])

    def __call__(self, batch: dict[str, jax.Array], train: bool) -> dict:
        """Training pairs through the codec, with noise (train) or rounding in its place.

        Args:
          batch: key, target [B, H, W, 3] in [0, 1] (the coded key picture; the frame to predict),
            previous [B, P, H, W, 3] (the frames before it, the latest first; models of bodies do
            without), key_body, target_body [B, 188], previous_body [B, P, 188].
          train: add uniform noise (needs the rng stream "noise"); else round.

        Returns:
          frame [B, H, W, 3], bits [B] (estimated, of the targets' latents), group_bits (its parts
          by what is sent), latent and key_latent [B, D] unquantised, and aux.
        """
        step = jnp.exp(self.log_step)
        count = batch["key"].shape[0]
        previous_body = batch["previous_body"]
        pictures, keys = [batch["target"]], [batch["key"]]
        if "previous" in batch:
            previous = batch["previous"]
            pictures.append(previous.reshape(-1, *previous.shape[2:]))
            keys.append(jnp.repeat(batch["key"], previous.shape[1], 0))
        bodies = batch["target_body"], previous_body.reshape(-1, previous_body.shape[-1])
        latents = self.analyse(*(jnp.concatenate(x) for x in (pictures, keys, bodies)))
        key_latents = self.analyse_key(batch["key"], batch["key_body"])
        latents = jnp.concatenate([key_latents, latents])
        levels = latents[:, self.sent] / step
        if train:
            levels = add_uniform_noise(self.make_rng("noise"), levels)
        else:
            levels = jnp.round(levels)
        quantised = latents[: 2 * count].at[:, self.sent].set(step * levels[: 2 * count])
        features = self.reference(batch["key"])
        frame, aux = self.synthesise(features, quantised[:count], quantised[count:])
        past = levels[2 * count :].reshape(*previous_body.shape[:2], levels.shape[-1])
        bits = self.rate(levels[count : 2 * count], jnp.moveaxis(past, 1, 0))
        return {
            "frame": frame,
            "bits": bits.sum(-1),
            "group_bits": {
                n: bits[:, at].sum(-1) for n, at in slot_groups(self.config.motion).items()
            },
            "key_latent": latents[:count],
            "latent": latents[count : 2 * count],
            "aux": aux,
        }
