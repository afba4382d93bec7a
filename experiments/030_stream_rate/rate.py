"""What a frame's 31 semantic numbers cost: published practice, static codes, and this stream.

python experiments/030_stream_rate/rate.py measure --mocap DIR   # writes results.csv
python experiments/030_stream_rate/rate.py tokens --clips DIR    # writes tokens.csv
python experiments/030_stream_rate/rate.py rdo --mocap DIR       # writes rdo.csv
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

from hvc_jax.codec.options import EncodeOptions
from hvc_jax.stream.contexts import MotionContexts, capped, folded
from hvc_jax.stream.schema import Schema, semantic_schema
from hvc_jax.stream.tables import (
    DEFAULT_FILE,
    TOTAL,
    CodingTables,
    default_tables,
    pmf_to_frequencies,
)
from hvc_jax.stream.tables_fit import fit_generic, fit_tables
from hvc_jax.stream.tokens import EXTRA_BITS, NUM_TOKENS, to_tokens
from hvc_jax.stream.vectors import decode_vectors, encode_vectors

HERE = Path(__file__).parent
QUANTISERS = (32, 64, 128)
WEIGHT, WIDTH = EncodeOptions.rate_weight, 4
"""Settings of the search for levels: those of the encoder."""


def levels_of(schema: Schema, tracks: list[np.ndarray], quantiser: int) -> list[np.ndarray]:
    """Returns integer levels [T, D] of every track."""
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


class Coder:
    """This stream over tracks of one schema.

    Attributes:
      schema: what is coded.
      tables: the coding tables.
    """

    def __init__(self, schema: Schema, tables: CodingTables) -> None:
        self.schema, self.tables = schema, tables
        self._index = [slot.index for slot in schema.dynamic]
        self._steps = np.array([slot.step for slot in schema.dynamic])

    def cost(self, tracks: list[np.ndarray], **options: object) -> tuple[float, float]:
        """Returns bits a frame of all MOTION payloads, and the mean squared error in steps.

        Steps are those at quantiser 64. Everything was decoded back.
        """
        bits = error = frames = 0.0
        quantiser = options.get("quantiser", 64)
        for track in tracks:
            coded = encode_vectors(self.schema, self.tables, track, **options)
            decoded = decode_vectors(
                self.schema, self.tables, coded.static, coded.groups, quantiser=quantiser
            )
            miss = (decoded - track)[:, self._index] / self._steps
            if not options.get("rate_weight"):
                assert np.abs(miss).max() <= 0.501 * quantiser / 64 + 1e-3
            bits += 8 * sum(len(part.payload) for part in coded.groups)
            error += (miss**2).mean(1).sum()
            frames += len(track) - 1
        return bits / frames, error / frames

    def ideal(self, tracks: list[np.ndarray], quantiser: int) -> float:
        """Returns the bits a frame of an ideal coder with this stream's probabilities."""
        contexts = MotionContexts(self.tables, quantiser, 64)
        order, hold = contexts.order, self.tables.hold / TOTAL
        bits = frames = 0.0
        for levels in levels_of(self.schema, tracks, quantiser):
            moves = (np.diff(levels, axis=0) != 0).any(1)
            # The key's own frame holds, in the context behind a restart.
            before = np.concatenate([[False, True], ~moves])[: len(moves) + 1]
            contexts_of_hold = before[:-1].astype(int) + before[1:]
            bits -= (
                np.log2(hold[3, 1]) + np.log2(hold[contexts_of_hold, (~moves).astype(int)]).sum()
            )
            frames += len(moves)
            if not moves.any():
                continue
            state = contexts.fresh(levels[0, order])
            followed = contexts.follow(state, levels[1:][moves][:, order])
            scale = contexts.scale(followed.means) + contexts.around(capped(followed.residuals))
            fold, sign = folded(followed.phases)
            tokens, _ = to_tokens(followed.residuals * sign)
            row = contexts.table[contexts.rows(scale, fold)]
            share = np.take_along_axis(row, tokens[..., None], -1)[..., 0] / TOTAL
            bits += (np.array(EXTRA_BITS)[tokens] - np.log2(share)).sum()
        return bits / frames

    def at_error(self, tracks: list[np.ndarray], error: float, near: int, group: int) -> float:
        """Returns the bits a frame with a search for levels, at this squared error.

        Interpolated between quantisers near `near`, linear in log error.
        """
        options = {"group_frames": group, "rate_weight": WEIGHT, "search_width": WIDTH}
        points = [(near, *self.cost(tracks, quantiser=near, **options))]
        while points[0][2] > error:
            finer = points[0][0] * 7 // 8
            points.insert(0, (finer, *self.cost(tracks, quantiser=finer, **options)))
        while points[-1][2] < error:
            coarser = points[-1][0] * 9 // 8
            points.append((coarser, *self.cost(tracks, quantiser=coarser, **options)))
        _, bits, errors = np.array(points).T
        return float(np.interp(np.log(error), np.log(errors), bits))


def rows_of(
    setting: str, learn: list[np.ndarray], test: list[np.ndarray], schema: Schema, tables: object
) -> list[dict[str, object]]:
    """Returns rows of results.csv: every method at three scales of the steps."""
    fitted, generic = Coder(schema, tables), Coder(schema, default_tables(schema))
    rows = []
    for quantiser in QUANTISERS:
        learned = [np.diff(x, axis=0) for x in levels_of(schema, learn, quantiser)]
        residuals = [np.diff(x, axis=0) for x in levels_of(schema, test, quantiser)]
        frames = sum(len(x) for x in residuals)
        plain = {"quantiser": quantiser, "group_frames": 4096}
        ours, error = fitted.cost(test, **plain)
        near = round(quantiser * 0.85)
        bits = {
            "published": sum(frame_bits(row) for x in residuals for row in x.tolist()) / frames,
            "static tables": static_bits(learned, residuals) / frames,
            "static Laplace, ideal": sum(laplace_bits(x) for x in residuals) / frames,
            "ours, default tables": generic.cost(test, **plain)[0],
            "ours": ours,
            "ours, ideal of its own model": fitted.ideal(test, quantiser),
            "ours, groups of 32": fitted.cost(test, **plain | {"group_frames": 32})[0],
            "ours, groups of 1": fitted.cost(test, **plain | {"group_frames": 1})[0],
            "ours with search": fitted.at_error(test, error, near, 4096),
            "ours with search, groups of 32": fitted.at_error(test, error, near, 32),
            "ours with search, groups of 1": fitted.at_error(test, error, near, 1),
        }
        for method, value in bits.items():
            rows.append(
                {
                    "setting": setting,
                    "step": quantiser / 64,
                    "method": method,
                    "bits_per_frame": round(value, 2),
                    "share_of_published": round(value / bits["published"], 3),
                }
            )
            print(*rows[-1].values(), sep="\t", flush=True)
    return rows


def measure(learn: list[np.ndarray], test: list[np.ndarray]) -> list[dict[str, object]]:
    """Returns the rows of results.csv on motion capture."""
    schema = semantic_schema("upper31", camera=False)
    return rows_of("motion capture", learn, test, schema, fit_tables(schema, learn))


def trade(learn: list[np.ndarray], test: list[np.ndarray]) -> list[dict[str, object]]:
    """Returns the rows of rdo.csv: bits and squared error by quantiser and way of choosing."""
    schema = semantic_schema("upper31", camera=False)
    coder = Coder(schema, fit_tables(schema, learn))
    rows = []
    for choosing, weight, width in (
        ("rounding", 0.0, 1),
        ("greedy", WEIGHT, 1),
        ("search", WEIGHT, WIDTH),
    ):
        for quantiser in (22, 32, 45, 64, 90, 128, 181):
            bits, error = coder.cost(
                test, quantiser=quantiser, group_frames=4096, rate_weight=weight, search_width=width
            )
            rows.append(
                {
                    "choosing": choosing,
                    "quantiser": quantiser,
                    "bits_per_frame": round(bits, 2),
                    "squared_error_in_steps": round(error, 4),
                }
            )
            print(*rows[-1].values(), sep="\t", flush=True)
    return rows


def gains(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Returns the rows of rdo_gains.csv from those of rdo.csv: bits at the errors of rounding."""
    curves: dict[object, tuple[np.ndarray, np.ndarray]] = {}
    for choosing in ("rounding", "greedy", "search"):
        points = [row for row in rows if row["choosing"] == choosing]
        errors = np.log([row["squared_error_in_steps"] for row in points])
        curves[choosing] = errors, np.array([row["bits_per_frame"] for row in points])
    lines = []
    for error, bits in zip(*curves["rounding"], strict=True):
        line = {"squared_error_in_steps": round(float(np.exp(error)), 4), "rounding": bits}
        for choosing in ("greedy", "search"):
            errors, others = curves[choosing]
            if errors[0] <= error <= errors[-1]:
                there = np.interp(error, errors, others)
                line |= {
                    choosing: round(there, 2),
                    f"{choosing}_less": f"{100 * (there / bits - 1):.0f}",
                }
        if "greedy" in line:
            lines.append(line)
    return lines


def measure_tokens(clips: Path) -> list[dict[str, object]]:
    """Returns the rows of tokens.csv: the shipped implicit model on clips it was not trained on."""
    from tokens import token_tracks

    from hvc_jax.models.export import load_export

    export = load_export("keypoint")
    learn = token_tracks(export, clips / "train", 20, 64)
    test = token_tracks(export, clips / "validation", 12, 64)
    return rows_of("implicit tokens", learn, test, export.tables.schema, export.tables)


def write(name: str, rows: list[dict[str, object]]) -> None:
    """Writes a table beside this file."""
    with (HERE / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("measure", "tokens", "rdo", "defaults"))
    parser.add_argument("--mocap", type=Path, help="folder of BVH files")
    parser.add_argument("--cache", type=Path, help=".npz for retargeted tracks")
    parser.add_argument("--clips", type=Path, help="folder with train/ and validation/ videos")
    parser.add_argument("--every", type=int, default=1, help="measure every n-th held-out track")
    arguments = parser.parse_args()
    if arguments.action == "tokens":
        write("tokens.csv", measure_tokens(arguments.clips))
        return
    learn, test = load(arguments.mocap, arguments.cache)
    if arguments.action == "defaults":
        record = fit_generic(semantic_schema("upper31", camera=False), learn)
        text = json.dumps(record, separators=(",", ":"))
        DEFAULT_FILE.write_text(text + "\n", encoding="utf-8")
        return
    test = test[:: arguments.every]
    if arguments.action == "rdo":
        rows = trade(learn, test)
        write("rdo.csv", rows)
        write("rdo_gains.csv", gains(rows))
    else:
        write("results.csv", measure(learn, test))


if __name__ == "__main__":
    main()
