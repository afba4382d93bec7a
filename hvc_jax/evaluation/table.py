"""Measured rows as aligned text and as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def format_value(value: Any) -> str:
    """A table cell: floats with digits by size, None and NaN as a dash, the rest as text."""
    if value is None or value != value:
        return "-"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, float):
        digits = 1 if abs(value) >= 100 else 2 if abs(value) >= 2 else 3
        return f"{value:.{digits}f}"
    return str(value)


def text_table(rows: Sequence[Row], columns: Sequence[str] | None = None) -> str:
    """Rows as aligned columns, text to the left and numbers to the right.

    Args:
        rows: Each a mapping from column name to value; missing values are shown as a dash.
        columns: Names in order; None means those of the first row.

    Returns:
        Lines joined by newlines, the first being the header; "" without rows.
    """
    if not rows:
        return ""
    columns = list(rows[0]) if columns is None else list(columns)
    cells = [[format_value(row.get(name)) for name in columns] for row in rows]
    is_text = [any(isinstance(row.get(name), str) for row in rows) for name in columns]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(columns)]

    def align(line: Sequence[str]) -> str:
        parts = zip(line, widths, is_text, strict=True)
        return "  ".join(c.ljust(w) if text else c.rjust(w) for c, w, text in parts).rstrip()

    return "\n".join([align(columns), *map(align, cells)])


def csv_text(rows: Sequence[Row], columns: Sequence[str] | None = None) -> str:
    """Rows as CSV with a header; floats keep six significant digits, None is empty."""
    if not rows:
        return ""
    columns = list(rows[0]) if columns is None else list(columns)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = (row.get(name) for name in columns)
        writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in values])
    return out.getvalue()


def mean_rows(rows: Sequence[Row], by: Sequence[str], columns: Sequence[str]) -> list[dict]:
    """One row per distinct value of `by` with the mean of `columns` and the number of rows, `n`.

    Missing values (None, NaN) are left out of a mean; a mean of nothing is None. Order is that
    of first appearance.
    """
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    means = []
    for values, members in groups.items():
        mean: dict[str, Any] = dict(zip(by, values, strict=True)) | {"n": len(members)}
        for name in columns:
            known = [row[name] for row in members if row.get(name) is not None]
            known = [float(v) for v in known if v == v]
            mean[name] = sum(known) / len(known) if known else None
        means.append(mean)
    return means
