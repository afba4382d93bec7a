"""FIELD units read by a decoder that was written from SPEC.md and FIELD.md alone."""

import io
import random

import numpy as np
import pytest
import spec_field_decoder as spec
from field_cases import CASES, LIVE, field_stream, hybrid_stream, random_levels

from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.field import FieldLevels, decode_levels, encode_levels
from hvc_jax.stream.field_layout import planes, segments
from hvc_jax.stream.field_unit import grid_size
from hvc_jax.stream.units import SHORT, UnitType

# Past and future key of every frame, -1 for none: also those that no stream asks for.
LAYOUTS = {
    "future only": ([-1] * 3, [0] * 3),
    "all sorts": ([-1] * 2 + [0] * 5 + [1] * 4 + [2], [0] * 2 + [1] * 5 + [-1] * 4 + [3]),
    "equal lengths": ([0] * 3 + [1] * 3 + [2] * 3, [1] * 3 + [2] * 3 + [3] * 3),
    "long": ([0] * 40, [-1] * 40),
}


def same(theirs: spec.Field, ours: FieldLevels) -> None:
    levels = np.array(list(theirs.planes.values()), np.int32).reshape(ours.levels.shape)
    np.testing.assert_array_equal(levels, ours.levels)
    np.testing.assert_array_equal(theirs.modes, ours.modes)
    if ours.levels.any() or ours.modes.any():
        assert theirs.step == ours.step


@pytest.mark.parametrize("name", CASES)
def test_streams(name: str) -> None:
    data, coded = field_stream(CASES[name])
    found = spec.decode(data)
    assert len(found) == len(coded)
    for (unit, field), (group, value) in zip(found, coded, strict=True):
        assert (unit.first, unit.count) == (group.frame, group.count)
        assert unit.pictures == [(picture.frame, picture.payload) for picture in group.pictures]
        assert (unit.grid, unit.step, unit.field) == (group.grid, group.step, group.payload)
        assert unit.predicted == group.predicted
        same(field, value)


def test_units_of_a_frame_are_short_and_take_turns() -> None:
    data, coded = field_stream(LIVE)
    sizes = [unit.size for unit in StreamReader(io.BytesIO(data)).units() if unit.type == 7]
    over = [size - len(group.payload) for size, (group, _) in zip(sizes, coded, strict=True)]
    assert over.count(2) == 10 and len(over) == 12
    data = hybrid_stream("token3", edited=False, group_frames=1)
    units = list(StreamReader(io.BytesIO(data)).units())
    kinds = [unit.type for unit in units if unit.type != UnitType.INDEX]
    assert kinds == [1, 2] + [3, 7] * 12 and sum(data[u.offset] >= SHORT for u in units) == 22
    assert spec.split(data)[2] == [(u.type, u.frame, u.payload) for u in units]
    edited = hybrid_stream("token3", group_frames=1)
    units = list(StreamReader(io.BytesIO(edited)).units())
    assert spec.split(edited)[2] == [(u.type, u.frame, u.payload) for u in units]
    assert 2 < sum(edited[u.offset] >= SHORT for u in units) < 22


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize(("grid", "density"), [((4, 4), 0.5), ((3, 7), 0.2), ((1, 1), 1)])
def test_layouts(name: str, grid: tuple[int, int], density: float) -> None:
    parts = segments(*map(np.array, LAYOUTS[name]))
    value = random_levels(random.Random(7), parts, grid, 9, density, 4)
    theirs = decoder(encode_levels(parts, value), LAYOUTS[name], grid).decode()
    assert list(theirs.planes) == [tuple(plane) for plane in planes(parts)]
    same(theirs, value)


def decoder(data: bytes, layout: tuple[list[int], list[int]], grid: tuple[int, int]):
    keys = [tuple(None if k < 0 else k for k in pair) for pair in zip(*layout, strict=True)]
    return spec.FieldDecoder(data, *grid, 4, keys)


def test_damaged_payloads_mean_the_same_or_are_refused_by_both() -> None:
    name, grid, rng = "all sorts", (2, 3), random.Random(1)
    parts, outcomes = segments(*map(np.array, LAYOUTS[name])), {True: 0, False: 0}
    for seed in range(6):
        value = random_levels(random.Random(seed), parts, grid, seed, 0.3, (1, 100)[seed % 2])
        good = encode_levels(parts, value)
        for _ in range(25):
            data = bytearray(good[: rng.randrange(1, 2 * len(good))])  # half of them are cut
            for _ in range(rng.randrange(3)):
                data[-1 - rng.randrange(len(data)) // rng.choice((1, 8))] = rng.choice(
                    (0, 255, rng.randrange(256))
                )
            data = bytes(data) + bytes(rng.randrange(256) for _ in range(rng.choice((0, 0, 0, 40))))
            try:
                ours = decode_levels(data, parts, *grid)
            except ValueError:
                with pytest.raises(spec.Refused):
                    decoder(data, LAYOUTS[name], grid).decode()
                outcomes[False] += 1
            else:
                same(decoder(data, LAYOUTS[name], grid).decode(), ours)
                outcomes[True] += 1
    assert min(outcomes.values()) > 10


def test_numbers_of_control_points() -> None:
    sides = (16, 18, 22, 26, 31, 33, 64, 90, 255, 480, 720, 1080, 1920, 4096, 32768)
    for height in sides:
        for width in sides:
            for grid in range(4):
                size = grid_size(grid, height, width)
                assert spec.control_points(grid, height, width) == size
