"""Draws the tables: python experiments/030_stream_rate/plot.py writes rate.svg and rdo.svg."""

import csv
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "hvc"
from matplotlib.figure import Figure  # noqa: E402

HERE = Path(__file__).parent


def rows_of(name: str) -> list[dict[str, str]]:
    """Returns the rows of a table beside this file."""
    with (HERE / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def save(figure: Figure, name: str) -> None:
    """Writes a figure beside this file, the same bytes for the same table."""
    figure.savefig(HERE / name, metadata={"Date": None})


def main() -> None:
    """Draws both."""
    rows = rows_of("results.csv")
    steps = sorted({row["step"] for row in rows}, key=float)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for i, step in enumerate(steps):
        shares = [float(row["share_of_published"]) for row in rows if row["step"] == step]
        places = [k + 0.27 * (i - 1) for k in range(len(methods))]
        axes.barh(places, shares, 0.25, label=f"step x {float(step):g}")
    axes.set_yticks(range(len(methods)), methods)
    axes.invert_yaxis()
    axes.axvline(0.55, color="black", linewidth=0.8, linestyle=":")
    axes.set_xlabel("bits, published practice = 1")
    axes.legend()
    save(figure, "rate.svg")

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    rows = rows_of("rdo.csv")
    for choosing in dict.fromkeys(row["choosing"] for row in rows):
        points = [row for row in rows if row["choosing"] == choosing]
        axes.plot(
            [float(row["bits_per_frame"]) for row in points],
            [float(row["squared_error_in_steps"]) for row in points],
            marker="o",
            label=choosing,
        )
    axes.set_yscale("log")
    axes.set_xlabel("bits a frame")
    axes.set_ylabel("squared error, steps")
    axes.legend()
    save(figure, "rdo.svg")


if __name__ == "__main__":
    main()
