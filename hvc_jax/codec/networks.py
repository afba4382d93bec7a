"""The networks of an exported model, compiled once per picture size, on uint8 pictures."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.codec.polish import Polisher
from hvc_jax.models.codec_model import CodecModel
from hvc_jax.models.export import Export
from hvc_jax.ops.batching import batches, padded
from hvc_jax.ops.compile import fast_jit

BATCH = 8
"""Frames that a network sees at once; shorter batches are padded, never compiled for."""


class Networks:
    """Analysis, reference and synthesis of one model.

    Attributes:
      export: The model, its coding tables and its id.
      polisher: Adjusts latents by gradient through the synthesis.
    """

    def __init__(self, export: Export) -> None:
        self.export = export
        model = CodecModel(export.config.model)
        as_float = lambda x: jnp.asarray(x, jnp.float32)  # noqa: E731
        variables = {"params": jax.tree.map(as_float, export.params)}

        def analyse(variables: Any, pictures: jax.Array, body: jax.Array) -> jax.Array:
            unit = pictures.astype(jnp.float32) / 255.0
            return model.apply(variables, unit, body, method="analyse")

        def reference(variables: Any, picture: jax.Array) -> Any:
            unit = picture[None].astype(jnp.float32) / 255.0
            return model.apply(variables, unit, method="reference")

        def synthesise(
            variables: Any, features: Any, key_latent: jax.Array, latents: jax.Array
        ) -> jax.Array:
            spread = lambda x: jnp.broadcast_to(x, (len(latents), *x.shape[1:]))  # noqa: E731
            features, keys = jax.tree.map(spread, features), spread(key_latent[None])
            frames, _ = model.apply(variables, features, keys, latents, method="synthesise")
            return jnp.round(jnp.clip(frames, 0.0, 1.0) * 255.0).astype(jnp.uint8)

        self._variables = variables
        self._analyse, self._reference = fast_jit(analyse), fast_jit(reference)
        self._synthesise = fast_jit(synthesise)
        self.polisher = Polisher(model, variables, export.tables.schema)

    def analyse(self, pictures: np.ndarray, bodies: np.ndarray) -> np.ndarray:
        """Latents [T, D] float32 of pictures [T, H, W, 3] uint8 with body vectors [T, 188]."""
        parts = zip(batches(pictures, BATCH), batches(bodies, BATCH), strict=True)
        made = [
            np.asarray(self._analyse(self._variables, padded(p, BATCH), padded(b, BATCH)))[: len(p)]
            for p, b in parts
        ]
        return np.concatenate(made)

    def features(self, picture: np.ndarray) -> Any:
        """What the synthesis takes from a key picture [H, W, 3] uint8."""
        return self._reference(self._variables, picture)

    def draw(
        self, picture: np.ndarray, features: Any, key_latent: np.ndarray, latents: np.ndarray
    ) -> Iterator[np.ndarray]:
        """Yields the frames [H, W, 3] uint8 of latents [T, D].

        A frame that does not differ from the key frame *is* the key frame, as good as its bytes
        made it. After an edit it does differ, and is synthesised like the others.
        """
        for part in batches(latents, BATCH):
            same = (part == key_latent).all(-1)
            if not same.all():
                inputs = self._variables, features, key_latent, padded(part, BATCH)
                made = np.asarray(self._synthesise(*inputs))
            for i in range(len(part)):
                yield picture.copy() if same[i] else made[i]
