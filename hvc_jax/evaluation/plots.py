"""Rate-distortion plots of the means over clips, as SVG and PNG."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from hvc_jax.evaluation.comparisons import HOLD, codecs_of, curve, families, hull
from hvc_jax.evaluation.scores import score_of
from hvc_jax.evaluation.table import Row

_STYLE = {
    "svg.hashsalt": "hvc",  # the same file for the same numbers
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_SOURCE = "made from results.csv with SHA-256 "


def plot_score(rows: Sequence[Row], name: str, stem: Path, source: str) -> None:
    """Writes STEM.svg and STEM.png: a score over the rate, a line a codec, from means over clips.

    Models have solid lines with the 95 % intervals of their means, conventional codecs dashed ones,
    hold a black one; the score of the uncompressed key frame is a dotted level. Of a swept family
    the members are thin and their convex hull is thick. `source` is the SHA-256 of the results,
    kept in both files so that a stale one can be told.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.2, 3.8), layout="constrained")
        _draw(figure.add_subplot(), rows, name)
        said = {"Description": _SOURCE + source}
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None, **said})
        figure.savefig(stem.with_suffix(".png"), dpi=120, metadata=said)


def source_of_plot(path: Path) -> str | None:
    """Returns the SHA-256 of the results that a file of `plot_score` was made from."""
    _, found, rest = path.read_bytes().partition(_SOURCE.encode())
    return rest[:64].decode() if found else None


def _draw(axes: Axes, rows: Sequence[Row], name: str) -> None:
    colours = iter(matplotlib.color_sequences["tab10"] * 3)
    score = score_of(name)

    def line(codec: str, **style: object) -> None:
        mine = [row for row in rows if row["codec"] == codec]
        axes.plot(*curve(mine, name), markersize=4, **style)

    line(HOLD, color="black", marker="o", label="hold key frame")
    for family, members in families(codecs_of(rows, "model")).items():
        colour = next(colours)
        for codec in members:
            thin = {"linewidth": 0.7, "alpha": 0.6} if len(members) > 1 else {"label": codec}
            line(codec, color=colour, marker="o", **thin)
            mine = [r for r in rows if r["codec"] == codec and r.get(name) is not None]
            ranges = (
                [[r["kbps"]] * 2 for r in mine],
                [[r[f"{name}_{e}"] for e in ("low", "high")] for r in mine],
            )
            for x, y in zip(*ranges, strict=True):
                axes.plot(x, y, color=colour, linewidth=0.8, alpha=0.6)
        if len(members) > 1:
            cloud = curve([row for row in rows if row["codec"] in members], name)
            points = hull(cloud, score.higher_is_better)
            axes.plot(*points, color=colour, linewidth=2, label=f"{family}, convex hull")
    for codec in codecs_of(rows, "anchor"):
        line(codec, color=next(colours), marker="s", linestyle="--", label=codec)
    for row in rows:
        if row["kind"] == "ceiling" and row.get(name) is not None:
            axes.axhline(row[name], color="grey", linestyle=":", label="uncompressed key frame")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("kbps, whole files")
    axes.set_ylabel(f"{score.title} ({'higher' if score.higher_is_better else 'lower'} is better)")
    axes.grid(alpha=0.25, which="both")
    axes.legend(frameon=False, fontsize=8)
