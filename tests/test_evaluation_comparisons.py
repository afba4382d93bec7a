"""Means, gains over hold, hulls and BD-rates of rows whose answer is known."""

import hashlib

import numpy as np
import pytest

from hvc_jax.evaluation.bootstrap import mean_interval
from hvc_jax.evaluation.comparisons import bd_rates, gain, hull, means
from hvc_jax.evaluation.plots import source_of_plot
from hvc_jax.evaluation.report import means_table, write_report
from hvc_jax.evaluation.table import csv_text, read_rows

QPS = (22, 32, 42, 52)


def _row(clip, kind, codec, qp, size, psnr, lpips):
    row = {"clip": clip, "kind": kind, "codec": codec, "qp": qp, "bytes": size}
    return row | {"kbps": size / 100, "psnr": psnr, "lpips_vgg": lpips}


def _rows():
    """Two clips: hold runs along log2 of its size; the model is 2 dB above it at equal size."""
    rows = []
    for clip, shift in (("a", 0.0), ("b", 1.0)):
        for i, qp in enumerate(QPS):
            size = 800 * 2 ** (3 - i)
            rows.append(_row(clip, "hold", "hold", qp, size, 23 - i + shift, 0.2 + 0.1 * i))
        rows.append(_row(clip, "ceiling", "uncompressed key", None, 10**6, 24 + shift, 0.15))
        for i, qp in enumerate(QPS):
            size = round(800 * 2 ** (3 - i) * 0.75)
            psnr = 25 - i + shift + np.log2(0.75)
            rows.append(_row(clip, "model", "m", qp, size, psnr, 0.2 + 0.1 * i))
            rows.append(_row(clip, "anchor", "vvc", qp, 3 * size, psnr, None))
    return rows


def test_the_interval_is_fixed_and_covers_the_mean_of_a_normal():
    rng = np.random.default_rng(1)
    values = rng.normal(5, 2, 48)
    first, again = mean_interval(values), mean_interval(values)
    assert first == again and first.low < first.mean < first.high
    half = 1.96 * values.std() / 48**0.5
    assert first.high - first.low == pytest.approx(2 * half, rel=0.1)
    assert mean_interval([3.0]) == (3.0, 3.0, 3.0)
    covered = 0
    for _ in range(200):
        low, high = mean_interval(rng.normal(5, 2, 48))[1:]
        covered += low <= 5 <= high
    assert 0.9 < covered / 200 < 0.99


def test_gains_are_at_equal_bytes_and_never_beyond_hold():
    rows = _rows()
    held = [row for row in rows if row["clip"] == "a" and row["codec"] == "hold"]
    model = [row for row in rows if row["clip"] == "a" and row["codec"] == "m"]
    assert gain(model[0], held, "psnr") == pytest.approx(2)
    expected = 0.2 + 0.1 * -np.log2(0.75) - 0.2  # hold at those bytes has the higher distance
    assert gain(model[0], held, "lpips_vgg") == pytest.approx(expected)
    assert gain(model[-1], held, "psnr") is None  # smaller than hold's smallest
    table = {(row["codec"], row["qp"]): row for row in means(rows)}
    row = table["m", 32]
    assert row["clips"] == 2 and row["psnr_gain"] == pytest.approx(2) and row["psnr_better"] == 1
    assert row["psnr_low"] <= row["psnr"] <= row["psnr_high"]
    assert table["hold", 32]["psnr_gain"] is None
    assert table["vvc", 32]["lpips_vgg"] is None


def test_bd_rates_are_by_clip_on_average_and_refused_with_a_reason():
    averages, values = bd_rates(_rows())
    found = {(r["metric"], r["codec"], r["anchor"]): r for r in averages}
    row = found["psnr", "m", "vvc"]
    assert row["percent"] == pytest.approx(-200 / 3) and row["clips"] == row["of"] == 2
    assert row["curve_percent"] == pytest.approx(-200 / 3) and row["curve_overlap"] == 1
    assert found["lpips_vgg", "m", "hold"]["percent"] == pytest.approx(-25)
    refused = found["lpips_vgg", "m", "vvc"]
    assert refused["percent"] is None and refused["clips"] == 0 and "points" in refused["reason"]
    each = [r for r in values if (r["metric"], r["codec"], r["anchor"]) == ("psnr", "m", "vvc")]
    assert [r["clip"] for r in each] == ["a", "b"]


def test_the_hull_keeps_what_no_mixture_beats():
    rates = np.array([1.0, 2, 2, 3, 4, 5])
    scores = np.array([10.0, 14, 12, 15, 18, 17])
    kept = hull((rates, scores), True)
    np.testing.assert_array_equal(kept, [[1, 2, 4], [10, 14, 18]])
    mirrored = hull((rates, -scores), False)
    np.testing.assert_array_equal(mirrored[1], [-10, -14, -18])


def test_swept_models_are_one_family_with_their_hull():
    rows = [row for row in _rows() if row["codec"] != "m"]
    for row in _rows():
        if row["codec"] == "m":
            lmbda = 1 if row["qp"] in (22, 42) else 4
            worse = row | {"codec": f"m_lmbda{5 - lmbda}", "psnr": row["psnr"] - 1}
            rows += [row | {"codec": f"m_lmbda{lmbda}"}, worse]
    averages, _ = bd_rates(rows)
    codecs = {(row["codec"], row["anchor"]) for row in averages}
    assert ("m", "hold") in codecs and ("m_lmbda1", "hold") not in codecs
    row = next(
        r for r in averages if (r["metric"], r["codec"], r["anchor"]) == ("psnr", "m", "vvc")
    )
    assert row["percent"] == pytest.approx(-200 / 3)


def test_a_report_follows_from_the_file_alone(tmp_path):
    (tmp_path / "results.csv").write_text(csv_text(_rows()))
    said = means_table(write_report(tmp_path))
    assert "uncompressed key" in said and "psnr_gain" in said
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        f"rd_{name}.{ending}" for name in ("psnr", "lpips_vgg") for ending in ("svg", "png")
    }
    source = hashlib.sha256((tmp_path / "results.csv").read_bytes()).hexdigest()
    assert all(source_of_plot(path) == source for path in (tmp_path / "plots").iterdir())
    page = (tmp_path / "report.md").read_text()
    assert "| vvc | 32 |" in page and "| psnr | m | vvc | -66.67 |" in page
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    write_report(tmp_path)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    assert len(read_rows(tmp_path / "bd_rate_clips.csv")) == 2 * len(
        read_rows(tmp_path / "bd_rate.csv")
    )


def test_content_and_the_worst_clips_have_tables(tmp_path):
    rows = [row | {"content": {"a": "talk"}.get(row["clip"], "dance")} for row in _rows()]
    (tmp_path / "results.csv").write_text(csv_text(rows))
    write_report(tmp_path)
    by_content = read_rows(tmp_path / "contents.csv")
    assert [r["content"] for r in by_content] == sorted(r["content"] for r in by_content)
    one = next(r for r in by_content if (r["content"], r["codec"]) == ("talk", "m"))
    (alone,) = [r for r in rows if (r["clip"], r["codec"], r["qp"]) == ("a", "m", one["qp"])]
    assert one["clips"] == 1 and one["psnr"] == pytest.approx(alone["psnr"], abs=1e-3)
    worst = read_rows(tmp_path / "worst.csv")
    assert {row["codec"] for row in worst} == {"m"}
    assert [row["psnr"] for row in worst] == sorted(row["psnr"] for row in worst)
    lowest = min(r["psnr"] for r in rows if (r["codec"], r["qp"]) == ("m", worst[0]["qp"]))
    assert worst[0]["psnr"] == pytest.approx(lowest, abs=1e-3)
    page = (tmp_path / "report.md").read_text()
    assert "## By content: dance, talk" in page and "## Worst clips" in page
