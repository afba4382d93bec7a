"""What a frame's 31 semantic numbers cost: published practice, static codes, and this stream.

python experiments/030_stream_rate/rate.py measure --mocap DIR   # writes results.csv
python experiments/030_stream_rate/rate.py defaults --mocap DIR  # learns default_tables.json
"""

import argparse
import csv
import json
from pathlib import Path

import constriction
import numpy as np
from published import frame_bits
from tracks import load

from hvc_jax.bitstream.schema import Schema, semantic_schema
from hvc_jax.bitstream.streams import decode_vectors, encode_vectors
from hvc_jax.entropy.fit import fit_generic
from hvc_jax.entropy.tables import (
    DEFAULT_FILE,
    CodingTables,
    default_tables,
    fit_tables,
    pmf_to_frequencies,
)
from hvc_jax.entropy.tokens import EXTRA_BITS, NUM_TOKENS, to_tokens

HERE = Path(__file__).parent
QUANTISERS = (32, 64, 128)


def levels_of(schema: Schema, tracks: list[np.ndarray], quantiser: int) -> list[np.ndarray]:
    """Returns integer levels [T, 31] of every track."""
    index = [slot.index for slot in schema.dynamic]
    steps = np.array([slot.step for slot in schema.dynamic]) * quantiser / 64
    return [np.rint(track[:, index] / steps).astype(np.int64) for track in tracks]


def laplace_bits(residuals: np.ndarray) -> float:
    """Returns the ideal bits of residuals [T, D], a Laplace scale per number known in hindsight."""
    size = np.abs(residuals)
    best = np.full(size.shape[1], np.inf)
    for scale in np.geomspace(0.02, 100, 120):
        zero = 1 - np.exp(-0.5 / scale)
        tail = np.log2((1 - np.exp(-1 / scale)) / 2) - (size - 0.5) / scale / np.log(2)
        best = np.minimum(best, -np.where(size == 0, np.log2(zero), tail).sum(0))
    return float(np.where(size.sum(0) == 0, 0, best).sum())


def static_bits(learn: list[np.ndarray], test: list[np.ndarray]) -> float:
    """Returns real bits with one learned static table per number, one range coder per clip."""
    counts = np.full((learn[0].shape[1], NUM_TOKENS), 0.05)
    for residuals in learn:
        for slot, column in enumerate(to_tokens(residuals)[0].T):
            np.add.at(counts[slot], column, 1)
    rows = pmf_to_frequencies(counts).astype(float)
    family = constriction.stream.model.Categorical(perfect=False)
    total = 0.0
    for residuals in test:
        tokens = to_tokens(residuals)[0]
        coder = constriction.stream.queue.RangeEncoder()
        coder.encode(tokens.ravel(), family, np.tile(rows, (len(tokens), 1)))
        total += 32 * coder.get_compressed().size + np.array(EXTRA_BITS)[tokens].sum()
    return total


def stream_bits(
    schema: Schema, tables: CodingTables, tracks: list[np.ndarray], quantiser: int, group: int
) -> int:
    """Returns the bits of all MOTION payloads, after checking that they decode."""
    total = 0
    for track in tracks:
        coded = encode_vectors(schema, tables, track, quantiser=quantiser, group_frames=group)
        decoded = decode_vectors(schema, tables, coded.static, coded.groups, quantiser=quantiser)
        steps = np.array([slot.step for slot in schema.dynamic]) * quantiser / 64
        index = [slot.index for slot in schema.dynamic]
        assert (np.abs(decoded - track)[:, index] <= 0.501 * steps + 1e-5).all()
        total += 8 * sum(len(part.payload) for part in coded.groups)
    return total


def measure(learn: list[np.ndarray], test: list[np.ndarray]) -> list[dict[str, object]]:
    """Returns the rows of results.csv."""
    schema = semantic_schema("upper31", camera=False)
    fitted, generic = fit_tables(schema, learn), default_tables(schema)
    rows = []
    for quantiser in QUANTISERS:
        learned = [np.diff(x, axis=0) for x in levels_of(schema, learn, quantiser)]
        residuals = [np.diff(x, axis=0) for x in levels_of(schema, test, quantiser)]
        frames = sum(len(x) for x in residuals)
        bits = {
            "published": sum(frame_bits(row) for x in residuals for row in x),
            "static tables": static_bits(learned, residuals),
            "static Laplace, ideal": sum(laplace_bits(x) for x in residuals),
            "ours, default tables": stream_bits(schema, generic, test, quantiser, 4096),
            "ours": stream_bits(schema, fitted, test, quantiser, 4096),
            "ours, groups of 32": stream_bits(schema, fitted, test, quantiser, 32),
            "ours, groups of 1": stream_bits(schema, fitted, test, quantiser, 1),
        }
        for method, value in bits.items():
            rows.append(
                {
                    "rotation_step_rad": 0.05 * quantiser / 64,
                    "method": method,
                    "bits_per_frame": round(value / frames, 2),
                    "share_of_published": round(value / bits["published"], 3),
                }
            )
            print(*rows[-1].values(), sep="\t", flush=True)
    return rows


def trade(learn: list[np.ndarray], test: list[np.ndarray]) -> list[dict[str, object]]:
    """Returns the rows of rdo.csv: bits and squared error by quantiser and weight of rate."""
    schema = semantic_schema("upper31", camera=False)
    tables = fit_tables(schema, learn)
    index = [slot.index for slot in schema.dynamic]
    steps = np.array([slot.step for slot in schema.dynamic])
    rows = []
    for quantiser in (32, 45, 64, 90, 128, 181):
        for weight in (0.0, 0.05, 0.1, 0.15):
            bits = frames = error = 0.0
            for track in test:
                coded = encode_vectors(
                    schema,
                    tables,
                    track,
                    quantiser=quantiser,
                    group_frames=4096,
                    rate_weight=weight,
                )
                bits += 8 * sum(len(part.payload) for part in coded.groups)
                frames += len(track) - 1
                error += (((coded.reconstructed - track)[:, index] / steps) ** 2).mean(1).sum()
            rows.append(
                {
                    "quantiser": quantiser,
                    "rate_weight": weight,
                    "bits_per_frame": round(bits / frames, 2),
                    "squared_error_in_steps": round(error / frames, 4),
                }
            )
            print(*rows[-1].values(), sep="\t", flush=True)
    return rows


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("measure", "rdo", "defaults"))
    parser.add_argument("--mocap", type=Path, required=True, help="folder of BVH files")
    parser.add_argument("--cache", type=Path, help=".npz for retargeted tracks")
    parser.add_argument("--every", type=int, default=1, help="measure every n-th held-out track")
    arguments = parser.parse_args()
    learn, test = load(arguments.mocap, arguments.cache)
    if arguments.action == "defaults":
        record = fit_generic(semantic_schema("upper31", camera=False), learn)
        text = json.dumps(record, separators=(",", ":"))
        DEFAULT_FILE.write_text(text + "\n", encoding="utf-8")
        return
    name, rows_of = {"measure": ("results.csv", measure), "rdo": ("rdo.csv", trade)}[
        arguments.action
    ]
    rows = rows_of(learn, test[:: arguments.every])
    with (HERE / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
