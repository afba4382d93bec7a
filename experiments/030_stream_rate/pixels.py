"""What weighing errors by the mesh's pixels gains: bits against displaced vertices.

Numbers that are not sent with every frame are those of the key frame on both sides. Errors are root
mean squares over frames and vertices, in a picture of 256 pixels.

python experiments/030_stream_rate/pixels.py --mocap DIR --every 5   # writes pixels.csv
"""

from pathlib import Path

import numpy as np
from tracks import load, options

from hvc_jax.codec.importance import mesh_importance, projected_vertices
from hvc_jax.codec.options import EncodeOptions
from hvc_jax.evaluation.table import csv_text
from hvc_jax.stream.schema import semantic_schema
from hvc_jax.stream.tables_fit import fit_tables
from hvc_jax.stream.vectors import encode_vectors

HERE = Path(__file__).parent
SIDE, WIDTH, APART = 256, 4, 10
QUANTISERS = (36, 48, 64, 85, 113)


def main() -> None:
    """Runs the command line."""
    arguments = options(__doc__.splitlines()[0])
    learn, test = load(arguments.mocap, arguments.cache)
    schema = semantic_schema("upper31", camera=False)
    tables = fit_tables(schema, learn)
    sent = np.array([slot.index for slot in schema.dynamic])
    steps = np.array([slot.step for slot in schema.dynamic])
    face = np.array([slot.name.startswith("expression") for slot in schema.dynamic])
    tracks = []
    for track in test[:: arguments.every]:
        still = np.repeat(track[:1], len(track), 0)
        still[:, -3] = 0.9  # the whole body in the picture
        still[:, sent] = track[:, sent]
        tracks.append(still)
    truth = [projected_vertices(track[::APART], SIDE) for track in tracks]
    rows: list[dict[str, object]] = []
    for errors_count in ("alike", "by pixels"):
        for quantiser in QUANTISERS:
            bits = frames = 0
            pixels, faces = [], []
            for track, points in zip(tracks, truth, strict=True):
                importance = mesh_importance(schema, track[0])
                coded = encode_vectors(
                    schema,
                    tables,
                    track,
                    quantiser=quantiser,
                    group_frames=4096,
                    rate_weight=EncodeOptions.rate_weight,
                    search_width=WIDTH,
                    importance=None if errors_count == "alike" else importance,
                )
                bits += 8 * sum(len(group.payload) for group in coded.groups)
                frames += len(track) - 1
                decoded = track.copy()
                decoded[:, sent] = coded.reconstructed[:, sent]
                moved = projected_vertices(decoded[::APART], SIDE) - points
                pixels += (moved**2).sum(-1).mean(-1).tolist()
                faces.append((((decoded - track)[:, sent] / steps)[:, face] ** 2).mean())
            rows.append(
                {
                    "errors_count": errors_count,
                    "quantiser": quantiser,
                    "bits_per_frame": round(bits / frames, 2),
                    "vertex_error_px": round(float(np.sqrt(np.mean(pixels))), 3),
                    "expression_error_steps": round(float(np.sqrt(np.mean(faces))), 3),
                }
            )
            print(*rows[-1].values(), sep="\t", flush=True)
    (HERE / "pixels.csv").write_text(csv_text(rows), encoding="utf-8")
    alike, weighed = (
        np.array(
            [(r["vertex_error_px"], r["bits_per_frame"]) for r in rows if r["errors_count"] == n]
        )
        for n in ("alike", "by pixels")
    )
    for pixels, bits in alike[1:-1]:
        other = np.interp(np.log(pixels), np.log(weighed[:, 0]), weighed[:, 1])
        print(f"at {pixels} pixels: {bits} -> {other:.1f} bits/frame, {other / bits - 1:+.1%}")


if __name__ == "__main__":
    main()
