"""The numbers of a whole stream: what a key frame and the frames behind it say, edits included.

Imports no jax.
"""

import dataclasses
import io

import numpy as np

from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import NO_MODEL, Header
from hvc_jax.stream.levels import Levels, with_static
from hvc_jax.stream.schema import Schema, builtin_schema
from hvc_jax.stream.tables import CodingTables, default_tables
from hvc_jax.stream.units import Unit, UnitType, motion_group
from hvc_jax.stream.vectors import Group, VectorDecoder

MOST_NUMBERS = 3 << 20
"""Frames times dynamic slots that are held at once: an hour of 31 numbers at 25 frames a second.

A frame that holds still takes no byte, so that a few kilobytes can ask for any amount of memory."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """A key frame's vector and the motion that follows it."""

    key: np.ndarray  # [slots] int64 levels of the key frame
    groups: list[Group]
    units: list[int]  # position of each group's unit among the stream's units
    place: int  # position of its STATIC unit among the stream's units
    static: np.ndarray  # [static slots] int64 levels of the frames, after EDIT_STATIC units
    levels: np.ndarray  # [frames, dynamic slots] int32, after EDIT units
    sent: np.ndarray  # [frames, dynamic slots] int32, of the MOTION units


@dataclasses.dataclass(frozen=True)
class Tracks:
    """The numbers of a whole stream, in the units of its schema."""

    header: Header
    schema: Schema
    units: list[Unit]  # all units in order
    values: np.ndarray  # [frames, dynamic slots] float64 values
    intervals: list[Interval]  # one for every key frame
    # [intervals, static slots] float64 values of the frames behind each key frame
    constants: np.ndarray
    steps: np.ndarray  # [dynamic slots] float64 steps in force

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
            levels.vectors(with_static(interval.levels, interval.static))
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
    """Returns the tables of a stream without a model; BitstreamError: it has one, or no schema."""
    if header.model_id != NO_MODEL:
        raise BitstreamError(f"the tables are those of model {header.model_id.hex()}; open it")
    try:
        return default_tables(builtin_schema(header.schema))
    except ValueError as error:
        raise BitstreamError(str(error)) from error


def read_tracks(data: bytes, tables: CodingTables, keep_units: bool = True) -> Tracks:
    """Returns the numbers of a whole stream; without `keep_units` they cannot be edited.

    `tables`: of the model that the header names, or `default_tables(builtin_schema(...))`. Raises
    BitstreamError: damaged, frames are missing, or more than MOST_NUMBERS.
    """
    reader = StreamReader(io.BytesIO(data))
    header = reader.header
    schema = stream_schema(header, tables)
    decoder = VectorDecoder(schema, tables, header.quantiser)
    editor = VectorDecoder(schema, tables, header.quantiser)
    count = len(schema.dynamic)
    steps, constant_steps = np.split(Levels(schema, header.quantiser).steps, [count])
    units, intervals, frames = [], [], 0
    for unit in reader.units():
        if keep_units:
            units.append(unit)
        try:
            if unit.type == UnitType.STATIC:
                editor.key_levels(unit.payload)
                key = decoder.key_levels(unit.payload)
                intervals.append([key, [], [], len(units) - 1, key[count:], [], []])
            elif unit.type == UnitType.EDIT_STATIC:
                decoder.edit_static(unit.payload)
                intervals[-1][4] = decoder.static
            elif unit.type == UnitType.MOTION:
                group = motion_group(unit)
                frames += group.count
                if frames * count > MOST_NUMBERS:
                    raise BitstreamError(
                        f"more than {MOST_NUMBERS // count:,} frames of {count} numbers are too "
                        "many to be held at once"
                    )
                levels = decoder.motion_levels(group)
                _, groups, places, _, _, parts, sent = intervals[-1]
                groups.append(group)
                places.append(len(units) - 1)
                parts.append(levels.astype(np.int32))
                sent.append(parts[-1])
            elif unit.type == UnitType.EDIT:
                group = motion_group(unit)
                moved = intervals[-1][1][-1:] if intervals else []
                if [(g.frame, g.count) for g in moved] != [(group.frame, group.count)]:
                    raise BitstreamError("an edit does not fit the motion before it")
                intervals[-1][5][-1] = edited_levels(unit, editor).astype(np.int32)
        except BitstreamError as error:
            raise BitstreamError(error.reason, unit.offset) from error
    empty = np.zeros((0, count), np.int32)
    whole = [
        Interval(*rest, np.concatenate([empty, *parts]), np.concatenate([empty, *sent]))
        for *rest, parts, sent in intervals
    ]
    statics = np.zeros((len(whole), len(constant_steps)))
    for row, interval in zip(statics, whole, strict=True):
        row[:] = interval.static
    return Tracks(
        header=header,
        schema=schema,
        units=units,
        values=np.concatenate([empty, *(interval.levels for interval in whole)]) * steps,
        intervals=whole,
        constants=statics * constant_steps,
        steps=steps,
    )


def edited_levels(unit: Unit, decoder: VectorDecoder) -> np.ndarray:
    """Returns the levels [frames, dynamic slots] of an EDIT unit.

    `decoder` decodes EDIT units only, and has the key's numbers. Raises BitstreamError: when it is
    damaged, or leans on what stands before it.
    """
    group = motion_group(unit)
    if not group.resync:
        raise BitstreamError("an edit does not decode on its own", unit.offset)
    return decoder.motion_levels(group)
