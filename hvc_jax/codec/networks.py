"""The networks of an exported model, compiled once per picture size, on uint8 pictures."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import FlaxError

from hvc_jax.codec.memory import DEFAULT_MAX_MEMORY, Fitting
from hvc_jax.codec.polish import Polisher
from hvc_jax.models.codec_model import CodecModel
from hvc_jax.models.export import PRETRAINED, Export, ExportError, reading
from hvc_jax.ops.batching import batches, padded
from hvc_jax.ops.compile import fast_jit

BATCH = 8
"""Frames that a network sees at once; shorter batches are padded, never compiled for."""


class KeyFrame(NamedTuple):
    """A key frame that single frames are drawn from.

    Attributes:
      picture: [H, W, 3] uint8 as coded.
      latent: [D] float32.
      features: What the synthesis takes from the picture.
      parts: What it can do once for all frames.
    """

    picture: np.ndarray
    latent: np.ndarray
    features: Any
    parts: Any


class Networks:
    """Analysis, reference and synthesis of one model.

    Attributes:
      export: The model, its coding tables and its id.
      polisher: Adjusts latents by gradient through the synthesis.
    """

    def __init__(self, export: Export, max_memory: int = DEFAULT_MAX_MEMORY) -> None:
        """Loads a model; a program that draws takes at most `max_memory` bytes at once."""
        self.export = export
        with matching(export):
            model = CodecModel(export.config.model)
        as_float = lambda x: jnp.asarray(x, jnp.float32)  # noqa: E731
        variables = {"params": jax.tree.map(as_float, export.params)}

        def analyse(
            variables: Any, pictures: jax.Array, key: jax.Array, body: jax.Array
        ) -> jax.Array:
            unit, key = (x.astype(jnp.float32) / 255.0 for x in (pictures, key))
            keys = jnp.broadcast_to(key, unit.shape)
            return model.apply(variables, unit, keys, body, method="analyse")

        def analyse_key(variables: Any, picture: jax.Array, body: jax.Array) -> jax.Array:
            unit = picture[None].astype(jnp.float32) / 255.0
            return model.apply(variables, unit, body[None], method="analyse_key")

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

        def key_parts(variables: Any, features: Any, key_latent: jax.Array) -> Any:
            return model.apply(variables, features, key_latent[None], method="key_parts")

        def one(
            variables: Any, features: Any, parts: Any, key_latent: jax.Array, latent: jax.Array
        ) -> tuple[jax.Array, jax.Array | None]:
            inputs = features, key_latent[None], latent[None], parts
            frames, aux = model.apply(variables, *inputs, method="synthesise")
            grid = aux["grid"][0] if "grid" in aux else None
            return jnp.round(jnp.clip(frames[0], 0.0, 1.0) * 255.0).astype(jnp.uint8), grid

        self._variables = variables
        self._analyse, self._reference = fast_jit(analyse), fast_jit(reference)
        self._analyse_key = fast_jit(analyse_key)
        self._key_parts, self._one = fast_jit(key_parts), fast_jit(one)
        self._synthesise = Fitting(fast_jit(synthesise), BATCH, max_memory)
        self.polisher = Polisher(model, variables, export.tables.schema)

    def analyse(self, pictures: np.ndarray, key: np.ndarray, bodies: np.ndarray) -> np.ndarray:
        """Latents [T, D] float32 of frames.

        Args:
          pictures: [T, H, W, 3] uint8.
          key: [H, W, 3] uint8, their key picture as coded.
          bodies: [T, 188] body vectors.
        """
        made = []
        for p, b in zip(batches(pictures, BATCH), batches(bodies, BATCH), strict=True):
            with matching(self.export):
                inputs = self._variables, padded(p, BATCH), key, padded(b, BATCH)
                made.append(np.asarray(self._analyse(*inputs))[: len(p)])
        return np.concatenate(made)

    def analyse_one(self, picture: np.ndarray, key: np.ndarray, body: np.ndarray) -> np.ndarray:
        """The latent [D] of one picture, at once rather than in a batch; `analyse` has the rest."""
        with matching(self.export):
            inputs = np.asarray(picture)[None], np.asarray(key), np.float32(body)[None]
            return np.asarray(self._analyse(self._variables, *inputs))[0]

    def analyse_key(self, picture: np.ndarray, body: np.ndarray) -> np.ndarray:
        """The latent [D] of a key picture [H, W, 3] uint8 as coded, with its body vector [188]."""
        with matching(self.export):
            return np.asarray(self._analyse_key(self._variables, picture, np.float32(body)))[0]

    def features(self, picture: np.ndarray) -> Any:
        """What the synthesis takes from a key picture [H, W, 3] uint8."""
        with matching(self.export):
            return self._reference(self._variables, picture)

    def draw(
        self, picture: np.ndarray, features: Any, key_latent: np.ndarray, latents: np.ndarray
    ) -> Iterator[np.ndarray]:
        """Yields the frames [H, W, 3] uint8 of latents [T, D].

        A frame that does not differ from the key frame *is* the key frame, as good as its bytes
        made it. After an edit it does differ, and is synthesised like the others.
        """
        latents, key_latent = np.float32(latents), np.float32(key_latent)
        size = BATCH
        while len(latents):
            part = latents[:size]
            same = (part == key_latent).all(-1)
            if not same.all():
                draw, fits = self._drawing(picture, features, key_latent)
                if fits < size:
                    size = fits
                    continue
                inputs = self._variables, features, key_latent, padded(part, size)
                made = np.asarray(draw(*inputs))
            for i in range(len(part)):
                yield picture.copy() if same[i] else made[i]
            latents = latents[size:]

    def key_frame(self, picture: np.ndarray, latent: np.ndarray) -> KeyFrame:
        """Readies a key frame, [H, W, 3] uint8 with its latent [D], for `draw_one`."""
        features, latent = self.features(picture), np.float32(latent)
        with matching(self.export):
            parts = self._key_parts(self._variables, features, latent)
        return KeyFrame(picture, latent, features, parts)

    def draw_one(self, key: KeyFrame, latent: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """The frame [H, W, 3] uint8 of one latent [D], at once rather than in a batch.

        Equal to that of `draw` but for rounding, one grey level at most.

        Returns:
          The frame, and the sampling grid [h, w, 2] in [-1, 1] that moved the key picture; None for
          the key frame itself, and for models that have no grid.
        """
        if (latent == key.latent).all():
            return key.picture.copy(), None
        frame, grid = self._one(self._variables, key.features, key.parts, key.latent, latent)
        return np.asarray(frame), None if grid is None else np.asarray(grid)

    def _drawing(
        self, picture: np.ndarray, features: Any, key_latent: np.ndarray
    ) -> tuple[Callable[..., Any], int]:
        """The compiled synthesis of frames of this size, and how many it makes at once."""

        def arguments(count: int) -> tuple:
            return self._variables, features, key_latent, np.tile(key_latent, (count, 1))

        height, width = picture.shape[:2]
        what = f"drawing a frame of {width}x{height} pixels"
        with matching(self.export):
            return self._synthesise.compiled(arguments, what)


@contextlib.contextmanager
def matching(export: Export) -> Iterator[None]:
    """Turns errors of a model file whose parameters and configuration do not match into one line.

    In the models that are shipped such an error is ours, and keeps its traceback.
    """
    try:
        with contextlib.nullcontext() if export.path.parent == PRETRAINED else reading(export.path):
            yield
    except FlaxError as error:
        raise ExportError(
            f"{export.path}: its parameters do not match its configuration; make it again with "
            "hvc export"
        ) from error
