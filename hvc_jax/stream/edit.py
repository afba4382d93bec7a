"""Editing a stream: its motion is decoded, changed and recoded; its pictures are not touched.

Only MOTION and META units change (and INDEX, which says where units are). KEY and STATIC units stay
byte for byte, motion before the first changed frame too, and an edit that changes no level returns
the very same stream.

A hybrid stream keeps its MOTION units as well, because its displacement fields were chosen with
them: edited parameters stand in EDIT units behind those that they replace, and a decoder shows the
motion from the sent to the edited ones on top of the decoded frame. Imports no jax.
"""

import dataclasses
import io
from collections.abc import Sequence

import numpy as np

from hvc_jax.stream.chain import Chain
from hvc_jax.stream.container import StreamReader, index_payload, meta_payload, meta_record
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import NO_MODEL, Header
from hvc_jax.stream.levels import QUANTISER_ONE, Levels, with_static
from hvc_jax.stream.operations import Operation, apply
from hvc_jax.stream.schema import Schema, builtin_schema
from hvc_jax.stream.tables import CodingTables, default_tables
from hvc_jax.stream.units import (
    SHORT,
    Unit,
    UnitType,
    motion_group,
    motion_payload,
    unit_bytes,
)
from hvc_jax.stream.vectors import Group, VectorDecoder, VectorEncoder

MOST_NUMBERS = 3 << 20
"""Frames times dynamic slots that are held at once: an hour of 31 numbers at 25 frames a second.

A frame that holds still takes no byte, so that a few kilobytes can ask for any amount of memory."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """A key frame's vector and the motion that follows it.

    Attributes:
      key: [slots] int64 levels of the key frame.
      groups: its motion, as coded.
      choices: which predictors each group chose, or None (see `MotionCoder.encode`).
      units: position of each group's unit among the stream's units.
      levels: [frames, dynamic slots] int32, after EDIT units.
      sent: [frames, dynamic slots] int32, of the MOTION units.
    """

    key: np.ndarray
    groups: list[Group]
    choices: list[np.ndarray | None]
    units: list[int]
    levels: np.ndarray
    sent: np.ndarray


@dataclasses.dataclass(frozen=True)
class Tracks:
    """The numbers of a whole stream.

    Attributes:
      header: the stream's header.
      schema: what the columns are.
      units: all units in order.
      values: [frames, dynamic slots] float64 values, in the units of the schema.
      intervals: one for every key frame.
      steps: [dynamic slots] float64 steps in force.
    """

    header: Header
    schema: Schema
    units: list[Unit]
    values: np.ndarray
    intervals: list[Interval]
    steps: np.ndarray

    @property
    def keys(self) -> np.ndarray:
        """[frames, dynamic slots] float64 values of the key picture each frame is drawn from."""
        count = len(self.steps)
        first = [interval.key[:count] * self.steps for interval in self.intervals]
        frames = [len(interval.levels) for interval in self.intervals]
        return np.repeat(np.reshape(first, (-1, count)), frames, axis=0)

    @property
    def vectors(self) -> np.ndarray:
        """[frames, size] float32, as `decode_vectors` returns them."""
        levels = Levels(self.schema, self.header.quantiser)
        parts = [
            levels.vectors(with_static(interval.levels, interval.key))
            for interval in self.intervals
        ]
        return np.concatenate([np.zeros((0, self.schema.size), np.float32), *parts])


def stream_schema(header: Header, tables: CodingTables) -> Schema:
    """Returns the schema in force: the one that the header names, or that of the model.

    Raises:
      BitstreamError: when the header names a schema that does not exist, or is not the model's.
    """
    if not header.schema:
        return tables.schema
    try:
        schema = builtin_schema(header.schema)
    except ValueError as error:
        raise BitstreamError(str(error)) from error
    if [slot.name for slot in schema.slots] != [slot.name for slot in tables.schema.slots]:
        raise BitstreamError(
            f"the header names the schema {header.schema!r}, the model has {tables.schema.name!r}; "
            "open the model that made the stream"
        )
    return schema


def stream_tables(header: Header) -> CodingTables:
    """Returns the tables of a stream that was coded without a model.

    Raises:
      BitstreamError: when the header names a model, or a schema that does not exist.
    """
    if header.model_id != NO_MODEL:
        raise BitstreamError(f"the tables are those of model {header.model_id.hex()}; open it")
    try:
        return default_tables(builtin_schema(header.schema))
    except ValueError as error:
        raise BitstreamError(str(error)) from error


def read_tracks(data: bytes, tables: CodingTables, keep_units: bool = True) -> Tracks:
    """Returns the numbers of a whole stream.

    Args:
      data: the stream.
      tables: of the model that the header names, or `default_tables(builtin_schema(...))`.
      keep_units: whether the units are wanted; without them the tracks cannot be edited.

    Raises:
      BitstreamError: when the stream is damaged, frames are missing, or it has more than
        MOST_NUMBERS.
    """
    reader = StreamReader(io.BytesIO(data))
    header = reader.header
    schema = stream_schema(header, tables)
    decoder = VectorDecoder(schema, tables, header.quantiser)
    editor = VectorDecoder(schema, tables, header.quantiser)
    steps = np.array([slot.step for slot in schema.dynamic]) * header.quantiser / QUANTISER_ONE
    count = len(schema.dynamic)
    units, intervals, frames = [], [], 0
    for unit in reader.units():
        if keep_units:
            units.append(unit)
        try:
            if unit.type == UnitType.STATIC:
                editor.key_levels(unit.payload)
                intervals.append((decoder.key_levels(unit.payload), [], [], [], [], []))
            elif unit.type == UnitType.MOTION:
                group = motion_group(unit)
                frames += group.count
                if frames * count > MOST_NUMBERS:
                    raise BitstreamError(
                        f"more than {MOST_NUMBERS // count:,} frames of {count} numbers are too "
                        "many to be held at once"
                    )
                levels = decoder.motion_levels(group)
                _, groups, choices, places, parts, sent = intervals[-1]
                groups.append(group)
                choices.append(decoder.choice if group.resync else None)
                places.append(len(units) - 1)
                parts.append(levels.astype(np.int32))
                sent.append(parts[-1])
            elif unit.type == UnitType.EDIT:
                group = motion_group(unit)
                moved = intervals[-1][1][-1:] if intervals else []
                if [(g.frame, g.count) for g in moved] != [(group.frame, group.count)]:
                    raise BitstreamError("an edit does not fit the motion before it")
                intervals[-1][4][-1] = edited_levels(unit, editor).astype(np.int32)
        except BitstreamError as error:
            raise BitstreamError(error.reason, unit.offset) from error
    empty = np.zeros((0, count), np.int32)
    whole = [
        Interval(*rest, np.concatenate([empty, *parts]), np.concatenate([empty, *sent]))
        for *rest, parts, sent in intervals
    ]
    return Tracks(
        header=header,
        schema=schema,
        units=units,
        values=np.concatenate([empty, *(interval.levels for interval in whole)]) * steps,
        intervals=whole,
        steps=steps,
    )


def edit(data: bytes, operations: Sequence[Operation], tables: CodingTables) -> bytes:
    """Returns the stream `data` after `operations`, applied in order.

    Args:
      data: a stream.
      operations: what to do; none, or none with an effect, returns `data` itself.
      tables: as for `read_tracks`.

    Raises:
      BitstreamError: when the stream is damaged.
      ValueError: when an operation names an unknown parameter or frames outside the clip.
    """
    tracks = read_tracks(data, tables)
    values, keys = tracks.values, tracks.keys
    for operation in operations:
        values = apply(operation, tracks.schema, values, keys)
    return write_values(data, tracks, values, tables, [op.describe() for op in operations])


def write_values(
    data: bytes,
    tracks: Tracks,
    values: np.ndarray,
    tables: CodingTables,
    notes: Sequence[str] = ("values replaced",),
) -> bytes:
    """Returns the stream with its dynamic numbers replaced.

    Args:
      data: the stream that `tracks` was read from.
      tracks: what `read_tracks` returned for it.
      values: [frames, dynamic slots] new values; those equal to the old keep their levels.
      tables: as for `read_tracks`.
      notes: what was done, for the META unit.
    """
    if values.shape != tracks.values.shape or not np.isfinite(values).all():
        raise ValueError(f"edited values must be finite and of shape {tracks.values.shape}")
    payloads: dict[int, bytes] = {}
    start = 0
    for interval in tracks.intervals:
        rows = slice(start, start + len(interval.levels))
        start = rows.stop
        other = values[rows] != tracks.values[rows]
        recode = _edits if tracks.header.variant == "hybrid" else _recode
        if other.any():
            payloads |= recode(tracks, tables, interval, values[rows], other)
    if not payloads:
        return data
    return _rewrite(data, tracks, payloads, notes)


def _recode(
    tracks: Tracks,
    tables: CodingTables,
    interval: Interval,
    values: np.ndarray,
    other: np.ndarray,
) -> dict[int, bytes]:
    """Returns the new payload of every MOTION unit of the interval that has to change.

    Its new values [frames, dynamic slots] count where they are other than before.
    """
    encoder = VectorEncoder(tracks.schema, tables, tracks.header.quantiser)
    encoder.resume(interval.key)
    edited = _edited_levels(tracks, interval, values, other)
    start, changed, payloads = 0, False, {}
    pieces = zip(interval.groups, interval.choices, interval.units, strict=True)
    for group, choice, place in pieces:
        rows = slice(start, start + group.count)
        start += group.count
        coded = encoder.group(group.frame, edited[rows], group.resync, choice)
        # Until something differs, what was there is kept, whoever encoded it.
        changed |= bool((edited[rows] != interval.levels[rows]).any())
        if changed:
            payloads[place] = motion_payload(coded)
    return payloads


def _edited_levels(
    tracks: Tracks, interval: Interval, values: np.ndarray, other: np.ndarray
) -> np.ndarray:
    """Returns the levels [frames, dynamic slots] int64 of an interval, edited where `other`."""
    # In place: an interval of an hour is a million rows, and each copy of it 24 MB.
    rounded = values / tracks.steps
    np.clip(rounded, -(2**31) + 1, 2**31 - 1, out=rounded)
    np.rint(rounded, out=rounded)
    levels = interval.levels.astype(np.int64)
    np.copyto(levels, rounded, where=other, casting="unsafe")
    return levels


def _edits(
    tracks: Tracks,
    tables: CodingTables,
    interval: Interval,
    values: np.ndarray,
    other: np.ndarray,
) -> dict[int, bytes]:
    """Returns the EDIT payload behind every MOTION unit of the interval; b"" for none.

    Its new values [frames, dynamic slots] count where they are other than before.
    """
    encoder = VectorEncoder(tracks.schema, tables, tracks.header.quantiser)
    encoder.resume(interval.key)
    levels = _edited_levels(tracks, interval, values, other)
    if (levels == interval.levels).all():
        return {}
    start, payloads = 0, {}
    for group, place in zip(interval.groups, interval.units, strict=True):
        rows = slice(start, start + group.count)
        start += group.count
        changed = (levels[rows] != interval.sent[rows]).any()
        coded = encoder.group(group.frame, levels[rows], True)
        payloads[place] = motion_payload(coded) if changed else b""
    return payloads


def edited_levels(unit: Unit, decoder: VectorDecoder) -> np.ndarray:
    """Returns the levels [frames, dynamic slots] of an EDIT unit.

    Args:
      unit: the unit.
      decoder: one that decodes EDIT units only, and has the key's numbers.

    Raises:
      BitstreamError: when it is damaged, or leans on what stands before it.
    """
    group = motion_group(unit)
    if not group.resync:
        raise BitstreamError("an edit does not decode on its own", unit.offset)
    return decoder.motion_levels(group)


def _rewrite(
    data: bytes, tracks: Tracks, payloads: dict[int, bytes], notes: Sequence[str]
) -> bytes:
    """Returns the stream with the given payloads, a note of the edit, and a matching index.

    In a hybrid stream the payloads are those of EDIT units behind the MOTION units.
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
    variant = tracks.header.variant
    chain, behind = Chain(variant), variant == "hybrid"
    for i, unit in enumerate(units):
        if unit.type in (UnitType.META, UnitType.INDEX):
            continue
        if unit.type == UnitType.EDIT and i - 1 in payloads:
            continue  # replaced
        # Who wrote whole units had reasons; short ones carry a checksum of what was before them.
        payload = unit.payload if behind else payloads.get(i, unit.payload)
        piece = chain.write(unit.type, unit.frame, payload, whole=data[unit.offset] < SHORT)
        if behind and payloads.get(i):
            piece += chain.write(UnitType.EDIT, unit.frame, payloads[i])
        if unit.type == UnitType.KEY:
            keys.append((unit.frame, position))
        out.append(piece)
        position += len(piece)
    out.append(unit_bytes(UnitType.META, 0, meta_payload(record)))
    if units[-1].type == UnitType.INDEX:
        out.append(unit_bytes(UnitType.INDEX, units[-1].frame, index_payload(keys)))
    return b"".join(out)
