"""Damaged FIELD and EDIT units: errors or results, never anything else, and soon."""

import io
import os
import random
import time
import tracemalloc

import numpy as np
import pytest
from field_cases import CASES, FieldCase, field_stream, hybrid_stream, layout

from hvc_jax.stream.chain import Chain
from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.field import decode_levels
from hvc_jax.stream.field_layout import segments
from hvc_jax.stream.field_unit import field_group, field_payload, grid_size
from hvc_jax.stream.schema import builtin_schema
from hvc_jax.stream.tables import default_tables
from hvc_jax.stream.tracks import read_tracks
from hvc_jax.stream.units import Unit, UnitType, unit_bytes

INPUTS = int(os.environ.get("HVC_FUZZ_INPUTS", "200"))
SEED = int(os.environ.get("HVC_FUZZ_SEED", "0"))
SLOWEST = 1.0
"""CPU seconds that an input may take."""
FUZZED = {
    **{name: CASES[name] for name in ("two keys", "pictures ahead, upright", "large")},
    "segments": FieldCase(grid=2, units=((0, 14, (12, 4, 8)),), step=0),
}


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Some bytes changed, cut off, put in or repeated."""
    out = bytearray(data)
    for _ in range(1 + int(4 * rng.random() ** 2)):
        at, how = rng.randrange(len(out) + 1), rng.randrange(6)
        if how < 3 and at < len(out):
            out[at] = (rng.randrange(256), out[at] ^ 1 << rng.randrange(8), 255)[how]
        elif how == 3:
            out[at:] = b""
        elif how == 4:
            out[at:at] = rng.randbytes(rng.randrange(1, 9))
        else:
            out += out[at : at + 40]
    return bytes(out)


@pytest.mark.parametrize("name", FUZZED)
def test_field_units(name: str) -> None:
    case, rng, slowest = FUZZED[name], random.Random(name), 0.0
    grid, groups = grid_size(case.grid, *case.size), field_stream(case)[1]
    ended = {"unit": 0, "levels": 0, "read": 0}
    for turn in range(500):
        number = turn % len(groups)
        good = groups[number][0]
        begin = time.process_time()
        try:
            unit = Unit(UnitType.FIELD, good.frame, damaged(rng, field_payload(good)), 0, 0)
            payload = field_group(unit).payload
        except BitstreamError:
            ended["unit"] += 1
            payload = damaged(rng, good.payload)
        try:
            levels, modes, step = decode_levels(payload, layout(case, number), *grid)
        except ValueError:
            ended["levels"] += 1
        else:
            ended["read"] += 1
            assert np.abs(levels).max() <= 1023 and modes.max() <= 2 and 0 <= step < 16
        slowest = max(slowest, time.process_time() - begin)
    assert slowest < SLOWEST and min(ended.values()) > 2, (slowest, ended)


def test_an_edit_is_of_the_frames_of_the_motion_before_it() -> None:
    data, tables = hybrid_stream("token3"), default_tables(builtin_schema("token3"))
    reader = StreamReader(io.BytesIO(data))
    units = [(u.type, u.frame, u.payload) for u in reader.units()]
    place = next(i for i, unit in enumerate(units) if unit[0] == UnitType.EDIT)
    kind, frame, payload = units[place]
    for other in (frame + 1, frame + 4, frame + 12):
        chain = Chain("hybrid")
        changed = [*units[:place], (kind, other, payload), *units[place + 1 :]]
        stream = data[: reader.header_size] + b"".join(chain.write(*unit) for unit in changed)
        with pytest.raises(BitstreamError, match="does not fit"):
            read_tracks(stream, tables)


def _read(data: bytes) -> None:
    """What `inspect` and a decoder do with a stream before any picture is drawn."""
    reader = StreamReader(io.BytesIO(data))
    header, keys = reader.header, []
    for unit in reader.units():
        if unit.type == UnitType.KEY:
            keys = [unit.frame]
        elif unit.type == UnitType.FIELD:
            group = field_group(unit)
            keys = sorted({*keys, *(picture.frame for picture in group.pictures)})
            frames = [t for t in range(group.frame, group.frame + group.count) if t not in keys]
            future = np.searchsorted(keys, frames)
            parts = segments(future - 1, np.where(future < len(keys), future, -1))
            grid = grid_size(group.grid, header.height, header.width)
            decode_levels(group.payload, parts, *grid, group.step)
    if reader.header.variant == "hybrid":
        read_tracks(data, default_tables(builtin_schema("token3")))


def test_whole_streams_of_version_4() -> None:
    """Units changed, doubled, moved and left out, with their checksums put right."""
    streams = [field_stream(FUZZED[name])[0] for name in ("two keys", "segments")]
    streams += [hybrid_stream("token3"), hybrid_stream("token3", edited=False)]
    rng, ended, slowest, largest = random.Random(4 + SEED), [0, 0], 0.0, 0
    tracemalloc.start()
    for turn in range(INPUTS):
        good = streams[turn % len(streams)]
        reader = StreamReader(io.BytesIO(good))
        units = [(u.type, u.frame, u.payload) for u in reader.units()]
        for _ in range(rng.randrange(1, 4)):
            place, how = rng.randrange(len(units)), rng.randrange(5)
            type_, frame, payload = units[place]
            if how == 0:
                units.insert(rng.randrange(len(units) + 1), units[place])
            elif how == 1 and len(units) > 1:
                del units[place]
            elif how == 2:
                units[place] = (
                    type_,
                    min(max(0, frame + rng.choice([-1, 1, 5, 2**30])), 2**31 - 2),
                    payload,
                )
            elif how == 3:
                units[place] = rng.choice([1, 2, 3, 5, 6, 7, 8, 77]), frame, payload
            else:
                units[place] = type_, frame, damaged(rng, payload)
        changed = good[: reader.header_size] + b"".join(unit_bytes(*u) for u in units)
        if rng.random() < 0.1:
            changed = damaged(rng, changed)
        tracemalloc.reset_peak()
        before, begin = tracemalloc.get_traced_memory()[0], time.process_time()
        try:
            _read(changed)
            ended[0] += 1
        except ValueError as error:
            assert str(error) and "\n" not in str(error)
            ended[1] += 1
        slowest = max(slowest, time.process_time() - begin)
        largest = max(largest, tracemalloc.get_traced_memory()[1] - before)
    tracemalloc.stop()
    print(f"streams: {INPUTS}, {ended[0]} read, {slowest:.2f} s, {largest / 1e6:.0f} MB at most")
    assert slowest < SLOWEST and largest < 200e6 and min(ended) > 10, (slowest, largest, ended)


def test_a_motion_unit_is_edited_once() -> None:
    data, tables = hybrid_stream("token3"), default_tables(builtin_schema("token3"))
    edits = [u for u in StreamReader(io.BytesIO(data)).units() if u.type == UnitType.EDIT]
    at, end = edits[0].offset, edits[0].offset + edits[0].size
    with pytest.raises(BitstreamError, match="two EDIT units"):
        read_tracks(data[:end] + data[at:end] + data[end:], tables)


@pytest.mark.parametrize("name", ["token3", "upper31"])
def test_edit_units(name: str) -> None:
    data, tables = hybrid_stream(name), default_tables(builtin_schema(name))
    reader = StreamReader(io.BytesIO(data))
    units = [(u.type, u.frame, u.payload) for u in reader.units()]
    places = [i for i, unit in enumerate(units) if unit[0] == UnitType.EDIT]
    rng, ended, slowest = random.Random(name), [0, 0], 0.0
    for _ in range(250):
        changed = list(units)
        place = rng.choice(places)
        _, frame, payload = units[place]
        unit = UnitType.EDIT, frame, damaged(rng, payload)
        where = rng.randrange(len(units))
        if rng.random() < 0.8:
            changed[place] = unit
        elif rng.random() < 0.5:
            changed.insert(where, unit)
        else:
            changed.insert(where, changed.pop(place))
        chain = Chain("hybrid")
        stream = data[: reader.header_size] + b"".join(chain.write(*u) for u in changed)
        begin = time.process_time()
        try:
            tracks = read_tracks(stream, tables)
        except BitstreamError as error:
            assert error.reason
            ended[0] += 1
        else:
            assert np.isfinite(tracks.vectors).all() and len(tracks.vectors) == 12
            ended[1] += 1
        slowest = max(slowest, time.process_time() - begin)
    assert slowest < SLOWEST and min(ended) > 10, (slowest, ended)
