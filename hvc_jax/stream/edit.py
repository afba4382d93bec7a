"""Editing a stream: its motion is decoded, changed and recoded; its pictures are not touched.

Only MOTION and META units change (and INDEX, which says where units are). KEY and STATIC units stay
byte for byte, motion before the first changed frame too, and an edit that changes no level returns
the very same stream. Numbers that are sent with key pictures only, like body shape, are changed for
the frames by an EDIT_STATIC unit; the key picture still shows the person as they were sent.

A hybrid stream keeps its MOTION units as well, because its displacement fields were chosen with
them: edited parameters stand in EDIT units behind those that they replace, and a decoder shows the
motion from the sent to the edited ones on top of the decoded frame. Imports no jax.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from hvc_jax.stream.chain import Chain
from hvc_jax.stream.container import index_payload, meta_payload, meta_record
from hvc_jax.stream.levels import Levels, in_levels
from hvc_jax.stream.named_slots import is_constant
from hvc_jax.stream.operations import Operation, apply, apply_constant
from hvc_jax.stream.static import encode_edit
from hvc_jax.stream.tables import CodingTables
from hvc_jax.stream.tracks import Interval, Tracks, read_tracks
from hvc_jax.stream.units import SHORT, UnitType, motion_payload, unit_bytes
from hvc_jax.stream.vectors import VectorEncoder


def edit(data: bytes, operations: Sequence[Operation], tables: CodingTables) -> bytes:
    """Returns the stream `data` after `operations`, in order; `tables` are as for `read_tracks`.

    Without operations, or one with an effect, `data` itself. Raises BitstreamError: when the stream
    is damaged. Raises ValueError: when an operation names an unknown parameter or frames outside
    the clip.
    """
    tracks = read_tracks(data, tables)
    values, constants = edited_values(tracks, operations)
    notes = [operation.describe() for operation in operations]
    return write_values(data, tracks, values, tables, notes, constants)


def edited_values(tracks: Tracks, operations: Iterable[Operation]) -> tuple[np.ndarray, np.ndarray]:
    """Values [frames, dynamic slots], constants [intervals, static slots], edited; ValueError."""
    values, keys, constants = tracks.values, tracks.keys, tracks.constants
    for operation in operations:
        if is_constant(tracks.schema, operation.names):
            constants = apply_constant(operation, tracks.schema, constants)
        else:
            values = apply(operation, tracks.schema, values, keys)
    return values, constants


def write_values(
    data: bytes,
    tracks: Tracks,
    values: np.ndarray,
    tables: CodingTables,
    notes: Sequence[str] = ("values replaced",),
    constants: np.ndarray | None = None,
) -> bytes:
    """Returns the stream with its numbers replaced.

    Args:
      data: the stream that `tracks` was read from.
      tracks: what `read_tracks` returned for it.
      values: [frames, dynamic slots]; those equal to the old keep their levels.
      tables: as for `read_tracks`.
      notes: what was done, for the META unit.
      constants: [intervals, static slots]; None leaves them as they are.
    """
    if values.shape != tracks.values.shape or not np.isfinite(values).all():
        raise ValueError(f"edited values must be finite and of shape {tracks.values.shape}")
    payloads = {} if constants is None else _static_edits(tracks, constants)
    start = 0
    for interval in tracks.intervals:
        rows = slice(start, start + len(interval.levels))
        start = rows.stop
        other = values[rows] != tracks.values[rows]
        if other.any():
            payloads |= _recode(tracks, tables, interval, values[rows], other)
    if not payloads:
        return data
    return _rewrite(data, tracks, payloads, notes)


def _static_edits(tracks: Tracks, constants: np.ndarray) -> dict[int, bytes]:
    """Returns the EDIT_STATIC payload behind every STATIC unit that has to change; b"" for none."""
    payloads: dict[int, bytes] = {}
    count = len(tracks.steps)
    steps = Levels(tracks.schema, tracks.header.quantiser).steps[count:]
    rows = zip(tracks.intervals, constants, tracks.constants, strict=True)
    for interval, wanted, before in rows:
        levels = np.where(wanted != before, in_levels(wanted, steps), interval.static)
        if (levels != interval.static).any():
            payloads[interval.place] = encode_edit(interval.key[count:], levels)
    return payloads


def _recode(
    tracks: Tracks, tables: CodingTables, interval: Interval, values: np.ndarray, other: np.ndarray
) -> dict[int, bytes]:
    """Returns new payloads for the MOTION units of an interval, by the places of these units.

    They are those of MOTION units that have to change, or in a hybrid of the EDIT units behind all
    of them, b"" for none. New values [frames, dynamic slots] count where they are `other`.
    """
    # In place: an interval of an hour is a million rows, and each copy of it 24 MB.
    levels = interval.levels.astype(np.int64)
    np.copyto(levels, in_levels(values, tracks.steps), where=other, casting="unsafe")
    if (levels == interval.levels).all():
        return {}
    encoder = VectorEncoder(tracks.schema, tables, tracks.header.quantiser)
    encoder.resume(interval.key)
    hybrid = tracks.header.variant == "hybrid"
    before = interval.sent if hybrid else interval.levels
    start, changed, payloads = 0, False, {}
    for group, place in zip(interval.groups, interval.units, strict=True):
        rows = slice(start, start + group.count)
        start += group.count
        coded = encoder.group(group.frame, levels[rows], hybrid or group.resync)
        differs = bool((levels[rows] != before[rows]).any())
        # Until something differs, what was there is kept, whoever encoded it.
        changed |= differs
        if hybrid:
            payloads[place] = motion_payload(coded) if differs else b""
        elif changed:
            payloads[place] = motion_payload(coded)
    return payloads


_BEHIND = {UnitType.MOTION: UnitType.EDIT, UnitType.STATIC: UnitType.EDIT_STATIC}
"""Units with edited numbers, by those behind which they stand."""


def _rewrite(
    data: bytes, tracks: Tracks, payloads: dict[int, bytes], notes: Sequence[str]
) -> bytes:
    """Returns the stream with the given payloads, a note of the edit, and a matching index.

    In a hybrid stream the payloads are those of EDIT units behind the MOTION units, and in any
    stream those of EDIT_STATIC units behind the STATIC units; b"" takes one away.
    """
    units = tracks.units
    record: dict = {}
    for unit in units:
        if unit.type == UnitType.META:
            record |= meta_record(unit)
    done = record.get("edits")
    record |= {"edited": True, "edits": [*(done if isinstance(done, list) else []), *notes]}
    out = [data[: units[0].offset]]
    position = len(out[0])
    keys: list[tuple[int, int]] = []
    chain, hybrid = Chain(tracks.header.variant), tracks.header.variant == "hybrid"
    for i, unit in enumerate(units):
        if unit.type in (UnitType.META, UnitType.INDEX):
            continue
        if unit.type in _BEHIND.values() and i - 1 in payloads:
            continue  # replaced
        # Who wrote whole units had reasons; short ones carry a checksum of what was before them.
        behind = _BEHIND.get(unit.type) if hybrid or unit.type == UnitType.STATIC else None
        payload = unit.payload if behind else payloads.get(i, unit.payload)
        piece = chain.write(unit.type, unit.frame, payload, whole=data[unit.offset] < SHORT)
        if behind and payloads.get(i):
            piece += chain.write(behind, unit.frame, payloads[i])
        if unit.type == UnitType.KEY:
            keys.append((unit.frame, position))
        out.append(piece)
        position += len(piece)
    out.append(unit_bytes(UnitType.META, 0, meta_payload(record)))
    if units[-1].type == UnitType.INDEX:
        out.append(unit_bytes(UnitType.INDEX, units[-1].frame, index_payload(keys)))
    return b"".join(out)
