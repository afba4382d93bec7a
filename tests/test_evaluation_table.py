"""Tables: alignment, CSV round trip, means that skip what was not measured."""

import csv
import io

import numpy as np

from hvc_jax.evaluation.sheet import contact_sheet, sheet_at_equal_rate, side_by_side, write_strip
from hvc_jax.evaluation.table import csv_text, read_rows, text_table

ROWS = [
    {"codec": "semantic", "bytes": 5012, "psnr": 21.25, "lpips": None},
    {"codec": "keypoint", "bytes": 4800, "psnr": 22.75, "lpips": 0.25},
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


def test_rows_read_back_with_their_types(tmp_path) -> None:
    rows = [{"clip": "007", "codec": "a", "qp": 32, "kbps": 1.5, "psnr": None, "decoded_ok": True}]
    (tmp_path / "rows.csv").write_text(csv_text(rows))
    assert read_rows(tmp_path / "rows.csv") == rows


def test_sheets_keep_the_pixels() -> None:
    rng = np.random.default_rng(0)
    clips = {n: rng.integers(0, 256, (5, 16, 20, 3), np.uint8) for n in ("a", "b")}
    joined = list(side_by_side(clips))
    assert len(joined) == 5 and joined[0].shape == (34, 40, 3)
    np.testing.assert_array_equal(joined[3][18:, 20:], clips["b"][3])
    sheet = contact_sheet(clips, columns=3)
    assert sheet.shape == (2 * 34, 60, 3)
    np.testing.assert_array_equal(sheet[18:34, 20:40], clips["a"][2])


def test_a_sheet_takes_the_strips_nearest_in_size(tmp_path) -> None:
    for name, level in (("source", 10), ("a.qp30.900", 50), ("a.qp40.500", 90), ("b.qp1.9", 130)):
        write_strip(tmp_path / f"{name}.jpg", np.full((5, 16, 16, 3), level, np.uint8))
    sheet = sheet_at_equal_rate(tmp_path, 600, ["b", "a", "none"])
    assert sheet.shape == (3 * 34, 96, 3)
    assert [int(sheet[34 * i + 26, 40, 0]) for i in range(3)] == [10, 130, 90]
