"""Contexts of the levels of a displacement field: what a level's neighbours say of it.

Every coefficient has a score in sixteenths of a logit: a table entry for its place (kind of plane,
band of temporal frequency, group of diagonals) plus weights times magnitudes of neighbours: in the
same plane, at the next lower temporal frequency, of the other component, in the segment before.
The score, cut into buckets, chooses the adaptive contexts. Everything is an integer. Imports no
jax.
"""

import functools
import json
from importlib import resources
from typing import NamedTuple

import numpy as np

from hvc_jax.stream.binary_coder import Contexts
from hvc_jax.stream.field_layout import BLEND, BRIDGE, KINDS, Plane, Segment, planes

MAX_LEVEL = 1023
TEMPORAL_BANDS = 7
DIAGONALS = (0, 1, 2, 3, 4, 5, 7, 9, 12, 16, 24)
"""First diagonal y + x of each group of coefficients."""
BUCKETS = 20
BUCKET_WIDTH, LOWEST_SCORE = 8, -112
MAX_MAGNITUDE = 2
"""Magnitudes of neighbours count up to this."""
FEATURES = (
    "plane_near", "plane_far", "lower", "lower_around", "lower_2", "other", "other_around",
    "before", "before_around",
)  # fmt: skip

# Blocks of contexts, one after the other: name -> shape.
BLOCKS = {
    "header": (8,),
    "mode": (3, 2),
    "kind_used": (len(KINDS), 2),
    "first": (len(KINDS), TEMPORAL_BANDS, 3),
    "more": (len(KINDS), len(DIAGONALS), 5),
    "significant": (len(KINDS), BUCKETS),
    "sign": (len(KINDS), 3, 3, 2),
    "above_one": (2, BUCKETS),
    "above": (4, 5),
}


@functools.cache
def offsets() -> dict[str, int]:
    """Index of the first context of every block."""
    ends = np.cumsum([0] + [int(np.prod(shape)) for shape in BLOCKS.values()])
    return dict(zip(BLOCKS, ends.tolist(), strict=False))


class Tables(NamedTuple):
    """What was fitted on training clips."""

    place: np.ndarray  # [kinds, TEMPORAL_BANDS, diagonal groups] int, sixteenths of a logit
    weights: np.ndarray  # [kinds, features] int, sixteenths of a logit a unit of magnitude
    coarseness: np.ndarray  # [kinds] int, sixteenths of a logit a step of the step index
    zero: np.ndarray  # [contexts] int, initial probability of a 0 out of 65536
    count: np.ndarray  # [contexts] int, initial counts

    def contexts(self) -> Contexts:
        """Fresh adaptive contexts."""
        return Contexts(self.zero.tolist(), self.count.tolist())


@functools.cache
def default_tables() -> Tables:
    """The tables that every encoder and decoder share."""
    text = resources.files("hvc_jax.stream").joinpath("field_tables.json").read_text("ascii")
    stored = json.loads(text)
    return Tables(*(np.asarray(stored[name], np.int64) for name in Tables._fields))


def temporal_band(plane: Plane, length: int) -> int:
    """The band (0 to 6) of a plane of a segment of `length` frames."""
    k = plane.frequency
    if plane.kind in (BRIDGE, BLEND):
        return 0 if k == 0 else 1 + (16 * k // (length + 1)).bit_length()
    return (32 * (2 * k + 1) // (2 * length + 1)).bit_length()


@functools.cache
def diagonal_groups(rows: int, columns: int) -> np.ndarray:
    """The group of every coefficient: [rows, columns]."""
    diagonal = np.add.outer(np.arange(rows), np.arange(columns))
    return np.searchsorted(DIAGONALS, diagonal, side="right") - 1


@functools.cache
def scan(rows: int, columns: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Places (y, x) of every group of diagonals in coding order: by y + x, then by y."""
    groups = diagonal_groups(rows, columns)
    found: list[list[tuple[int, int]]] = [[] for _ in range(groups.max() + 1)]
    for d in range(rows + columns - 1):
        for y in range(max(0, d - columns + 1), min(rows, d + 1)):
            found[groups[y, d - y]].append((y, d - y))
    return tuple(tuple(g) for g in found)


class Neighbours(NamedTuple):
    """Planes coded before one plane that say something of it; -1 where there is none."""

    lower: int  # the next lower temporal frequency of the same component
    lower_2: int  # the one below that
    other: int  # the other component, of this frequency for component 1, of the next lower for 0
    before: int  # the same frequency and component in the segment before


def neighbours(parts: list[Segment]) -> list[Neighbours]:
    """The neighbours of every plane of a group, as numbers of planes."""
    rows = planes(parts)
    place = {row: n for n, row in enumerate(rows)}

    def find(segment: int, kind: int, frequency: int, component: int) -> int:
        return place.get(Plane(segment, kind, frequency, component), -1)

    return [
        Neighbours(
            find(s, kind, k - 1, c),
            find(s, kind, k - 2, c),
            -1 if kind == BLEND else find(s, kind, k if c else k - 1, 1 - c),
            find(s - 1, kind, k, c),
        )
        for s, kind, k, c in rows
    ]


def around(magnitudes: np.ndarray) -> np.ndarray:
    """The sum of the four neighbours of every place: [..., R, C] -> [..., R, C]."""
    padded = np.pad(magnitudes, [(0, 0)] * (magnitudes.ndim - 2) + [(1, 1), (1, 1)])
    return (
        padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
        + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    )  # fmt: skip


def within_plane(magnitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features `plane_near` and `plane_far` of whole planes [..., R, C], vectorised."""
    rows, columns = magnitudes.shape[-2:]
    p = np.pad(magnitudes, [(0, 0)] * (magnitudes.ndim - 2) + [(2, 2), (2, 2)])

    def at(y: int, x: int) -> np.ndarray:
        return p[..., 2 + y : 2 + y + rows, 2 + x : 2 + x + columns]

    return at(-1, 0) + at(0, -1), at(-1, -1) + at(-2, 0) + at(0, -2) + at(-1, 1)


def outer_score(
    tables: Tables,
    plane: Plane,
    length: int,
    coarseness: int,
    near: Neighbours,
    magnitudes: np.ndarray,
) -> np.ndarray:
    """The part of the score that is known before a plane is coded: [R, C] int64.

    `length`: frames of its segment; `coarseness`: step index less `field.NEUTRAL_STEP`; `near`: its
    neighbours; `magnitudes`: [planes, R, C] int, clipped at MAX_MAGNITUDE, of what was coded
    before.
    """
    w = tables.weights[plane.kind]
    groups = diagonal_groups(*magnitudes.shape[1:])
    score = tables.place[plane.kind, temporal_band(plane, length)][groups]
    score = score + tables.coarseness[plane.kind] * coarseness
    for number, itself, ring in (
        (near.lower, 2, 3), (near.lower_2, 4, None), (near.other, 5, 6), (near.before, 7, 8),
    ):  # fmt: skip
        if number >= 0 and magnitudes[number].any():
            score = score + w[itself] * magnitudes[number]
            if ring is not None:
                score = score + w[ring] * around(magnitudes[number])
    return score


def bucket(score: np.ndarray | int):
    """The bucket (0 to BUCKETS - 1) of a score or of an array of them."""
    if isinstance(score, int):
        found = (score - LOWEST_SCORE) // BUCKET_WIDTH
        return 0 if found < 0 else BUCKETS - 1 if found >= BUCKETS else found
    return np.clip((score - LOWEST_SCORE) // BUCKET_WIDTH, 0, BUCKETS - 1)
