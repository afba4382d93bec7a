"""Tables in Markdown files that are made from CSV files, between markers that say how.

    <!-- table {"csv": "means.csv", "columns": {"codec": "codec", "psnr": "PSNR"}} -->
    (the table)
    <!-- end of table -->

The path is relative to the Markdown file. Further keys:

    where     {column: [values]}: these rows, in the order of the values
    digits    {column: decimals}
    bold      {column: "max" or "min"}: the best cell
    pivot     [row, column, value]: a column for each value of `column`; "columns" has their titles
    optional  true: says *Not run yet.* where the file is not there
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hvc_jax.evaluation.table import Row, format_value, read_rows

_BLOCK = re.compile(r"(<!-- table (\{.*?\}) -->\n)(.*?)(<!-- end of table -->)", re.DOTALL)


class MarkdownError(ValueError):
    """A marker that cannot be followed; one sentence with the file and the reason."""


def refreshed(path: Path) -> str:
    """Returns Markdown with its tables made anew; MarkdownError: bad marker, file or column."""

    def replace(match: re.Match) -> str:
        try:
            how = json.loads(match[2])
            source = path.parent / how["csv"]
            if how.get("optional") and not source.exists():
                return f"{match[1]}*Not run yet.*\n{match[4]}"
            rows = read_rows(source)
            return f"{match[1]}{table(rows, how)}\n{match[4]}"
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise MarkdownError(f"{path}: cannot make {match[2]}: {error}") from error

    return _BLOCK.sub(replace, path.read_text(encoding="utf-8"))


def table(rows: Sequence[Row], how: dict[str, Any]) -> str:
    """Returns rows as a Markdown table by a marker's JSON; KeyError: a column is missing."""
    for column, values in how.get("where", {}).items():
        rows = [row for value in values for row in rows if row[column] == value]
    digits, columns = how.get("digits", {}), how.get("columns", {})
    if "pivot" in how:
        down, across, value = how["pivot"]
        heads = list(dict.fromkeys(row[across] for row in rows))
        columns = {down: columns.get(down, down)}
        given = how.get("columns", {})
        columns |= {str(head): given.get(str(head), f"{across} {head}") for head in heads}
        digits = {str(head): digits[value] for head in heads} if value in digits else {}
        lines: dict[Any, dict[str, Any]] = {}
        for row in rows:
            lines.setdefault(row[down], {down: row[down]})[str(row[across])] = row[value]
        rows = [dict.fromkeys(columns) | line for line in lines.values()]
    best = {}
    for column, which in how.get("bold", {}).items():
        known = [row[column] for row in rows if row[column] is not None]
        best[column] = {"max": max, "min": min}[which](known, default=None)

    def cell(row: Row, column: str) -> str:
        value = row[column]
        if column in digits and value is not None:
            text = f"{value:.{digits[column]}f}"
        else:
            text = format_value(value)
        return f"**{text}**" if value is not None and value == best.get(column) else text

    text = [any(isinstance(row[column], str) for row in rows) for column in columns]
    head = "| " + " | ".join(columns.values()) + " |"
    rule = "|" + "|".join(" --- " if is_text else " ---: " for is_text in text) + "|"
    body = ["| " + " | ".join(cell(row, column) for column in columns) + " |" for row in rows]
    return "\n".join([head, rule, *body])
