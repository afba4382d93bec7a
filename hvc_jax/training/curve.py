"""The learning curve of a run as a picture, made from its metrics.jsonl alone."""

import json
from pathlib import Path

from matplotlib.figure import Figure

from hvc_jax.ops.files import atomic_path

# Title, and the lines by their names in metrics.jsonl.
_PANELS = (
    ("loss", {"loss/total": "training", "validation/total": "validation"}),
    ("PSNR, dB", {"validation/psnr": "validation"}),
    (
        "bits a frame",
        {
            "bits/latent": "training, estimated",
            "validation/bits_estimated": "validation, estimated",
            "validation/bits_real": "validation, real",
        },
    ),
)


def plot_curve(workdir: Path) -> Path:
    """Writes WORKDIR/curve.png: loss, PSNR and bits over steps; returns its path.

    `workdir`: Of a run, with its metrics.jsonl. Terms of replicas (several lambdas) are left out.
    """
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    for axes, (title, lines) in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
        for name, label in lines.items():
            points = [(row["step"], row[name]) for row in rows if name in row]
            if points:
                axes.plot(*zip(*points, strict=True), label=label, marker="." * (len(points) < 50))
        axes.set_xlabel("step")
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=8)
    path = workdir / "curve.png"
    with atomic_path(path) as part:
        figure.savefig(part, dpi=100, format="png")
    return path
