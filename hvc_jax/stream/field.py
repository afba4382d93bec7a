"""The payload of a group of displacement fields: integer levels <-> bytes. Imports no jax.

Both directions run one routine, `_code`, over a coder that either writes the values it is given or
ignores them and returns those it reads, so that they cannot disagree. FIELD.md says it in words.
"""

from typing import NamedTuple

import numpy as np

from hvc_jax.stream.binary_coder import BinaryDecoder, BinaryEncoder, bits
from hvc_jax.stream.field_contexts import (
    BLOCKS,
    MAX_LEVEL,
    MAX_MAGNITUDE,
    Tables,
    bucket,
    default_tables,
    diagonal_groups,
    neighbours,
    offsets,
    outer_score,
    scan,
    temporal_band,
    within_plane,
)
from hvc_jax.stream.field_layout import BLEND, BOTH, KINDS, Segment, planes

STEPS = tuple(float(2 ** (i / 4) / 8) for i in range(16))
"""The quantiser's steps in pixels, 1/8 to 1.68; a payload names one by its index."""

DEFAULT_STEP = 4

NEUTRAL_STEP = 4
"""Coarser steps than this make nonzero levels rarer, finer ones less rare."""


class FieldLevels(NamedTuple):
    """What a payload says."""

    levels: np.ndarray  # [planes, rows, columns] int32
    modes: np.ndarray  # [T] uint8, BOTH, PAST or FUTURE; BOTH where a frame has one key only
    step: int  # index into STEPS


def _escape(coder, value: int) -> int:
    """A number from 0 on as an Exp-Golomb code of plain bits."""
    value += 1
    length = value.bit_length() - 1
    size = 0
    while coder.plain(int(size < length), 1):
        size += 1
        if size > 9:
            raise ValueError("a field level is out of range")
    return ((1 << size) | coder.plain(value - (1 << length), size)) - 1


def _magnitude(coder, where: dict[str, int], value: int, kind: int, place: int) -> int:
    """The magnitude of a level that is not zero, given its bucket."""
    if not coder.bit(where["above_one"] + (kind == BLEND) * 20 + place, int(value > 1)):
        return 1
    found = 2
    while found < 15:
        index = where["above"] + min(found - 2, 3) * 5 + place // 4
        if not coder.bit(index, int(value > found)):
            return found
        found += 1
    found += _escape(coder, max(value - found, 0))
    if found > MAX_LEVEL:
        raise ValueError(f"a field level is {found}; {MAX_LEVEL} is the largest")
    return found


def _extent(coder, where, kind: int, band: int, value: int, around: list[int], last: int) -> int:
    """How many groups of diagonals of a plane are coded (0 to `last`)."""
    index = where["first"] + (kind * 7 + band) * 3 + sum(e > 0 for e in around)
    if not coder.bit(index, int(value > 0)):
        return 0
    found, reference = 1, max(around)
    while found < last:
        relation = min(max(reference - found + 2, 0), 4)
        index = where["more"] + (kind * 11 + found) * 5 + relation
        if not coder.bit(index, int(value > found)):
            break
        found += 1
    return found


def _plane(coder, where, kind: int, level, extent: int, score, w, signs: list) -> None:
    """The levels of one plane, read from or written into `level` [R, C]."""
    rows, columns = level.shape
    near_weight, far_weight = int(w[0]), int(w[1])
    magnitude = [[0] * (columns + 4) for _ in range(rows + 3)]  # two of margin left, up and right
    scores = score.tolist()
    significant = where["significant"] + kind * 20
    groups = scan(rows, columns)
    for g in range(extent):
        for y, x in groups[g]:
            up, here = magnitude[y + 1], magnitude[y + 2]
            near = up[x + 2] + here[x + 1]
            far = up[x + 1] + magnitude[y][x + 2] + here[x] + up[x + 3]
            place = bucket(scores[y][x] + near_weight * near + far_weight * far)
            value = int(level[y, x])
            if not coder.bit(significant + place, int(value != 0)):
                continue
            size = _magnitude(coder, where, abs(value), kind, place)
            first, second = (int(np.sign(s[y, x])) + 1 if s is not None else 1 for s in signs)
            index = where["sign"] + ((kind * 3 + first) * 3 + second) * 2 + (y + x == 0)
            negative = coder.bit(index, int(value < 0))
            level[y, x] = -size if negative else size
            here[x + 2] = min(size, MAX_MAGNITUDE)


def _modes(coder, where, modes: np.ndarray, part: Segment) -> None:
    before = BOTH
    span = modes[part.start : part.start + part.length]
    if not coder.bit(where["header"] + 2, int(span.any())):
        return
    for t, mode in enumerate(span.tolist()):
        chosen = coder.bit(where["mode"] + before * 2, int(mode != BOTH))
        if chosen:
            chosen += coder.bit(where["mode"] + before * 2 + 1, int(mode == 2))
        span[t] = before = chosen


def _code(coder, parts: list[Segment], value: FieldLevels, default_step: int, tables: Tables):
    """Codes a whole payload through `coder`; what is read lands in copies of `value`."""
    where = offsets()
    levels, modes, step = value.levels, value.modes, value.step
    rows = planes(parts)
    last = int(diagonal_groups(*levels.shape[1:]).max()) + 1
    if not coder.bit(where["header"], int(levels.any() or modes.any())):
        return FieldLevels(levels, modes, default_step)
    if coder.bit(where["header"] + 1, int(step != default_step)):
        step = coder.plain(step, 4)
    else:
        step = default_step
    near = neighbours(parts)
    magnitudes = np.zeros(levels.shape, np.int64)
    extents = [0] * (len(rows) + 1)  # the last stands for planes that do not exist
    groups = diagonal_groups(*levels.shape[1:])
    used = [[0] * len(KINDS) for _ in parts]
    n = 0
    for s, part in enumerate(parts):
        if part.past and part.future:
            _modes(coder, where, modes, part)
        while n < len(rows) and rows[n].segment == s:
            kind = rows[n].kind
            end = n
            while end < len(rows) and rows[end].segment == s and rows[end].kind == kind:
                end += 1
            before = used[s - 1][kind] if s else 0
            used[s][kind] = coder.bit(
                where["kind_used"] + kind * 2 + before, int(levels[n:end].any())
            )
            for i in range(n, end) if used[s][kind] else ():
                beside = near[i]
                nonzero = levels[i] != 0
                extent = _extent(
                    coder,
                    where,
                    kind,
                    temporal_band(rows[i], part.length),
                    int(groups[nonzero].max()) + 1 if nonzero.any() else 0,
                    [extents[beside.lower], extents[beside.other]],
                    last,
                )
                extents[i] = extent
                if extent:
                    score = outer_score(
                        tables, rows[i], part.length, step - NEUTRAL_STEP, beside, magnitudes
                    )
                    signs = [levels[j] if j >= 0 else None for j in (beside.lower, beside.before)]
                    _plane(
                        coder, where, kind, levels[i], extent, score, tables.weights[kind], signs
                    )
                    magnitudes[i] = np.minimum(np.abs(levels[i]), MAX_MAGNITUDE)
            n = end
    return FieldLevels(levels, modes, step)


def encode_levels(
    parts: list[Segment], value: FieldLevels, default_step: int = DEFAULT_STEP
) -> bytes:
    """The payload of a group, whose segments the decoder knows.

    `default_step`: index of the step that costs nothing to name; in the stream's header. Raises
    ValueError: levels of the wrong shape or larger than MAX_LEVEL, or modes out of range.
    """
    tables = default_tables()
    levels = np.array(value.levels, np.int32)
    modes = np.array(value.modes, np.uint8)
    if len(levels) != len(planes(parts)) or np.abs(levels).max(initial=0) > MAX_LEVEL:
        raise ValueError(f"field levels {levels.shape} do not fit the group or exceed {MAX_LEVEL}")
    if len(modes) != sum(p.length for p in parts) or modes.max(initial=0) > 2:
        raise ValueError(f"{len(modes)} modes do not fit the group")
    coder = BinaryEncoder(tables.contexts())
    _code(coder, parts, FieldLevels(levels, modes, value.step), default_step, tables)
    return coder.finish()


def decode_levels(
    data: bytes, parts: list[Segment], rows: int, columns: int, default_step: int = DEFAULT_STEP
) -> FieldLevels:
    """The levels of a payload; see `encode_levels`. ValueError: bytes that no encoder wrote."""
    tables = default_tables()
    coder = BinaryDecoder(tables.contexts(), data)
    blank = FieldLevels(
        np.zeros((len(planes(parts)), rows, columns), np.int32),
        np.zeros(sum(p.length for p in parts), np.uint8),
        default_step,
    )
    found = _code(coder, parts, blank, default_step, tables)
    coder.finish()
    return found


def level_costs(parts: list[Segment], value: FieldLevels) -> np.ndarray:
    """What levels would cost in their present neighbourhood, at the initial probabilities.

    Extents are left out; contexts are the coder's own.

    Returns [3, planes, R, C] float32 bits: of a 0, of a 1, and of each doubling beyond.
    """
    tables, where = default_tables(), offsets()
    rows = planes(parts)
    magnitudes = np.minimum(np.abs(value.levels), MAX_MAGNITUDE).astype(np.int64)
    near, far = within_plane(magnitudes)
    place = np.empty(magnitudes.shape, np.int64)
    for n, (row, beside) in enumerate(zip(rows, neighbours(parts), strict=True)):
        w = tables.weights[row.kind]
        place[n] = outer_score(
            tables, row, parts[row.segment].length, value.step - NEUTRAL_STEP, beside, magnitudes
        )
        place[n] += w[0] * near[n] + w[1] * far[n]
    place = bucket(place)
    kind = np.array([row.kind for row in rows])[:, None, None]
    zero = tables.zero
    significant = zero[where["significant"] + kind * BLOCKS["significant"][1] + place]
    above = zero[where["above_one"] + (kind == BLEND) * 20 + place]
    one = bits(significant, 1) + 1 + bits(above, 0)
    more = bits(above, 1) - bits(above, 0) + bits(zero[where["above"] + place // 4], 0)
    return np.stack([bits(significant, 0), one, more]).astype(np.float32)
