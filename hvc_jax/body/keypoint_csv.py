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

import numpy as np

from hvc_jax.body.keypoint_json import Seen, from_columns
from hvc_jax.body.keypoint_layouts import KNOWN, LAYOUTS

_FRAME = re.compile(
    r"(frame|image)(_?(id|no|nr|num|number|idx|index|name))?|image|file_?name", re.I
)
_POINT = re.compile(r"(landmark|keypoint|joint|point|kp)(_?(id|no|num|number|idx|index))?", re.I)
_KINDS = {"x": 0, "y": 1, "z": 2, **dict.fromkeys(("v", "visibility", "visible", "vis"), 3)}
_KINDS |= dict.fromkeys(("c", "s", "conf", "confidence", "score", "likelihood", "prob"), 3)
_KIND = f"(?P<kind>{'|'.join(sorted(_KINDS, key=len, reverse=True))})"
_ENDS = re.compile(rf"^(?:(?P<name>.+?)[_. ]?)??{_KIND}$", re.I)
_STARTS = re.compile(rf"^{_KIND}[_. ]?(?P<name>\d+)$", re.I)
_WIDTHS = ((33, 4), (133, 3), (25, 3), (17, 3))
"""Points and numbers of each, where columns have no names."""


def read_csv(path: Path) -> list[Seen]:
    """Returns the people of a table, one a frame.

    Raises:
      ValueError: the columns are not understood; OSError where the file cannot be read.
    """
    text = path.read_text(encoding="utf-8-sig")
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    if separator == ";":
        text = text.replace(",", ".")
    table = [[c.strip() for c in row] for row in csv.reader(io.StringIO(text), delimiter=separator)]
    table = [row for row in table if any(row)]
    header = [] if not table or _is_numbers(table[0]) else table.pop(0)
    if not table:
        raise ValueError("no rows of numbers")
    groups, frame = _columns(header)
    if "" in groups and {0, 1} <= set(groups[""]):
        return _by_point(table, header, groups[""], frame)
    named = {n: g for n, g in groups.items() if {0, 1} <= set(g) and "world" not in n}
    if all(name.isdecimal() for name in named):
        named = dict(sorted(named.items(), key=lambda item: int(item[0][:9])))
    complete = list(named.values())
    if complete:
        return _by_name(table, complete, frame)
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


def _columns(header: list[str]) -> tuple[dict[str, dict[int, int]], int | None]:
    """Returns point -> {kind: column}, in the header's order, and the column of frames."""
    groups: dict[str, dict[int, int]] = {}
    frame = None
    for k, cell in enumerate(header):
        if frame is None and _FRAME.fullmatch(cell):
            frame = k
        elif match := _STARTS.match(cell) or _ENDS.match(cell):
            groups.setdefault((match["name"] or "").lower(), {}).setdefault(
                _KINDS[match["kind"].lower()], k
            )
    return groups, frame


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


def _by_name(table: list[list[str]], groups: list[dict[int, int]], frame: int | None) -> list[Seen]:
    if len(groups) not in LAYOUTS:
        raise ValueError(f"{len(groups)} points have an x and a y in the header; {KNOWN} are known")
    return [
        Seen(
            _label(row, frame, k),
            None,
            np.array([[_value(row, g.get(i), 1.0) for i in (0, 1, 3)] for g in groups]),
        )
        for k, row in enumerate(table)
    ]


def _by_point(
    table: list[list[str]], header: list[str], group: dict[int, int], frame: int | None
) -> list[Seen]:
    """A row a keypoint: x, y, and the numbers of frame and keypoint beside them."""
    point = next((k for k, cell in enumerate(header) if _POINT.fullmatch(cell)), None)
    if frame is None:
        raise ValueError("a row a keypoint, and no column 'frame'")
    frames: dict[int | str, list[tuple[int, list[float]]]] = {}
    for k, row in enumerate(table):
        rows = frames.setdefault(_label(row, frame, k), [])
        number = _label(row, point, len(rows))
        numbers = [_value(row, group.get(i), 1.0) for i in (0, 1, 3)]
        rows.append((number if isinstance(number, int) else len(rows), numbers))
    count = max(max(n for n, _ in rows) + 1 for rows in frames.values())
    count = next((n for n in LAYOUTS if n >= count), 0)
    out = []
    for label, rows in frames.items():
        points = np.full((count, 3), np.nan)
        for number, numbers in rows:
            if not 0 <= number < count:
                raise ValueError(f"keypoint {number} in frame {label}; {KNOWN} points are known")
            points[number] = numbers
        out.append(Seen(label, None, points))
    return out


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
