"""The table of what is sent: the slots of a vector and their quantisation steps.

Dynamic slots are sent with every frame, static slots once per key frame; a number that is in
neither is not sent and decodes as zero. `hvc_jax.stream.schema` makes the schemas that are in
use. Imports no jax.
"""

import dataclasses
import json
from collections.abc import Sequence

PREDICTORS = ("last", "velocity")


@dataclasses.dataclass(frozen=True)
class Slot:
    """One number that is sent."""

    name: str  # what it is called, e.g. "head_y"; the part before the last "_" names its group.
    index: int  # position in the vector, 0-based
    # "rad", "std" (standard deviations of a body model), "frame" (half picture widths) or ""
    unit: str
    step: float  # quantisation step in that unit, > 0; decoded values are integer multiples of it
    # "last" or "velocity" (damped), how the next value is guessed before fitting
    predictor: str = "last"

    def __post_init__(self) -> None:
        if not 0.0 < self.step < float("inf"):
            raise ValueError(f"slot {self.name!r}: step must be positive, got {self.step!r}")
        if self.predictor not in PREDICTORS:
            raise ValueError(
                f"slot {self.name!r}: predictor must be one of {PREDICTORS}, got {self.predictor!r}"
            )


@dataclasses.dataclass(frozen=True)
class Schema:
    """The table of what is sent of a vector with `size` entries."""

    name: str  # short name, e.g. "upper31+camera".
    size: int  # number of entries of the vector, sent or not
    dynamic: tuple[Slot, ...]  # slots sent with every frame
    static: tuple[Slot, ...] = ()  # slots sent once per key frame

    def __post_init__(self) -> None:
        indices = [slot.index for slot in (*self.dynamic, *self.static)]
        if len(set(indices)) != len(indices):
            raise ValueError(f"schema {self.name!r} sends the same vector entry twice")
        if indices and not 0 <= min(indices) <= max(indices) < self.size:
            raise ValueError(f"schema {self.name!r} has a slot outside its {self.size} entries")

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All slots, dynamic first."""
        return (*self.dynamic, *self.static)

    def to_json(self) -> str:
        """Returns the schema as compact JSON text; `from_json` is its inverse."""

        def rows(slots: Sequence[Slot]) -> list[list[object]]:
            return [[s.name, s.index, s.unit, s.step, s.predictor] for s in slots]

        record = {
            "name": self.name,
            "size": self.size,
            "dynamic": rows(self.dynamic),
            "static": rows(self.static),
        }
        return json.dumps(record, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Schema":
        """Returns the schema written by `to_json`; ValueError: the text is none."""
        try:
            record = json.loads(text)
            dynamic, static = (
                tuple(Slot(str(n), int(i), str(u), float(s), str(p)) for n, i, u, s, p in rows)
                for rows in (record["dynamic"], record["static"])
            )
            return cls(str(record["name"]), int(record["size"]), dynamic, static)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a schema: {error}") from error
