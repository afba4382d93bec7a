"""What lost MOTION units cost: held frames, wrong angles, mesh vertices in the wrong place.

Errors are those against what the whole stream decodes to, means over all frames.

python experiments/031_stream_faults/losses.py --mocap DIR   # writes losses.csv
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "030_stream_rate"))

from tracks import load, options  # noqa: E402

from hvc_jax.codec.importance import projected_vertices  # noqa: E402
from hvc_jax.evaluation.table import csv_text  # noqa: E402
from hvc_jax.stream.conceal import ConcealingDecoder  # noqa: E402
from hvc_jax.stream.schema import semantic_schema  # noqa: E402
from hvc_jax.stream.tables import default_tables  # noqa: E402
from hvc_jax.stream.vectors import Group, VectorDecoder, encode_vectors  # noqa: E402

SCHEMA = semantic_schema("upper31")
TABLES = default_tables(SCHEMA)
SIDE = 256
SETTINGS = ((1, 10), (5, 1), (5, 5), (25, 1))
"""Frames of a unit, and units from one that decodes on its own to the next."""


def patterns(count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns which of `count` units are lost, [count] bool, by the name of the pattern."""
    lost = {f"{share:.0%}": rng.random(count) < share for share in (0.01, 0.05, 0.1)}
    burst = np.zeros(count, bool)
    for start in np.flatnonzero(rng.random(count) < 0.02):
        burst[start : start + 4] = True
    return lost | {"bursts of 4 units": burst}


def received(static: bytes, groups: list[Group], lost: np.ndarray, frames: int) -> tuple:
    """Returns the vectors [frames, 188] that come out, and how many frames were held."""
    decoder = ConcealingDecoder(VectorDecoder(SCHEMA, TABLES), frames)
    decoder.key(static, 0)
    parts = []
    for group, gone in zip(groups, lost, strict=True):
        if not gone:
            parts += [decoder.hold_until(group.frame), decoder.motion(group)]
    parts.append(decoder.hold_until(frames))
    return np.concatenate(parts), decoder.concealed


def main() -> None:
    """Runs the command line."""
    arguments = options(__doc__.splitlines()[0])
    _, tracks = load(arguments.mocap, arguments.cache)
    tracks = tracks[:: arguments.every]
    for track in tracks:
        track[:, -3] = 0.9  # the whole body in the picture
    sent = np.array([slot.index for slot in SCHEMA.dynamic if slot.unit == "rad"])
    rows = []
    for frames_of_unit, units in SETTINGS:
        totals: dict[str, np.ndarray] = {}
        bits = frames = 0
        for number, track in enumerate(tracks):
            coded = encode_vectors(
                SCHEMA, TABLES, track, group_frames=frames_of_unit, resync_groups=units
            )
            bits += 8 * sum(len(group.payload) for group in coded.groups)
            frames += len(track)
            some = np.arange(0, len(track), 5)
            whole = coded.reconstructed
            truth = projected_vertices(whole[some], SIDE)
            rng = np.random.default_rng(number)
            for name, lost in patterns(len(coded.groups), rng).items():
                out, held = received(coded.static, coded.groups, lost, len(track))
                angles = np.abs(out - whole)[:, sent]
                moved = np.linalg.norm(projected_vertices(out[some], SIDE) - truth, axis=-1)
                seen = [held, angles.mean() * len(track), moved.mean() * len(track)]
                totals[name] = totals.get(name, 0) + np.array(seen)
        for name, (held, angles, pixels) in totals.items():
            rows.append(
                {
                    "frames_per_unit": frames_of_unit,
                    "resync_every_units": units,
                    "bits_per_frame": round(bits / frames, 1),
                    "lost": name,
                    "held_frames": f"{held / frames:.1%}",
                    "angle_error_deg": round(np.degrees(angles / frames), 2),
                    "vertex_error_px": round(pixels / frames, 2),
                }
            )
            print(*rows[-1].values(), sep="\t", flush=True)
    (HERE / "losses.csv").write_text(csv_text(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
