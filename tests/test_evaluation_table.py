"""Tables: alignment, CSV round trip, means that skip what was not measured."""

import csv
import io

import numpy as np

from hvc_jax.evaluation.sheet import contact_sheet, side_by_side
from hvc_jax.evaluation.table import csv_text, mean_rows, text_table

ROWS = [
    {"codec": "semantic", "bytes": 5012, "psnr": 21.25, "lpips": None},
    {"codec": "implicit", "bytes": 4800, "psnr": 22.75, "lpips": 0.25},
]


def test_text_table_aligns_and_dashes_missing_values() -> None:
    lines = text_table(ROWS).splitlines()
    assert lines[0].split() == ["codec", "bytes", "psnr", "lpips"]
    assert lines[1].split() == ["semantic", "5012", "21.25", "-"]
    assert lines[1].index("5012") == lines[2].index("4800")
    assert text_table([]) == "" and csv_text([]) == ""


def test_csv_reads_back() -> None:
    read = list(csv.DictReader(io.StringIO(csv_text(ROWS))))
    assert read[0] == {"codec": "semantic", "bytes": "5012", "psnr": "21.25", "lpips": ""}


def test_means_are_per_group_and_skip_missing_values() -> None:
    rows = [*ROWS, {"codec": "implicit", "bytes": 5200, "psnr": float("nan"), "lpips": 0.35}]
    semantic, implicit = mean_rows(rows, ["codec"], ["bytes", "psnr", "lpips"])
    assert semantic == {"codec": "semantic", "n": 1, "bytes": 5012, "psnr": 21.25, "lpips": None}
    assert implicit["bytes"] == 5000 and implicit["psnr"] == 22.75
    assert abs(implicit["lpips"] - 0.3) < 1e-12


def test_sheets_keep_the_pixels() -> None:
    rng = np.random.default_rng(0)
    clips = {n: rng.integers(0, 256, (5, 16, 20, 3), np.uint8) for n in ("a", "b")}
    joined = list(side_by_side(clips))
    assert len(joined) == 5 and joined[0].shape == (34, 40, 3)
    np.testing.assert_array_equal(joined[3][18:, 20:], clips["b"][3])
    sheet = contact_sheet(clips, columns=3)
    assert sheet.shape == (2 * 34, 60, 3)
    np.testing.assert_array_equal(sheet[18:34, 20:40], clips["a"][2])
