"""Rows of a CSV file that grows: what is there is not measured again."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def append_row(path: Path, fields: Sequence[str], row: Mapping[str, Any]) -> None:
    """Appends a row to a CSV file, after a header where the file is new."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
