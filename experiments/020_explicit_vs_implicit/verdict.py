"""Who is better, where: from results.csv to verdict.csv, which README.md shows.

    python experiments/020_explicit_vs_implicit/verdict.py RESULTS.csv [EXPLICIT IMPLICIT]

EXPLICIT and IMPLICIT are variants, by default semantic and implicit; verdict.csv comes to lie
beside the results. Codecs are named VARIANT_seedN. On every clip the gains over hold at equal bytes
are averaged over rate points and seeds; the verdict is on the difference between the variants,
paired by clip, with its 95 % bootstrap interval over clips, from six clips on. Splits: all clips;
content and amount of motion.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hvc_jax.evaluation.bootstrap import mean_interval
from hvc_jax.evaluation.comparisons import gain, measured
from hvc_jax.evaluation.scores import score_of
from hvc_jax.evaluation.table import Row, csv_text, read_rows

HERE = Path(__file__).parent
LEAST = 6  # clips; the bootstrap of fewer says nothing


def splits(rows: Sequence[Row]) -> Iterator[tuple[str, set[str]]]:
    """Yields names of splits and their clips.

    Content is that of clips.csv (clip, content). The amount of motion is how much a pixel of the
    person changes from frame to frame, which is the flicker of the uncompressed key frame; the
    halves lie below and above its median.
    """
    clips = {row["clip"] for row in rows}
    yield "all clips", clips
    contents = HERE / "clips.csv"
    listed = read_rows(contents) if contents.exists() else []
    for content in dict.fromkeys(row["content"] for row in listed):
        yield content, {row["clip"] for row in listed if row["content"] == content} & clips
    motion = {}
    for row in rows:
        if row["kind"] == "ceiling":
            of_body = row.get("body_flicker")
            motion[row["clip"]] = row["flicker"] if of_body is None else of_body
    if len(motion) > 1 and None not in motion.values():
        median = float(np.median(list(motion.values())))
        yield f"little motion (under {median:.1f})", {c for c, m in motion.items() if m < median}
        yield f"much motion (from {median:.1f})", {c for c, m in motion.items() if m >= median}


def gains(rows: Sequence[Row], variant: str, name: str) -> dict[str, float]:
    """Mean gain over hold by clip, over rate points and seeds."""
    held: dict[str, list[Row]] = {}
    for row in rows:
        if row["codec"] == "hold":
            held.setdefault(row["clip"], []).append(row)
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["kind"] == "model" and row["codec"].startswith(f"{variant}_seed"):
            value = gain(row, held.get(row["clip"], []), name)
            if value is not None:
                found.setdefault(row["clip"], []).append(value)
    return {clip: float(np.mean(values)) for clip, values in found.items()}


def verdicts(
    rows: Sequence[Row], explicit_name: str = "semantic", implicit_name: str = "implicit"
) -> list[dict]:
    """A row a split and score, with the sentence."""
    table = []
    for name in measured(rows):
        explicit, implicit = (gains(rows, v, name) for v in (explicit_name, implicit_name))
        for split, clips in splits(rows):
            both = sorted(clips & explicit.keys() & implicit.keys())
            if len(both) < 2:
                continue
            difference = mean_interval([implicit[clip] - explicit[clip] for clip in both])
            better = {1: implicit_name, -1: explicit_name}.get(
                1 if difference.low > 0 else -1 if difference.high < 0 else 0
            )
            table.append({
                "split": split,
                "metric": name,
                "score": score_of(name).title,
                "clips": len(both),
                "explicit_gain": float(np.mean([explicit[clip] for clip in both])),
                "implicit_gain": float(np.mean([implicit[clip] for clip in both])),
                "difference": difference.mean,
                "low": difference.low,
                "high": difference.high,
                "verdict": "too few clips"
                if len(both) < LEAST
                else f"{better} is better"
                if better
                else "undecided",
            })  # fmt: skip
    return table


def main() -> int:
    """Writes verdict.csv beside the results."""
    path, variants = Path(sys.argv[1]), sys.argv[2:]
    text = csv_text(verdicts(read_rows(path), *variants))
    path.with_name("verdict.csv").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
