"""Keypoints out of tables (.csv): a row a frame, or a row a keypoint. Imports no jax.

Columns are found by their names where there is a header (x0, y0, z0, v0; nose_x, ...; in any
order, beside others), else by their number: 33 groups of four, or the COCO layouts of three, after
what comes before them. Comma, semicolon and tab separate; a byte-order mark and a comma at the end
of the rows do no harm.
"""

import csv
import io
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hvc_jax.body.keypoint_json import Seen, from_columns
from hvc_jax.body.keypoint_layouts import KNOWN, LAYOUTS
from hvc_jax.body.keypoint_names import NAMES, order_of, plain
from hvc_jax.ops.files import text_of

_FRAME = re.compile(r"(frame|image|img)(_?(id|no|nr|num|number|idx|index|name))?|file_?name")
_INDEX = re.compile(r"|unnamed_?0|index|idx|id|no|nr")
_TIME = re.compile(r"time(stamp)?(_?(in_)?(ms|s|sec|seconds|us))?|seconds")
_TRACK = re.compile(r"(person|track|subject)(_?id)?")
_POINT = re.compile(r"(landmark|keypoint|joint|point|kp)(_?(id|no|num|number|idx|index))?")
_KINDS = {"x": 0, "y": 1, "z": 2, **dict.fromkeys(("v", "visibility", "visible", "vis"), 3)}
_KINDS |= dict.fromkeys(("c", "s", "conf", "confidence", "score", "likelihood", "prob"), 3)
_KIND = f"(?P<kind>{'|'.join(sorted(_KINDS, key=len, reverse=True))})"
_ENDS = re.compile(rf"^(?:(?P<name>.+?)[_. ]?)??{_KIND}$", re.I)
_STARTS = re.compile(rf"^{_KIND}[_. ]?(?P<name>\d+)$", re.I)
_WIDTHS = ((33, 4), (133, 3), (25, 3), (17, 3))
"""Points and numbers of each, where columns have no names."""


def read_csv(path: Path) -> list[Seen]:
    """Returns the people of a table, one a frame; ValueError: unknown columns; OSError."""
    text = re.sub(r"^(\s*(#[^\n]*|sep=.?)\n)+", "", text_of(path))
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    if separator == ";":
        text = text.replace(",", ".")
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=separator))
    except csv.Error as error:
        raise ValueError(str(error)) from None
    table = [[cell.strip() for cell in row] for row in rows]
    table = [row for row in table if any(row)]
    header = [] if not table or _is_numbers(table[0]) else table.pop(0)
    if not table:
        raise ValueError("no rows of numbers")
    groups, columns = _columns(header, table)
    if "" in groups and {0, 1} <= set(groups[""]):
        return _by_point(table, groups[""], columns)
    named = {n: g for n, g in groups.items() if {0, 1} <= set(g) and "world" not in n}
    if all(name.isdecimal() for name in named):
        named = dict(sorted(named.items(), key=lambda item: int(item[0][:9])))
    order = order_of(list(named))
    if order is not None:
        named = {list(named)[k]: list(named.values())[k] for k in order}
    complete = list(named.values())
    if complete:
        return _by_name(table, complete, columns)
    return _by_number(table)


def _is_numbers(row: list[str]) -> bool:
    try:
        [float(cell) for cell in row if cell]
    except ValueError:
        # A picture's name may come first in a row of numbers.
        return len(row) > 34 and sum(_number(cell) is not None for cell in row) > len(row) - 3
    return True


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


class _Columns(NamedTuple):
    """Which columns say what a row is of, or None."""

    frame: int | None
    time: int | None
    track: int | None
    point: int | None


def _columns(
    header: list[str], table: list[list[str]]
) -> tuple[dict[str, dict[int, int]], _Columns]:
    """Returns point -> {kind: column} in the header's order, and the other columns."""
    groups: dict[str, dict[int, int]] = {}
    names = [re.sub(r"[^a-z0-9]+", "_", cell.lower()).strip("_") for cell in header]

    def column(pattern: re.Pattern) -> int | None:
        return next((k for k, name in enumerate(names) if pattern.fullmatch(name)), None)

    frame = column(_FRAME)
    if frame is None and header and _INDEX.fullmatch(names[0]):  # as pandas writes them
        whole = [row[0].isdecimal() and len(row[0]) < 16 for row in table]
        frame = 0 if all(whole) and len({row[0] for row in table}) == len(table) else None
    special = _Columns(frame, column(_TIME), column(_TRACK), column(_POINT))
    for k, cell in enumerate(header):
        match = None if k in special else _STARTS.match(cell) or _ENDS.match(cell)
        if match:
            name = (match["name"] or "").lower()
            groups.setdefault(name, {}).setdefault(_KINDS[match["kind"].lower()], k)
    return groups, special


def _seen(row: list[str], k: int, columns: _Columns, points: np.ndarray) -> Seen:
    track = None if columns.track is None else _label(row, columns.track, k)
    time = None if columns.time is None or columns.frame is not None else row[columns.time]
    return Seen(
        _label(row, columns.frame, k),
        track if isinstance(track, int) else None,
        points,
        None if time is None else _seconds(time),
    )


def _seconds(text: str) -> float:
    """Returns 61.5 of 61.5 and of 00:01:01.5."""
    total = 0.0
    for part in text.split(":"):
        total = 60 * total + float(part)
    return total


def _value(row: list[str], column: int | None, default: float = np.nan) -> float:
    if column is None:
        return default
    if column >= len(row) or not row[column]:
        return np.nan
    return float(row[column])


def _label(row: list[str], column: int | None, k: int) -> int | str:
    if column is None or column >= len(row):
        return k
    number = _number(row[column])
    whole = number is not None and abs(number) < 1 << 53 and number == int(number)
    return int(number) if whole else row[column]


def _by_name(table: list[list[str]], groups: list[dict[int, int]], columns: _Columns) -> list[Seen]:
    if len(groups) not in LAYOUTS:
        raise ValueError(f"{len(groups)} points have an x and a y in the header; {KNOWN} are known")
    return [
        _seen(
            row,
            k,
            columns,
            np.array([[_value(row, g.get(i), 1.0) for i in (0, 1, 3)] for g in groups]),
        )
        for k, row in enumerate(table)
    ]


def _by_point(table: list[list[str]], group: dict[int, int], columns: _Columns) -> list[Seen]:
    """A row a keypoint: x, y, and the numbers of frame and keypoint beside them."""
    if columns.frame is None and columns.time is None:
        raise ValueError("a row a keypoint, and no column 'frame'")
    people: dict[tuple, list[tuple[int | str, list[float]]]] = {}
    first: dict[tuple, list[str]] = {}
    for row in table:
        key = tuple(row[c] for c in columns[:3] if c is not None)
        rows = people.setdefault(key, [])
        first.setdefault(key, row)
        numbers = [_value(row, group.get(i), 1.0) for i in (0, 1, 3)]
        rows.append((_label(row, columns.point, len(rows)), numbers))
    places = _places({label for rows in people.values() for label, _ in rows})
    count = next((n for n in LAYOUTS if n > max(places.values())), 0)
    if not count:
        raise ValueError(f"keypoint {max(places.values())}; {KNOWN} points are known")
    out = []
    for k, (key, rows) in enumerate(people.items()):
        points = np.full((count, 3), np.nan)
        for label, numbers in rows:
            points[places[label]] = numbers
        out.append(_seen(first[key], k, columns, points))
    return out


def _places(labels: set[int | str]) -> dict[int | str, int]:
    """Returns the place in its layout of every keypoint, by its number or name."""
    names = {label: plain(label) for label in labels if isinstance(label, str)}
    if names:
        known = next((n for n in NAMES.values() if set(names.values()) <= set(n)), None)
        if known is None or len(names) < len(labels):
            said = ", ".join(sorted(str(label)[:20] for label in labels))
            raise ValueError(f"keypoints named {said[:100]}; number them, or name them as COCO")
        return {label: known.index(name) for label, name in names.items()}
    numbers = sorted(int(label) for label in labels)
    if numbers[0] < 0:
        raise ValueError(f"keypoint {numbers[0]}; {KNOWN} points are known")
    from_one = numbers[0] == 1 and numbers[-1] == len(numbers) and len(numbers) in LAYOUTS
    return {number: number - from_one for number in numbers}


def _by_number(table: list[list[str]]) -> list[Seen]:
    """Without names: what the layouts need, after a frame number and whatever else."""
    out = []
    for k, row in enumerate(table):
        while len(row) > 1 and not row[-1]:
            row = row[:-1]
        count, width = next(
            ((n, w) for n, w in _WIDTHS if len(row) - 3 <= n * w <= len(row)), (0, 0)
        )
        if not count:
            raise ValueError(f"{len(row)} cells in row {k + 1}; 33 points have 4 each, others 3")
        lead = len(row) - count * width
        values = np.array([_value(row, c) for c in range(lead, len(row))])
        label = _label(row, 0 if lead else None, k)
        out.append(Seen(label, None, from_columns(values.reshape(count, width))))
    return out
