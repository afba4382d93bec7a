"""`hvc inspect`: what is in a stream. Imports no jax."""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from hvc_jax.cli.text import printable
from hvc_jax.evaluation.table import csv_text, text_table
from hvc_jax.models.find import read_stream, stream_reader, tables_of_stream
from hvc_jax.ops.files import check_output, write_text
from hvc_jax.stream.container import StreamReader, key_unit, meta_record
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.field_unit import GRIDS, field_group
from hvc_jax.stream.header import Header
from hvc_jax.stream.levels import Levels
from hvc_jax.stream.rates import kbps, unit_name
from hvc_jax.stream.sound import audio_group
from hvc_jax.stream.tracks import Tracks, read_tracks
from hvc_jax.stream.units import Unit, UnitType

DESCRIPTION = "Shows units, bytes, rates and parameters of a stream without decoding frames."
EXAMPLES = """\
examples:
  hvc inspect out.hvc
  hvc inspect out.hvc --units --json
  hvc inspect out.hvc --tracks numbers.csv     one row per frame, one column per parameter
"""

_MOST_ROWS = 10_000
"""Units that --units lists; further ones are only counted."""
_MOST_RECORDS = 100
"""META units that are shown; further ones are only counted."""

_MOST_NUMBERS = 40
"""Numbers of a token, which have no names, that are shown; --json and --tracks have all."""

_KEY_CODECS = {1: "VVC", 2: "AV1"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    add = parser.add_argument
    add("input", type=Path, help="stream, or - for a pipe")
    add("--units", action="store_true", help="list every unit, also in --json")
    add("--tracks", type=Path, metavar="CSV", help="write all decoded parameters")
    add("--json", action="store_true", help="print one JSON object")
    add("--model", type=Path, help="model file (default: found by its id)")


def run(arguments: argparse.Namespace) -> int:
    """Reads the stream and prints it."""
    path = arguments.input
    if arguments.tracks:
        check_output(arguments.tracks, inputs=(path,), suffixes=(".csv",))
    data = read_stream(path)
    with stream_reader(data, path) as reader:
        summary = _Summary(reader, arguments.units)
        tracks, missing = _read_tracks(path, data, reader.header, arguments.model)
    report = _report(path, len(data), reader.header, summary, tracks)
    if arguments.tracks:
        if tracks is None:
            raise ValueError(missing)
        _write_tracks(arguments.tracks, tracks)
    if arguments.json:
        print(json.dumps(report, indent=2))
        return 0
    _print(report, arguments.units)
    if len(report["units"]) == _MOST_ROWS:
        print(f"\nonly the first {_MOST_ROWS} units are listed")
    if len(report["meta"]) == _MOST_RECORDS:
        print(f"\nonly the first {_MOST_RECORDS} META units are shown")
    if missing:
        print(f"\nparameters are not shown: {missing}")
    return 0


class _Summary:
    """The units of a stream, counted one by one: a stream may have millions of them."""

    def __init__(self, reader: StreamReader, list_units: bool) -> None:
        self.bytes = {"HEADER": reader.header_size}
        self.counts = Counter(HEADER=1)
        self.rows: list[dict[str, Any]] = []
        self.meta: list[dict[str, Any]] = []
        self.frames = 0
        for unit in reader.units():
            name = unit_name(unit.type)
            self.counts[name] += 1
            self.bytes[name] = self.bytes.get(name, 0) + unit.size
            if unit.type == UnitType.META and len(self.meta) < _MOST_RECORDS:
                self.meta.append(meta_record(unit))
            if list_units and len(self.rows) < _MOST_ROWS:
                self.rows.append(_unit_row(unit))
        self.frames = reader.next_frame


def _read_tracks(
    path: Path, data: bytes, header: Header, model: Path | None
) -> tuple[Tracks | None, str]:
    """The decoded parameters, or None and why they cannot be decoded."""
    try:
        tables = tables_of_stream(header, path, model)
    except BitstreamError:
        raise
    except (ValueError, OSError) as error:
        if model is not None:
            raise
        return None, str(error)
    return read_tracks(data, tables, keep_units=False), ""


def _report(
    path: Path, size: int, header: Header, summary: _Summary, tracks: Tracks | None
) -> dict[str, Any]:
    """Everything that is shown, as one JSON-able record."""
    frames, sizes = summary.frames, summary.bytes
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
        "sound_kbps": kbps(sizes.get("AUDIO", 0), frames, header.fps),
        "bits_per_frame": size * 8 / max(frames, 1),
        "motion_bits_per_frame": sizes.get("MOTION", 0) * 8 / max(frames, 1),
        "by_type": [
            {
                "unit": name,
                "count": summary.counts[name],
                "bytes": count,
                "share": f"{count / size:.1%}",
                "kbps": kbps(count, frames, header.fps),
            }
            for name, count in sizes.items()
        ],
        "units": summary.rows,
        "meta": summary.meta,
        "schema": tracks.schema.name if tracks else None,
        "parameters": _parameter_rows(tracks) if tracks else None,
        "constants": _constant_rows(tracks) if tracks else None,
    }


def _unit_row(unit: Unit) -> dict[str, Any]:
    detail = ""
    if unit.type == UnitType.KEY:
        key = key_unit(unit)
        detail = f"{_KEY_CODECS.get(key.codec, f'codec {key.codec}')} QP {key.qp}"
    elif unit.type == UnitType.FIELD:
        group = field_group(unit)
        keys = [f"{p.frame} ({len(p.payload)} B)" for p in group.pictures]
        detail = f"{group.count} frames, {GRIDS[group.grid]} points, field {len(group.payload)} B"
        detail += " from the frame before" if group.predicted and not keys else ""
        detail += f", key pictures {', '.join(keys)}" if keys else ""
    elif unit.type == UnitType.AUDIO:
        sound = audio_group(unit)
        detail = f"Opus, {sound.channels} channel{'s' * (sound.channels > 1)}, "
        detail += f"{len(sound.packets)} packets from {sound.first} on"
    elif unit.type == UnitType.EDIT_STATIC:
        detail = "numbers of the frames up to the next key picture"
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
        if not len(track):
            continue
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


def _constant_rows(tracks: Tracks) -> list[dict[str, Any]]:
    """What is sent with key pictures only and is not zero, edits included."""
    count = len(tracks.steps)
    steps = Levels(tracks.schema, tracks.header.quantiser).steps[count:]
    sent = np.array([interval.key[count:] for interval in tracks.intervals])
    sent = sent.reshape(len(tracks.intervals), len(steps)) * steps  # either may be none
    return [
        {
            "parameter": slot.name,
            "unit": slot.unit or "-",
            "sent": float(sent[0, place]),
            "shown": float(tracks.constants[0, place]),
        }
        for place, slot in enumerate(tracks.schema.static)
        if len(sent) and (sent[:, place].any() or tracks.constants[:, place].any())
    ]


def _write_tracks(path: Path, tracks: Tracks) -> None:
    names = [slot.name for slot in tracks.schema.dynamic]
    rows = [
        {"frame": t} | dict(zip(names, map(float, values), strict=True))
        for t, values in enumerate(tracks.values)
    ]
    write_text(path, csv_text(rows))


def _print(report: dict[str, Any], all_units: bool) -> None:
    width, height = report["size"]
    source = report["source_size"]
    fitted = f", {report['fit']} of {source[0]}x{source[1]}" if source else ""
    sound = f"{report['sound_kbps']:.2f} of them sound, " if report["sound_kbps"] else ""
    print(
        f"{report['file']}: {report['variant']}, model {report['model']}\n"
        f"{width}x{height}{fitted}, {report['frames']} frames at {report['fps']} frames/s "
        f"({report['seconds']:.2f} s)\n"
        f"{report['bytes']} bytes, {report['kbps']:.2f} kbps, {sound}"
        f"{report['bits_per_frame']:.1f} bits/frame "
        f"({report['motion_bits_per_frame']:.1f} of them motion)\n"
    )
    print(text_table(report["by_type"]))
    if all_units:
        print("\n" + text_table(report["units"]))
    for record in report["meta"]:
        print("\nmeta: " + printable(json.dumps(record, ensure_ascii=False)))
    if report["parameters"]:
        print(f"\nschema {report['schema']}, sent with every frame:")
        token = report["schema"].startswith("token")
        shown = report["parameters"][: _MOST_NUMBERS if token else None]
        print(text_table(shown))
        if left := len(report["parameters"]) - len(shown):
            print(f"and {left} more numbers; --json and --tracks have them")
    if report["constants"]:
        print("\nsent with key pictures, at the first, where not zero:")
        print(text_table(report["constants"]))
