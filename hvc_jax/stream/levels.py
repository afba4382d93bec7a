"""Vectors to levels and back: every number is an integer multiple of its step.

A level is rounded from the value itself, not from a residual, so nothing drifts; a decoded value is
one product of an integer and a double, rounded to float32: the same on every machine. Imports no
jax.
"""

import numpy as np

from hvc_jax.stream.contexts import MAX_LEVEL
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import MAX_QUANTISER
from hvc_jax.stream.slots import Schema

QUANTISER_ONE = 64
"""Header quantiser at which steps are those of the schema; steps scale with quantiser / 64."""


class Levels:
    """Rounding of a schema's slots, `dynamic` ones first; `steps` [slots] float64 in force."""

    def __init__(self, schema: Schema, quantiser: int = QUANTISER_ONE) -> None:
        if not 1 <= quantiser <= MAX_QUANTISER:
            raise ValueError(f"quantiser must be 1 to {MAX_QUANTISER}, got {quantiser}")
        self.schema = schema
        self.quantiser = quantiser
        self.dynamic = len(schema.dynamic)
        self._indices = np.array([slot.index for slot in schema.slots], int)
        self.steps = np.array([slot.step for slot in schema.slots]) * quantiser / QUANTISER_ONE

    def of(self, vectors: np.ndarray) -> np.ndarray:
        """Returns int64 levels [*, slots] of `vectors` [*, size].

        Raises ValueError: on another size, or values that are not finite.
        """
        return np.rint(self.in_steps(vectors)).astype(np.int64)

    def in_steps(self, vectors: np.ndarray) -> np.ndarray:
        """Returns `vectors` [*, size] as float64 multiples [*, slots] of the steps, in 32 bits.

        Raises ValueError: on another size, or values that are not finite.
        """
        vectors = np.asarray(vectors)
        if vectors.ndim < 1 or vectors.shape[-1] != self.schema.size:
            raise ValueError(
                f"schema {self.schema.name} needs vectors of {self.schema.size} numbers, "
                f"got shape {vectors.shape}"
            )
        values = vectors[..., self._indices].astype(np.float64) / self.steps
        if not np.isfinite(values).all():
            raise ValueError("a vector to be coded holds a value that is not finite")
        return np.clip(values, -MAX_LEVEL, MAX_LEVEL)

    def vectors(self, levels: np.ndarray) -> np.ndarray:
        """Returns float32 vectors [*, size] of `levels` [*, slots]; numbers not sent are zero."""
        out = np.zeros((*levels.shape[:-1], self.schema.size), np.float32)
        out[..., self._indices] = levels * self.steps
        return out


def in_levels(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Returns float64 whole levels [*, n] of finite `values` [*, n], in 32 bits."""
    # In place: an interval of an hour is a million rows, and each copy of it 24 MB.
    rounded = values / steps
    np.clip(rounded, -MAX_LEVEL, MAX_LEVEL, out=rounded)
    return np.rint(rounded, out=rounded)


def with_static(dynamic: np.ndarray, static: np.ndarray) -> np.ndarray:
    """Returns levels [n, slots] of `dynamic` [n, dynamic slots] and `static` [static slots]."""
    return np.concatenate([dynamic, np.broadcast_to(static, (len(dynamic), len(static)))], axis=1)


def checked(levels: np.ndarray) -> np.ndarray:
    """Returns decoded `levels`; BitstreamError: one needs more than 32 bits."""
    if levels.size and np.abs(levels).max() > MAX_LEVEL:
        raise BitstreamError("a decoded value leaves the 32-bit range")
    return levels
