"""Measured rows as aligned text and as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]

PROVENANCE = ("version", "commit", "model_id")
"""Columns that say what a row was made with: the program, and the model in hexadecimal."""

TEXT = ("clip", "content", "kind", "codec", "anchor", "metric", "reason", "split", *PROVENANCE)
"""Columns that stay text whatever they look like."""


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
    """Rows as lines of aligned columns under a header, text to the left and numbers to the right.

    `columns`: None means those of the first row; missing values are shown as a dash.
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


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file of ours: numbers as numbers, empty cells as None."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: text if name in TEXT else _value(text) for name, text in row.items()}
            for row in csv.DictReader(file)
        ]


def _value(text: str) -> Any:
    """A cell as what it looks like: None, bool, int, float or text."""
    if text in ("", "True", "False"):
        return {"": None, "True": True, "False": False}[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
