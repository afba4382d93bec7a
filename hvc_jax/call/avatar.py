"""Somebody else's picture, moved as the person of a call moves: what keeps the own face private."""

import numpy as np

from hvc_jax.body.params import BODY_VECTOR_SIZE
from hvc_jax.codec.codec import Codec
from hvc_jax.codec.scenes import BodyFinder
from hvc_jax.stream.operations import Operation, apply


def body_of(codec: Codec, picture: np.ndarray, find: BodyFinder) -> np.ndarray:
    """The body [188] in a picture [H, H, 3] uint8, where the model wants one; else zeros."""
    if codec.variant != "semantic":
        return np.zeros(BODY_VECTOR_SIZE, np.float32)
    return find(picture[None])[0][0]


class Avatar:
    """Moves the latent [size] of a picture as other latents move, from the first of them on."""

    def __init__(self, codec: Codec, latent: np.ndarray) -> None:
        """Begins at the latent [size] of the avatar's picture."""
        self._schema = codec.export.tables.schema
        self.latent, self._origin = latent, np.zeros(0)
        self._columns = [slot.index for slot in self._schema.dynamic]

    def moved(self, latent: np.ndarray) -> np.ndarray:
        """The avatar's latent [size] where the person has another [size]."""
        if not len(self._origin):
            self._origin = latent
        base = np.tile(self.latent[self._columns].astype(np.float64), (2, 1))
        source = np.stack([self._origin, latent])[:, self._columns].astype(np.float64)
        out = self.latent.copy()
        operation = Operation("retarget", source=source)
        out[self._columns] = apply(operation, self._schema, base, base)[1]
        return out
