"""The generator of an exported model of fields, for uint8 pictures."""

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.codec.memory import DEFAULT_MAX_MEMORY, Fitting
from hvc_jax.codec.networks import matching
from hvc_jax.models.export import Export
from hvc_jax.models.field_generator import PICTURES, Sources
from hvc_jax.models.registry import make_model
from hvc_jax.ops.compile import fast_jit


class FieldNetwork:
    """What makes frames of key pictures and fields: `generator`, sources -> frames in [0, 1]."""

    def __init__(self, export: Export, max_memory: int = DEFAULT_MAX_MEMORY) -> None:
        """Loads a model of the variant field or hybrid, within `max_memory` bytes; ExportError."""
        with matching(export):
            model = make_model(export.config.model)
            variables = {"params": jax.tree.map(jnp.asarray, export.params)}

            def frames(variables: dict, sources: Sources) -> jax.Array:
                return model.apply(variables, sources, method="frames")

            self.generator = jax.tree_util.Partial(frames, variables)
            shapes = (1, 32, 32, 3 * PICTURES), (1, 32, 32, 1), (1,)
            jax.eval_shape(
                self.generator, Sources(*(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes))
            )
        self._key = Fitting(fast_jit(_key_frame), 1, max_memory)

    def key(self, picture: np.ndarray, qp: int) -> np.ndarray:
        """The frame [H, W, 3] uint8 shown where a key picture is; CodecError: too much memory."""
        inputs = self.generator, picture, np.float32(qp)
        height, width = picture.shape[:2]
        program, _ = self._key.compiled(lambda _: inputs, f"a frame of {width}x{height} pixels")
        return np.asarray(program(*inputs))


def _key_frame(generator: jax.tree_util.Partial, picture: jax.Array, qp: jax.Array) -> jax.Array:
    pictures = jnp.tile(picture, PICTURES)[None].astype(jnp.float32) / 255
    made = generator(Sources(pictures, jnp.full_like(pictures[..., :1], 0.5), qp[None]))
    return jnp.round(jnp.clip(made[0], 0, 1) * 255).astype(jnp.uint8)
