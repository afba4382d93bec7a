"""The notebook of the studio runs to its end, cell by cell, as a person would run it."""

import json
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

pytestmark = pytest.mark.slow

NOTEBOOK = Path(__file__).parents[1] / "docs" / "studio.ipynb"


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [c for c in json.loads(NOTEBOOK.read_text())["cells"] if c["cell_type"] == "code"]
    assert len(cells) <= 10
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    values: dict = {}
    shown = 0
    for number, cell in enumerate(cells, 1):
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), values)
        shown += any(axes.images or axes.lines for axes in plt.gcf().axes)
        plt.close("all")
    assert shown >= 5  # cells that show frames or tracks
    session, decoded = values["session"], values["decoded"]
    assert session.history.edits and {p.name for p in tmp_path.iterdir()} >= {
        "person.hvc", "edited.hvc", "edited.mp4",
    }  # fmt: skip
    difference = decoded[10].astype(int) - session.frame(10).picture
    assert np.abs(difference).max() <= 1
