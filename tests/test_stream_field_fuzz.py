"""Damaged FIELD and EDIT units: errors or results, never anything else, and soon."""

import io
import random
import time

import numpy as np
import pytest
from field_cases import CASES, FieldCase, field_stream, hybrid_stream, layout

from hvc_jax.stream.chain import Chain
from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.edit import read_tracks
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.field import decode_levels
from hvc_jax.stream.field_unit import field_group, field_payload, grid_size
from hvc_jax.stream.schema import builtin_schema
from hvc_jax.stream.tables import default_tables
from hvc_jax.stream.units import Unit, UnitType

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
