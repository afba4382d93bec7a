"""Key spacing, key QP and lmbda beside each other, on development clips; writes settings.csv.

    python experiments/050_field/settings.py CLIPS --names 283 072 --dists-weights weights.pt

A row for each clip and setting: bytes of key pictures and of all payloads, PSNR over all
frames, LPIPS-VGG and DISTS over every 8th, of the first 64 frames at 256x256, effort 1; below,
VVC random access at several QPs. Needs `pip install '.[lpips]'`.
"""

import argparse
import csv
from fractions import Fraction
from pathlib import Path

import numpy as np

from hvc_jax.codec.rate import key_places
from hvc_jax.codec.segment import Quality, code_keys, code_segment
from hvc_jax.data.clips import read_clip
from hvc_jax.evaluation import anchors, learned_metrics
from hvc_jax.evaluation.metrics import psnr

HERE = Path(__file__).parent
FRAMES, EVERY = 64, 8
SETTINGS = (  # key spacing, key QP, lmbda
    (4, 48, 0.1),
    (8, 46, 0.1),
    (8, 42, 0.2),
    (16, 44, 0.2),
    (16, 40, 0.3),
    (16, 36, 0.2),
    (32, 36, 0.2),
    (64, 34, 0.2),
)
VVC_QPS = (47, 51, 55)
_STEP, _GRID = 4, 1


def scores(original: np.ndarray, decoded: np.ndarray, weights: Path) -> dict[str, str]:
    """PSNR, LPIPS-VGG and DISTS of [T, H, W, 3] uint8."""
    some = slice(EVERY // 2, None, EVERY)
    a, b = original[some], decoded[some]
    return {
        "psnr": f"{psnr(original, decoded).mean():.2f}",
        "lpips_vgg": f"{learned_metrics.lpips_vgg(a, b).mean():.3f}",
        "dists": f"{learned_metrics.dists(a, b, weights).mean():.3f}",
    }


def rows_of(path: Path, weights: Path):  # noqa: ANN201
    """Yields the rows of a clip."""
    frames = np.stack(list(read_clip(path, 256, frames=FRAMES).frames))
    for spacing, qp, lmbda in SETTINGS:
        keys = code_keys(frames, key_places(len(frames), spacing), qp)
        coded = code_segment(frames, keys, Quality(qp, lmbda, _STEP, _GRID), effort=1)
        about = {"clip": path.stem, "codec": "field", "spacing": spacing, "qp": qp, "lmbda": lmbda}
        sizes = {"key_bytes": keys.size, "bytes": coded.size}
        yield about | sizes | scores(frames, coded.frames, weights)
    for qp in VVC_QPS:
        anchor = anchors.code_clip(frames, Fraction(25), "vvc", qp)
        about = {"clip": path.stem, "codec": "vvc", "qp": qp, "bytes": anchor.bytes}
        yield about | scores(frames, anchor.frames, weights)


def main() -> None:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--names", nargs="+", required=True, help="how the files' names begin")
    parser.add_argument("--dists-weights", type=Path, required=True)
    arguments = parser.parse_args()
    columns = ("clip", "codec", "spacing", "qp", "lmbda", "key_bytes", "bytes", "psnr",
               "lpips_vgg", "dists")  # fmt: skip
    with (HERE / "settings.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for name in arguments.names:
            for row in rows_of(next(arguments.clips.glob(f"{name}*.mp4")), arguments.dists_weights):
                writer.writerow(row)
                file.flush()
                print(row, flush=True)


if __name__ == "__main__":
    main()
