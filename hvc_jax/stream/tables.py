"""Frozen integer tables: how likely every token is in every context, and how contexts are formed.

A row of `frequencies` holds integer frequencies of the tokens with sum 65536, none of them zero, so
that every symbol can be coded in every context. Tables are learned once (`tables_fit`), stored as
integers with the model, and never computed from floats by a decoder. Imports no jax.
"""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hvc_jax.stream.slots import Schema
from hvc_jax.stream.tokens import EXTRA_BITS, NUM_TOKENS

TOTAL_BITS = 16
TOTAL = 1 << TOTAL_BITS

FRACTION_BITS = 12
"""Running means and scales count in 1/4096 of a step (scales: times 256)."""
WEIGHT_BITS = 8
MEAN_SHIFTS = (1, 3, 5, 7)
"""Running mean k moves by 2**-MEAN_SHIFTS[k] of the way at every frame."""
LAGS = 8
PREDICTOR_BITS = 8
PREDICTORS = 6
"""Linear predictors that compete for every number; the first is the last value itself."""
ERROR_SHIFT = 4
"""A predictor's running error moves by 2**-ERROR_SHIFT of the way at every frame."""
PHASES = 4
SCALES = 28
HOLD_CONTEXTS = 4
"""None, one or both of the last two frames held still; first frame after a restart."""

DEFAULT_FILE = Path(__file__).with_name("default_tables.json")


def pmf_to_frequencies(pmf: np.ndarray) -> np.ndarray:
    """Returns int64 frequencies [*, M], each >= 1 and rows summing to 65536, nearest to `pmf`.

    `pmf`: [*, M] non-negative weights of any positive sum; M <= 4096.
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
    return (freq + 1).reshape(pmf.shape)


def token_costs(frequencies: np.ndarray) -> np.ndarray:
    """Returns about what tokens cost under `frequencies` [*, tokens], int64 in 1/16 bit.

    The logarithm is taken piecewise linearly, in integers: decoders rely on it.
    """
    exponent = np.frexp(frequencies.astype(np.float64))[1].astype(np.int64) - 1
    log = 16 * exponent + ((frequencies << 4) >> exponent) - 16
    return 16 * TOTAL_BITS - log + 16 * np.array(EXTRA_BITS)


@dataclasses.dataclass(frozen=True)
class CodingTables:
    """Everything that turns a schema's numbers into symbols with probabilities.

    D is the number of dynamic slots; all arrays are int64.
    """

    schema: Schema  # what they were made for
    # [SCALES, PHASES, tokens], rows sum to 65536, in order of growing scale
    frequencies: np.ndarray
    thresholds: np.ndarray  # [SCALES - 1] scale (1/2**20 step) from which the next table is used
    hold: np.ndarray  # [HOLD_CONTEXTS, 2] frequencies of "moves" and "holds still"
    stages: np.ndarray  # [D] in which stage of a frame a slot is coded, 0-based
    # [PREDICTORS, LAGS] weights (1/256) of past differences, latest first, in each predictor's
    # guess of the next
    gains: np.ndarray
    favourites: np.ndarray  # [D] the predictor that a slot prefers while none is clearly better
    weights: np.ndarray  # [means, D] weights (1/256) of running means in the scale
    floor: np.ndarray  # [D] scale (1/2**20 step) where nothing moved
    # [D, D] weights (1/256) of magnitudes of this frame's slots (row) in the scale of others
    # (column)
    neighbours: np.ndarray
    start: np.ndarray  # [D] running mean (1/4096 step) after a restart, at quantiser 1
    # [slots] expected distance (1/256 step) of a value from zero, or from the key's value after a
    # restart
    spread: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.schema.dynamic)
        shapes = {
            "frequencies": (SCALES, PHASES, NUM_TOKENS),
            "thresholds": (SCALES - 1,),
            "hold": (HOLD_CONTEXTS, 2),
            "stages": (count,),
            "gains": (PREDICTORS, LAGS),
            "favourites": (count,),
            "weights": (len(MEAN_SHIFTS), count),
            "floor": (count,),
            "neighbours": (count, count),
            "start": (count,),
            "spread": (len(self.schema.slots),),
        }
        for name, shape in shapes.items():
            array = np.asarray(getattr(self, name), np.int64)
            if array.shape != shape:
                raise ValueError(f"coding tables: {name} has shape {array.shape}, expected {shape}")
            # These keep every product and sum of contexts far inside 64 bits.
            limit = {"thresholds": 1 << 60, "floor": 1 << 60, "gains": 1 << 11}.get(name, 1 << 24)
            if array.size and (
                np.abs(array).max() > limit or (name != "gains" and array.min() < 0)
            ):
                raise ValueError(f"coding tables: {name} holds values out of range")
            object.__setattr__(self, name, array)
        for name in ("frequencies", "hold"):
            array = getattr(self, name)
            if array.min() < 1 or (array.sum(-1) != TOTAL).any():
                raise ValueError(f"coding tables: {name} must be >= 1 and sum to {TOTAL}")
        if (np.diff(self.thresholds) < 0).any():
            raise ValueError("coding tables: thresholds must not fall")
        if count and self.stages.max() >= max(count, 1):
            raise ValueError("coding tables: a stage is out of range")
        if count and self.favourites.max() >= PREDICTORS:
            raise ValueError("coding tables: a favourite is out of range")

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Returns the tables as named int32 or int64 arrays, to be stored with a model."""
        text = np.frombuffer(self.schema.to_json().encode(), np.uint8)
        arrays = {"schema": text.astype(np.int32)}
        for field in _ARRAYS:
            array = getattr(self, field)
            wide = array.size and np.abs(array).max() >= 1 << 31
            arrays[field] = array if wide else array.astype(np.int32)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "CodingTables":
        """Returns the tables stored by `to_arrays`; ValueError: one is missing or malformed."""
        try:
            text = np.asarray(arrays["schema"]).astype(np.uint8).tobytes().decode()
            schema = Schema.from_json(text)
            return cls(schema, **{name: arrays[name] for name in _ARRAYS})
        except (KeyError, UnicodeDecodeError) as error:
            raise ValueError(f"not coding tables: {error}; export the model again") from error


_ARRAYS = tuple(f.name for f in dataclasses.fields(CodingTables) if f.name != "schema")


def stage_of_slots(names: Sequence[str]) -> np.ndarray:
    """Returns the stage [D] of every slot: its place within its group (x, y, z), in threes."""
    seen: dict[str, int] = {}
    stages = []
    for name in names:
        group = name.rpartition("_")[0]
        stages.append(seen.get(group, 0) % 3)
        seen[group] = seen.get(group, 0) + 1
    return np.array(stages, np.int64)


def sibling_matrix(names: Sequence[str]) -> np.ndarray:
    """Returns bool [D, D]: whether two slots belong to one group of two or three (one joint)."""
    groups = np.array([name.rpartition("_")[0] for name in names])
    same = groups[:, None] == groups[None, :]
    small = same.sum(0) <= 3
    return same & small[None, :] & ~np.eye(len(names), dtype=bool)


@functools.lru_cache(maxsize=8)
def default_tables(schema: Schema) -> CodingTables:
    """Returns generic tables with which any schema can be coded before any were fitted.

    They were learned on motion capture with the same contexts for every slot, and are frozen in
    `default_tables.json`: changing that file changes what streams without a model mean.
    """
    generic = json.loads(DEFAULT_FILE.read_text(encoding="utf-8"))
    names = [slot.name for slot in schema.dynamic]
    count = len(names)
    stages = stage_of_slots(names)
    earlier = stages[:, None] < stages[None, :]
    siblings = sibling_matrix(names) & earlier
    # Shares: what siblings and everyone may contribute, split evenly among those there are.
    shares = [
        part * weight // np.maximum(part.sum(0), 1)
        for part, weight in ((siblings, generic["sibling"]), (earlier, generic["everyone"]))
    ]
    moving = np.array([slot.predictor != "last" for slot in schema.dynamic], bool)
    return CodingTables(
        schema=schema,
        frequencies=np.array(generic["frequencies"]),
        thresholds=np.array(generic["thresholds"]),
        hold=np.array(generic["hold"]),
        stages=stages,
        gains=np.array(generic["gains"]),
        favourites=moving * generic["favourite"],
        weights=np.repeat(np.array(generic["weights"])[:, None], count, 1),
        floor=np.full(count, generic["floor"]),
        neighbours=(shares[0] + shares[1]).astype(np.int64),
        start=np.full(count, generic["start"]),
        spread=np.full(len(schema.slots), generic["spread"]),
    )
