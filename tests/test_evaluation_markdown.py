"""Tables between markers: how they are made, and that those of this repository are not stale."""

import hashlib
from pathlib import Path

import pytest

from hvc_jax.cli.main import main
from hvc_jax.evaluation.comparisons import bd_rates, means
from hvc_jax.evaluation.markdown import MarkdownError, refreshed
from hvc_jax.evaluation.plots import source_of_plot
from hvc_jax.evaluation.table import csv_text, read_rows

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "experiments").rglob("*.md"))]
RESULTS = sorted((ROOT / "experiments").rglob("means.csv"))
RATES = sorted((ROOT / "experiments").rglob("bd_rate.csv"))


def _page(folder, marker):
    path = folder / "page.md"
    path.write_text(f"before\n<!-- table {marker} -->\nold\n<!-- end of table -->\nafter\n")
    return path


@pytest.fixture
def folder(tmp_path):
    text = "codec,qp,psnr\nhold,32,18.6883\nm,32,20.25\nm,42,19.5\n"
    (tmp_path / "x.csv").write_text(text)
    return tmp_path


def test_columns_rows_digits_and_the_best(folder):
    marker = """{"csv": "x.csv", "columns": {"codec": "codec", "psnr": "PSNR"},
        "where": {"qp": [42, 32]}, "digits": {"psnr": 1}, "bold": {"psnr": "max"}}"""
    lines = refreshed(_page(folder, marker)).splitlines()
    assert lines[0] == "before" and lines[-1] == "after"
    table = [line for line in lines if line.startswith("|")]
    assert table == [
        "| codec | PSNR |",
        "| --- | ---: |",
        "| m | 19.5 |",
        "| hold | 18.7 |",
        "| m | **20.2** |",
    ]


def test_pivots_leave_gaps_where_there_is_no_row(folder):
    text = refreshed(_page(folder, '{"csv": "x.csv", "pivot": ["codec", "qp", "psnr"]}'))
    assert "| codec | qp 32 | qp 42 |\n| --- | ---: | ---: |\n| hold | 18.69 | - |" in text


def test_the_command_refreshes_and_checks(folder, capsys):
    path = _page(folder, '{"csv": "x.csv", "columns": {"codec": "codec"}}')
    assert main(["report", "--check", str(path)]) == 1 and "old" in path.read_text()
    assert main(["report", str(path)]) == 0 and "| hold |" in path.read_text()
    assert main(["report", "--check", str(path)]) == 0
    with pytest.raises(MarkdownError, match=r"page\.md.*none\.csv"):
        refreshed(_page(folder, '{"csv": "none.csv", "columns": {}}'))


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_tables_of_the_repository_are_not_stale(path):
    assert refreshed(path) == path.read_text(encoding="utf-8"), f"run: hvc report {path}"


@pytest.mark.parametrize("path", RESULTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_means_and_plots_of_the_repository_are_not_stale(path):
    results = path.with_name("results.csv")
    assert path.read_text() == csv_text(means(read_rows(results))), f"run: hvc report {path.parent}"
    source = hashlib.sha256(results.read_bytes()).hexdigest()
    for plot in path.parent.glob("plots/*.*"):
        assert source_of_plot(plot) == source, f"run: hvc report {path.parent}"


@pytest.mark.parametrize("path", RATES, ids=lambda p: str(p.relative_to(ROOT)))
def test_bd_rates_of_the_repository_are_not_stale(path):
    """PSNR stands for all scores, which are written together and take a minute."""
    rows = read_rows(path.with_name("results.csv"))
    plain = ("clip", "kind", "codec", "qp", "bytes", "kbps", "psnr")
    averages, values = bd_rates([{name: row[name] for name in plain} for row in rows])
    for name, made in ((path.name, averages), ("bd_rate_clips.csv", values)):
        if name != path.name and not path.with_name(name).exists():
            continue  # not kept in the repository
        kept = [row for row in read_rows(path.with_name(name)) if row["metric"] == "psnr"]
        assert csv_text(kept) == csv_text(made), f"run: hvc report {path.parent}"
