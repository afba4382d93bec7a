"""Damaged streams: what is intact is found, gaps are held, the next resync recovers."""

import io

import numpy as np
import pytest
from stream_cases import stream

from hvc_jax.stream.conceal import ConcealingDecoder, frames_and_keys, salvage
from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import Header
from hvc_jax.stream.tracks import read_tracks, stream_tables
from hvc_jax.stream.units import Unit, UnitType, motion_group
from hvc_jax.stream.vectors import VectorDecoder

DATA = stream("token5", frames=60, keys=(0, 30), group_frames=5, resync_groups=2)
WHOLE = list(StreamReader(io.BytesIO(DATA)).units())
TABLES = stream_tables(StreamReader(io.BytesIO(DATA)).header)
TRUTH = read_tracks(DATA, TABLES).vectors


def concealed(data: bytes) -> tuple[np.ndarray, ConcealingDecoder]:
    header, units = salvage(io.BytesIO(data))
    units = list(units)
    count, keys = frames_and_keys(header, units)
    decoder = ConcealingDecoder(
        VectorDecoder(TABLES.schema, TABLES, header.quantiser), header.frame_count, keys
    )
    out = []
    for unit in units:
        if unit.type == UnitType.STATIC:
            out.append(decoder.hold_until(unit.frame))
            decoder.key(unit.payload, unit.frame)
        elif unit.type == UnitType.MOTION:
            group = motion_group(unit)
            out.append(decoder.hold_until(group.frame))
            out.append(decoder.motion(group))
    out.append(decoder.hold_until(count))
    return np.concatenate([part for part in out if len(part)]), decoder


def broken(unit: Unit) -> bytes:
    data = bytearray(DATA)
    data[unit.offset + unit.size - 1] ^= 0x55
    return bytes(data)


def test_an_intact_stream_is_found_whole() -> None:
    header, units = salvage(io.BytesIO(DATA))
    assert list(units) == WHOLE and header.frame_count == 60
    vectors, decoder = concealed(DATA)
    np.testing.assert_array_equal(vectors, TRUTH)
    assert decoder.concealed == 0


@pytest.mark.parametrize("lost", [u for u in WHOLE if u.type == UnitType.MOTION])
def test_a_lost_group_costs_frames_up_to_the_next_resync(lost: Unit) -> None:
    vectors, decoder = concealed(broken(lost))
    assert vectors.shape == TRUTH.shape
    wrong = np.flatnonzero((vectors != TRUTH).any(1))
    resync = lost.frame + (10 if motion_group(lost).resync else 5)
    assert decoder.concealed == resync - lost.frame
    assert ((wrong >= lost.frame) & (wrong < resync)).all()
    if lost.frame not in (0, 30):
        held = vectors[lost.frame : resync]
        np.testing.assert_array_equal(held, np.repeat(TRUTH[lost.frame - 1][None], len(held), 0))


def test_a_lost_packet_costs_frames_up_to_the_next_resync() -> None:
    live = stream("token5", frames=24, group_frames=1, resync_groups=8)
    truth = read_tracks(live, TABLES).vectors
    for unit in StreamReader(io.BytesIO(live)).units():
        if unit.type == UnitType.MOTION:
            for position in (unit.offset, unit.offset + unit.size - 1):
                data = bytearray(live)
                data[position] ^= 0x15
                vectors, decoder = concealed(bytes(data))
                resync = -(-(unit.frame + 1) // 8) * 8
                assert decoder.concealed == resync - unit.frame and len(vectors) == 24
                held = vectors[unit.frame : resync]
                before = truth[max(unit.frame - 1, 0)]
                np.testing.assert_array_equal(held, np.repeat(before[None], len(held), 0))
                np.testing.assert_array_equal(vectors[resync:], truth[resync:])


@pytest.mark.parametrize("both", [False, True])
def test_motion_behind_a_lost_key_frame_is_held_not_misread(both: bool) -> None:
    data = bytearray(DATA)
    for unit in WHOLE:
        if unit.frame == 30 and (
            unit.type == UnitType.STATIC or both and unit.type == UnitType.KEY
        ):
            data[unit.offset + unit.size - 1] ^= 1
    vectors, decoder = concealed(bytes(data))
    assert decoder.concealed == 30
    np.testing.assert_array_equal(vectors[:30], TRUTH[:30])
    np.testing.assert_array_equal(vectors[30:], np.repeat(TRUTH[29][None], 30, 0))


def test_random_losses_never_crash() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(DATA)
        for position in rng.integers(60, len(data), rng.integers(1, 30)):
            data[position] = rng.integers(256)
        cut = int(rng.integers(60, len(data)))
        try:
            vectors, _ = concealed(bytes(data[:cut]))
        except ValueError as error:  # not one vector is left
            assert isinstance(error, BitstreamError) or "concatenate" in str(error)
            continue
        assert np.isfinite(vectors).all() and len(vectors) <= 60


def test_a_damaged_header_cannot_be_concealed() -> None:
    with pytest.raises(BitstreamError):
        salvage(io.BytesIO(b"X" + DATA[1:]))


def test_searching_hostile_bytes_is_bounded() -> None:
    header, _ = salvage(io.BytesIO(DATA))
    # Every byte claims a unit as long as all that follows.
    hostile = header.to_bytes() + b"\x03\x00\xff\x7f" * 100_000
    _, units = salvage(io.BytesIO(hostile))
    with pytest.raises(BitstreamError, match="too damaged"):
        list(units)


def test_a_hostile_gap_is_refused() -> None:
    header = Header("semantic", 64, 48, 25, 2**31 - 2, schema="token5").to_bytes()
    units = [unit for unit in WHOLE if unit.frame == 0]
    data = header + b"".join(DATA[u.offset : u.offset + u.size] for u in units)
    with pytest.raises(BitstreamError, match="too many"):
        concealed(data)
