"""`hvc inspect`: what is in a stream. Imports no jax."""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from hvc_jax.evaluation.table import csv_text, text_table
from hvc_jax.models.find import open_stream, tables_of_stream
from hvc_jax.stream.container import StreamReader, key_unit, meta_record
from hvc_jax.stream.edit import Tracks, read_tracks
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import Header
from hvc_jax.stream.rates import bytes_by_unit, kbps, unit_name
from hvc_jax.stream.units import Unit, UnitType

_EXAMPLE = """\
examples:
  hvc inspect out.hvc
  hvc inspect out.hvc --units --json
  hvc inspect out.hvc --tracks numbers.csv     one row per frame, one column per parameter
"""

_KEY_CODECS = {1: "VVC", 2: "AV1"}


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the parser of this command."""
    parser = subparsers.add_parser(
        "inspect",
        description="Shows units, bytes, rates and parameters of a stream without decoding frames.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", type=Path, help="stream")
    parser.add_argument("--units", action="store_true", help="list every unit")
    parser.add_argument("--tracks", type=Path, metavar="CSV", help="write all decoded parameters")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--model", type=Path, help="model file (default: found by its id)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reads the stream and prints it."""
    path = arguments.input
    with open_stream(path) as reader:
        units = list(reader.units())
    tracks, missing = _read_tracks(path, reader.header, arguments.model)
    report = _report(path, reader, units, tracks)
    if arguments.tracks:
        if tracks is None:
            raise ValueError(missing)
        _write_tracks(arguments.tracks, tracks)
    if arguments.json:
        print(json.dumps(report, indent=2))
        return 0
    _print(report, arguments.units)
    if missing:
        print(f"\nparameters are not shown: {missing}")
    return 0


def _read_tracks(path: Path, header: Header, model: Path | None) -> tuple[Tracks | None, str]:
    """The decoded parameters, or None and why they cannot be decoded."""
    try:
        tables = tables_of_stream(header, path, model)
    except BitstreamError:
        raise
    except (ValueError, OSError) as error:
        if model is not None:
            raise
        return None, str(error)
    return read_tracks(path.read_bytes(), tables), ""


def _report(
    path: Path, reader: StreamReader, units: list[Unit], tracks: Tracks | None
) -> dict[str, Any]:
    """Everything that is shown, as one JSON-able record."""
    header = reader.header
    size = path.stat().st_size
    sizes = bytes_by_unit(reader, units)
    frames = header.frame_count
    if frames is None:
        frames = next(u.frame for u in reversed(units) if u.type == UnitType.INDEX)
    counts = Counter(unit_name(unit.type) for unit in units) | {"HEADER": 1}
    fitted = header.fit != "none"
    return {
        "file": str(path),
        "variant": header.variant,
        "model": header.model_id.hex(),
        "size": [header.width, header.height],
        "fit": header.fit,
        "source_size": [header.source_width, header.source_height] if fitted else None,
        "fps": str(header.fps),
        "frames": frames,
        "seconds": frames / float(header.fps),
        "quantiser": header.quantiser,
        "bytes": size,
        "kbps": kbps(size, frames, header.fps),
        "bits_per_frame": size * 8 / frames,
        "motion_bits_per_frame": sizes.get("MOTION", 0) * 8 / frames,
        "by_type": [
            {
                "unit": name,
                "count": counts[name],
                "bytes": count,
                "share": f"{count / size:.1%}",
                "kbps": kbps(count, frames, header.fps),
            }
            for name, count in sizes.items()
        ],
        "units": [_unit_row(unit) for unit in units],
        "meta": [meta_record(unit) for unit in units if unit.type == UnitType.META],
        "schema": tracks.schema.name if tracks else None,
        "parameters": _parameter_rows(tracks) if tracks else None,
    }


def _unit_row(unit: Unit) -> dict[str, Any]:
    detail = ""
    if unit.type == UnitType.KEY:
        key = key_unit(unit)
        detail = f"{_KEY_CODECS.get(key.codec, f'codec {key.codec}')} QP {key.qp}"
    return {
        "offset": unit.offset,
        "unit": unit_name(unit.type),
        "frame": unit.frame,
        "bytes": unit.size,
        "detail": detail,
    }


def _parameter_rows(tracks: Tracks) -> list[dict[str, Any]]:
    rows = []
    for column, slot in enumerate(tracks.schema.dynamic):
        track = tracks.values[:, column]
        rows.append(
            {
                "parameter": slot.name,
                "unit": slot.unit or "-",
                "step": float(tracks.steps[column]),
                "first": float(track[0]),
                "min": float(track.min()),
                "mean": float(track.mean()),
                "max": float(track.max()),
            }
        )
    return rows


def _write_tracks(path: Path, tracks: Tracks) -> None:
    from hvc_jax.ops.files import atomic_path, check_output

    check_output(path)
    names = [slot.name for slot in tracks.schema.dynamic]
    rows = [
        {"frame": t} | dict(zip(names, map(float, values), strict=True))
        for t, values in enumerate(tracks.values)
    ]
    with atomic_path(path) as temporary:
        temporary.write_text(csv_text(rows), encoding="utf-8")


def _print(report: dict[str, Any], all_units: bool) -> None:
    width, height = report["size"]
    source = report["source_size"]
    fitted = f", {report['fit']} of {source[0]}x{source[1]}" if source else ""
    print(
        f"{report['file']}: {report['variant']}, model {report['model']}\n"
        f"{width}x{height}{fitted}, {report['frames']} frames at {report['fps']} frames/s "
        f"({report['seconds']:.2f} s)\n"
        f"{report['bytes']} bytes, {report['kbps']:.2f} kbps, "
        f"{report['bits_per_frame']:.1f} bits/frame "
        f"({report['motion_bits_per_frame']:.1f} of them motion)\n"
    )
    print(text_table(report["by_type"]))
    if all_units:
        print("\n" + text_table(report["units"]))
    for record in report["meta"]:
        print("\nmeta: " + json.dumps(record, ensure_ascii=False))
    if report["parameters"]:
        print(f"\nschema {report['schema']}, sent with every frame:")
        print(text_table(report["parameters"]))
