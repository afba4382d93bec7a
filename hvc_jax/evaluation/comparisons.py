"""From rows of measured clips to what a table says: means, gains over hold, BD-rates.

Rows are mappings as in results.csv: clip, kind, codec, qp, bytes, kbps and a column a score.
Nothing is measured here, so that everything can be made again from the file alone.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hvc_jax.evaluation.bd_rate import BdRateError, bd_rate
from hvc_jax.evaluation.bootstrap import mean_interval
from hvc_jax.evaluation.scores import COLUMNS, score_of
from hvc_jax.evaluation.table import Row

HOLD = "hold"
SWEPT = "_lmbda"
"""What stands before the value of lambda in the name of a swept model."""

_PLAIN = ("bytes", "key_bytes", "static_bytes", "motion_bytes", "field_bytes", "bpp", "kbps",
          "bits_per_frame", "encode_seconds", "decode_seconds", "decoded_ok")  # fmt: skip

Curve = tuple[np.ndarray, np.ndarray]
"""Rates in ascending order and the scores at them, both [N]."""


def measured(rows: Sequence[Row]) -> list[str]:
    """Returns the columns of scores that any row has a value in."""
    return [name for name in COLUMNS if any(row.get(name) is not None for row in rows)]


def codecs_of(rows: Sequence[Row], *kinds: str) -> list[str]:
    """Returns the codecs of some kinds in the order of the rows."""
    return list(dict.fromkeys(row["codec"] for row in rows if row["kind"] in kinds))


def means(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Returns a row a rate point: means over clips with their 95 % intervals.

    Columns: kind, codec, qp, clips; for sizes and times the mean, for decoded_ok the share; for
    each score NAME, NAME_low and NAME_high. For codecs that send motion also NAME_gain, the gain
    over holding the coded key frame *at equal bytes* (positive is better whatever the score's
    direction), with its interval, NAME_better, the share of clips on which it is positive, and
    NAME_compared, the number of clips that have one.
    """
    scores = measured(rows)
    held = {clip: [r for r in of if r["codec"] == HOLD] for clip, of in _by(rows, "clip").items()}
    table = []
    for (kind, codec, qp), members in _by(rows, "kind", "codec", "qp").items():
        row: dict[str, Any] = {"kind": kind, "codec": codec, "qp": qp, "clips": len(members)}
        for name in _PLAIN:
            known = _known(member.get(name) for member in members)
            row[name] = float(np.mean(known)) if known else None
        for name in scores:
            row |= _interval(name, _known(member.get(name) for member in members))
        for name in scores:
            values = [gain(member, held[member["clip"]], name) for member in members]
            moving = kind in ("model", "anchor", "limit")
            known = _known(values) if moving else []
            row |= _interval(f"{name}_gain", known)
            row[f"{name}_better"] = float(np.mean(np.array(known) > 0)) if known else None
            row[f"{name}_compared"] = len(known) if moving else None
        table.append(row)
    return table


def content_means(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Returns the rows of `means` for every kind of content, which is a column more; maybe none."""
    known = {content: of for content, of in _by(rows, "content").items() if content}
    return [{"content": name} | row for name in sorted(known) for row in means(known[name])]


def worst_clips(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Returns the five clips of lowest PSNR of every model, at the middle one of its rate points.

    Columns: codec, qp, clip, content, bytes, the scores of `measured`; psnr_gain as in `means`.
    """
    table = []
    scores = measured(rows)
    for codec in codecs_of(rows, "model"):
        mine = [row for row in rows if row["codec"] == codec and row.get("psnr") is not None]
        points = sorted({row["qp"] for row in mine})
        middle = [row for row in mine if row["qp"] == points[len(points) // 2]]
        for row in sorted(middle, key=lambda row: row["psnr"])[:5]:
            held = [r for r in rows if (r["codec"], r["clip"]) == (HOLD, row["clip"])]
            names = ("codec", "qp", "clip", "content", "bytes", *scores)
            found = {name: row.get(name) for name in names}
            table.append(found | {"psnr_gain": gain(row, held, "psnr")})
    return table


def gain(row: Row, held: Sequence[Row], name: str) -> float | None:
    """Returns how much better a score is than hold's at equal bytes; None where hold has no such.

    Hold's score at a size lies on straight lines over the logarithm of its sizes; beyond its
    coarsest and finest point there is none. `held` are rows of hold for the clip of `row`.
    """
    value, size = row.get(name), row.get("bytes")
    sizes, scores = curve(held, name, "bytes")
    if value is None or not size or len(sizes) < 2 or not sizes[0] <= size <= sizes[-1]:
        return None
    still = float(np.interp(math.log(size), np.log(sizes), scores))
    return value - still if score_of(name).higher_is_better else still - value


def curve(rows: Iterable[Row], name: str, rate: str = "kbps") -> Curve:
    """Returns the rate points of rows that have this score."""
    points = sorted((row[rate], row[name]) for row in rows if row.get(name) is not None)
    rates, scores = (np.array([p[i] for p in points], float) for i in (0, 1))
    return rates, scores


def hull(points: Curve, higher_is_better: bool) -> Curve:
    """Returns the points of a cloud that no mixture of others beats, best score last.

    The upper concave envelope over the rate, from the lowest rate to the best score: what a user
    can reach who may choose any model and any key picture QP.
    """
    rates, scores = points
    sign = 1 if higher_is_better else -1
    kept: list[tuple[float, float]] = []
    for rate, score in sorted(zip(rates, sign * scores, strict=True), key=lambda p: (p[0], -p[1])):
        if kept and score <= kept[-1][1]:
            continue
        while len(kept) > 1 and _below(kept[-2], kept[-1], (rate, score)):
            kept.pop()
        if kept and kept[-1][0] == rate:
            continue
        kept.append((rate, score))
    return np.array([p[0] for p in kept]), sign * np.array([p[1] for p in kept])


def families(codecs: Sequence[str]) -> dict[str, list[str]]:
    """Returns the models by family: swept ones under the name before the value of lambda."""
    found: dict[str, list[str]] = {}
    for codec in codecs:
        found.setdefault(codec.partition(SWEPT)[0], []).append(codec)
    return found


def bd_rates(rows: Sequence[Row]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns (averages, values by clip) of every model against every anchor, hold and model.

    Conventional codecs are compared with hold too. A swept family stands as its convex hull.
    The average is that of the clips on which both curves share qualities, with its 95 % interval
    and their number; curve_percent is the BD-rate of the mean curves. Where there is none, the
    reason is given.
    """
    models = families(codecs_of(rows, "model"))
    anchors = codecs_of(rows, "anchor")
    pairs = [(t, a) for t in models for a in (HOLD, *anchors, *models) if t != a]
    pairs += [(t, HOLD) for t in anchors]
    by_clip = _by(rows, "clip")
    mean_rows = means(rows)
    averages, values = [], []
    for name in measured(rows):
        for tested, anchor in pairs:
            each = []
            for clip, mine in by_clip.items():
                row = _compare(mine, name, tested, anchor, models)
                each.append({"metric": name, "codec": tested, "anchor": anchor, "clip": clip} | row)
            values += each
            known = _known(row["percent"] for row in each)
            whole = _compare(mean_rows, name, tested, anchor, models)
            average = {"metric": name, "codec": tested, "anchor": anchor}
            average |= _interval("percent", known)
            average |= {"clips": len(known), "of": len(each), "curve_percent": whole["percent"]}
            average |= {f"curve_{key}": whole[key] for key in ("from", "to", "overlap")}
            averages.append(average | {"reason": whole["reason"]})
    return averages, values


def _compare(
    rows: Sequence[Row], name: str, tested: str, anchor: str, models: dict[str, list[str]]
) -> dict[str, Any]:
    """Returns the BD-rate of one pair of codecs, or the reason why there is none."""
    higher = score_of(name).higher_is_better

    def points(codec: str) -> Curve:
        members = models.get(codec, [codec])
        found = curve([row for row in rows if row["codec"] in members], name)
        return hull(found, higher) if len(members) > 1 else found

    try:
        result = bd_rate(*points(anchor), *points(tested), higher_is_better=higher)
    except BdRateError as error:
        return dict.fromkeys(("percent", "from", "to", "overlap")) | {"reason": str(error)}
    return {
        "percent": result.percent,
        "from": result.low,
        "to": result.high,
        "overlap": result.overlap,
        "reason": "",
    }


def _interval(name: str, values: Sequence[float]) -> dict[str, float | None]:
    """Returns the three columns of a mean with its interval."""
    columns = (name, f"{name}_low", f"{name}_high")
    if not values:
        return dict.fromkeys(columns)
    return dict(zip(columns, mean_interval(values), strict=True))


def _by(rows: Sequence[Row], *columns: str) -> dict[Any, list[Row]]:
    """Returns rows by the value of one column, or by a tuple of several, in order."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        key = tuple(row.get(name) for name in columns)
        groups.setdefault(key if len(columns) > 1 else key[0], []).append(row)
    return groups


def _known(values: Iterable[float | None]) -> list[float]:
    return [float(value) for value in values if value is not None and value == value]


def _below(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Returns whether b lies on or below the line from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) <= (c[1] - a[1]) * (b[0] - a[0])
