"""Everything that follows from a results.csv: means, BD-rates, plots, strips and a page of them."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from hvc_jax.evaluation import markdown
from hvc_jax.evaluation.comparisons import (
    HOLD,
    bd_rates,
    codecs_of,
    content_means,
    means,
    measured,
    worst_clips,
)
from hvc_jax.evaluation.plots import plot_score
from hvc_jax.evaluation.scores import COLUMNS, score_of
from hvc_jax.evaluation.sheet import sheet_at_equal_rate
from hvc_jax.evaluation.table import Row, csv_text, read_rows, text_table
from hvc_jax.ops.files import write_text

# What separates codecs comes first: per-frame scores of the whole frame hardly see motion.
_FIRST = ("body_psnr", "psnr", "akd", "mkr")
_GAINS = ("body_psnr", "psnr", "akd", "lpips_vgg", "dists")
_REST = ("ssim", "ms_ssim", "lpips_vgg", "dists", "vmaf", "flicker", "body_lpips_vgg", "face_psnr")

_ABOUT = """\
# Results

Made by `hvc report` from results.csv; run.json says how to repeat it. Gains are over holding the
coded key frame at equal bytes; positive is better. Rows that begin with flow- are limits and no
codecs: the coded key pictures warped by optical flow that costs nothing.
"""
_ABOUT_WORST = """\

## Worst clips

Those of lowest PSNR of every model, at the middle one of its rate points; look at strips/CLIP and
sheets/CLIP.png.
"""
_ABOUT_BD = """\

## BD-rate, percent

Negative is a saving. Mean over the clips on which both curves share qualities, its 95 % interval,
and their number; then the BD-rate of the mean curves with the scores that both reach.
"""
_BD_COLUMNS = (
    "metric", "codec", "anchor", "percent", "percent_low", "percent_high", "clips", "of",
    "curve_percent", "curve_from", "curve_to", "curve_overlap", "reason",
)  # fmt: skip


class ReportError(ValueError):
    """There is nothing to report on; one sentence with the folder."""


def write_report(folder: Path, plots: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Writes what follows from FOLDER/results.csv beside it; returns the rows of means.csv.

    means.csv; worst.csv, the clips of lowest PSNR of every model; contents.csv, means by what clips
    show, where a manifest said it; where a codec has several rate points bd_rate.csv,
    bd_rate_clips.csv, plots/rd_SCORE.svg and .png; sheets/CLIP.png where there are strips;
    report.md.

    Args:
        folder: With results.csv.
        plots: Scores to plot; None plots all that were measured.

    Raises ReportError: there is no results.csv with rows, or they are of several programs.
    """
    path = folder / "results.csv"
    rows = read_rows(path) if path.exists() else []
    if not rows:
        raise ReportError(f"{folder}: holds no results; run hvc evaluate --out {folder} first")
    programs = {(row.get("version"), row.get("commit")) for row in rows}
    if len(programs) > 1:
        told = " and ".join(sorted(f"{version} ({commit})" for version, commit in programs))
        raise ReportError(f"{path}: mixes rows of {told}; evaluate all of it with one program")
    source = hashlib.sha256(path.read_bytes()).hexdigest()
    averages = means(rows)
    write_text(folder / "means.csv", csv_text(averages))
    scores, curves = measured(rows), has_curves(averages)
    tables = {"contents.csv": content_means(rows), "worst.csv": worst_clips(rows)}
    for name, table in tables.items():
        if table:
            write_text(folder / name, csv_text(table))
    shown = [name for name in scores if plots is None or name in plots]
    if curves:
        mean_rates, clip_rates = bd_rates(rows)
        write_text(folder / "bd_rate.csv", csv_text(mean_rates))
        write_text(folder / "bd_rate_clips.csv", csv_text(clip_rates))
        (folder / "plots").mkdir(exist_ok=True)
        for name in shown:
            plot_score(averages, name, folder / "plots" / f"rd_{name}", source)
    if (folder / "strips").is_dir():
        _sheets(folder, rows)
    write_text(folder / "report.md", _page(averages, shown, curves, tables))
    write_text(folder / "report.md", markdown.refreshed(folder / "report.md"))
    return averages


def means_table(averages: Sequence[Row]) -> str:
    """Returns rows of `means` as aligned text, what separates codecs first."""
    return text_table(averages, _columns(averages))


def has_curves(averages: Sequence[Row]) -> bool:
    """Returns whether any model or anchor has more than one rate point."""
    codecs = [row["codec"] for row in averages if row["kind"] in ("model", "anchor")]
    return len(set(codecs)) < len(codecs)


def _columns(averages: Sequence[Row]) -> list[str]:
    """Returns the columns of the first table: what separates codecs, then the rest."""
    scores = measured(averages)
    gains = [f"{name}_gain" for name in _GAINS if name in scores]
    first, rest = ([name for name in names if name in scores] for names in (_FIRST, _REST))
    return ["codec", "qp", "clips", "bytes", "kbps", *first, *gains, *rest]


def _page(
    averages: Sequence[Row],
    scores: list[str],
    curves: bool,
    tables: dict[str, list[dict[str, Any]]],
) -> str:
    """Returns report.md with the markers of its tables."""
    columns = {name: _title(name) for name in _columns(averages)}
    digits = {"bytes": 0, "kbps": 1}
    text = [_ABOUT, *_marker({"csv": "means.csv", "columns": columns, "digits": digits})]
    if by_content := tables["contents.csv"]:
        kinds = [c for c in dict.fromkeys(row["content"] for row in by_content)]
        text += ["", f"## By content: {', '.join(kinds)}", ""]
        columns = {"content": "content"} | {name: _title(name) for name in _columns(averages)}
        text += _marker({"csv": "contents.csv", "columns": columns, "digits": digits})
    if worst := tables["worst.csv"]:
        columns = {name: _title(name) for name in worst[0]}
        text += [_ABOUT_WORST, *_marker({"csv": "worst.csv", "columns": columns, "digits": digits})]
    if curves:
        columns = {name: name.replace("_", " ") for name in _BD_COLUMNS}
        text += [_ABOUT_BD, *_marker({"csv": "bd_rate.csv", "columns": columns})]
        text += ["", "## Plots", ""]
        text += [f"![{score_of(name).title}](plots/rd_{name}.png)" for name in scores]
    return "\n".join(text) + "\n"


def _marker(how: dict[str, Any]) -> list[str]:
    return [f"<!-- table {json.dumps(how)} -->", "<!-- end of table -->"]


def _title(column: str) -> str:
    """Returns the head of a column."""
    name, is_gain, _ = column.partition("_gain")
    if name not in COLUMNS:
        return column
    title = score_of(name).title
    return f"gain in {title}" if is_gain else title


def _sheets(folder: Path, rows: Sequence[Row]) -> None:
    """Writes for each clip all codecs at the rate of the first model's middle point."""
    model = codecs_of(rows, "model")[:1]
    order = [*codecs_of(rows, "model"), HOLD, *codecs_of(rows, "anchor", "limit", "ceiling")]
    (folder / "sheets").mkdir(exist_ok=True)
    for clip in dict.fromkeys(row["clip"] for row in rows):
        mine = [row for row in rows if row["clip"] == clip and row["codec"] in model]
        strips = folder / "strips" / clip
        if not mine or not (strips / "source.jpg").exists():
            continue
        target = sorted(row["bytes"] for row in mine)[len(mine) // 2]
        picture = sheet_at_equal_rate(strips, target, order)
        Image.fromarray(picture).save(folder / "sheets" / f"{clip}.png")
