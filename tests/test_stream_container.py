"""The container: nothing lost over files and pipes, and every fault found where it is."""

import io
import time
import tracemalloc
import zlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_cases import KEY_PAYLOAD, stream

from hvc_jax.stream.container import StreamReader, StreamWriter, key_unit, meta_record
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import Header, read_header, read_varint, varint
from hvc_jax.stream.tracks import read_tracks, stream_tables
from hvc_jax.stream.units import UnitType, motion_group, unit_bytes
from hvc_jax.stream.vectors import Group

SMALL = stream(schema_name="token3", frames=6, group_frames=3, count_known=False)
LIVE = stream(schema_name="token3", frames=6, group_frames=1, resync_groups=4)


class Pipe:
    """A binary file that can only be read or written onwards, a few bytes at a time."""

    def __init__(self, data: bytes = b"") -> None:
        self._file = io.BytesIO(data)

    def read(self, count: int) -> bytes:
        return self._file.read(count)

    def write(self, data: bytes) -> int:
        return self._file.write(data)

    def getvalue(self) -> bytes:
        return self._file.getvalue()


def read_all(data: bytes) -> None:
    """What a careful consumer does with a stream."""
    read_tracks(data, stream_tables(StreamReader(io.BytesIO(data)).header))


@pytest.mark.parametrize(
    "header",
    [
        Header("semantic", 256, 256, Fraction(25)),
        Header("keypoint", 1, 32768, Fraction(30000, 1001), 0, bytes(range(8)), "token32", 65536),
        Header("hybrid", 8192, 8192, 60, None, b"\xff" * 8, "x" * 64, 1, "pad", 1920, 1080),
        Header("semantic", 64, 64, Fraction(1, 1000), 2**31 - 2, fit="crop"),
    ],
)
def test_headers_round_trip(header: Header) -> None:
    data = header.to_bytes()
    again, size = read_header(io.BytesIO(data + b"more").read)
    assert again == header and size == len(data) <= 130
    if header.schema == "":
        assert size <= 45


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0},
        {"height": 40_000},
        {"width": 32768, "height": 32768},
        {"fps": Fraction(0)},
        {"fps": Fraction(1, 1 << 21)},
        {"frame_count": -1},
        {"frame_count": 2**31},
        {"variant": "magic"},
        {"fit": "stretch"},
        {"model_id": b"short"},
        {"quantiser": 0},
        {"schema": "x" * 65},
    ],
)
def test_headers_out_of_range_are_refused(change: dict) -> None:
    with pytest.raises(ValueError):
        Header(**({"variant": "semantic", "width": 64, "height": 64, "fps": 25} | change))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_varints(value: int) -> None:
    data = iter(varint(value))
    assert read_varint(lambda: next(data)) == value
    assert next(data, None) is None


@pytest.mark.parametrize("data", [b"\xff" * 5, b"\x80\x00", b"\xff\xff\xff\xff\x7f"])
def test_malformed_varints(data: bytes) -> None:
    source = iter(data)
    with pytest.raises(BitstreamError):
        read_varint(lambda: next(source))


def test_units_come_back_over_a_pipe() -> None:
    pipe = Pipe()
    with StreamWriter(pipe, Header("semantic", 64, 48, 25)) as writer:
        sizes = [
            writer.write_key(0, 2, 40, KEY_PAYLOAD),
            writer.write_static(0, b"abc"),
            writer.write_motion(Group(0, 4096, True, b"")),
            writer.write_motion(Group(4096, 1, False, b"m")),
            writer.write_unit(100, 5, b"unknown"),
            writer.write_key(4097, 2, 41, KEY_PAYLOAD),
            writer.write_motion(Group(4097, 2, True, b"n")),
            writer.write_meta({"title": "é"}),
        ]
    reader = StreamReader(Pipe(pipe.getvalue()))
    units = list(reader.units())
    assert [u.type for u in units] == [1, 2, 3, 3, 100, 1, 3, 5, 6]
    assert [u.size for u in units[:-1]] == sizes
    assert key_unit(units[5]).qp == 41 and key_unit(units[5]).payload == KEY_PAYLOAD
    assert motion_group(units[2]) == Group(0, 4096, True, b"")
    assert meta_record(units[7]) == {"title": "é"}
    assert units[-1].frame == 4099  # the index knows the number of frames
    offsets = np.cumsum([reader.header_size, *(u.size for u in units)])
    assert [u.offset for u in units] == offsets[:-1].tolist()
    key_offsets = [u.offset for u in units if u.type == UnitType.KEY]
    index = units[-1].payload
    assert index == b"".join(
        map(varint, (0, key_offsets[0], 4097, key_offsets[1] - key_offsets[0]))
    )


def test_short_units() -> None:
    """Motion that goes on as it was costs two bytes a unit; anything else is told in full."""
    groups = [
        (Group(0, 2, True, b"abc"), 11),
        (Group(2, 2, False, b""), 2),
        (Group(4, 2, False, bytes(127)), 129),
        (Group(6, 2, False, bytes(128)), 137),  # too long
        (Group(8, 2, False, b"a"), 3),
        (Group(10, 1, False, b"b"), 9),  # fewer frames
        (Group(11, 1, False, b"b"), 3),
        (Group(12, 1, True, b"b"), 9),  # decodes on its own
        (Group(13, 1, False, b"b"), 3),
    ]
    file = io.BytesIO()
    with StreamWriter(file, Header("semantic", 64, 48, 25, 15)) as writer:
        for group, size in groups:
            assert writer.write_motion(group) == size
        writer.write_unit(99, 0, b"between")
        assert writer.write_motion(Group(14, 1, False, b"c")) == 9
    units = list(StreamReader(Pipe(file.getvalue())).units())
    units = [unit for unit in units if unit.type == UnitType.MOTION]
    assert [motion_group(unit) for unit in units[:-1]] == [group for group, _ in groups]
    assert [unit.size for unit in units[:-1]] == [size for _, size in groups]


def test_short_units_lean_on_all_that_stands_before() -> None:
    """What belongs elsewhere is refused, although its own bytes are intact."""
    live = stream(schema_name="token9", frames=6, group_frames=1)
    units = list(StreamReader(io.BytesIO(live)).units())
    short = [unit for unit in units if live[unit.offset] >= 128]
    begin = short[0].offset
    with pytest.raises(BitstreamError, match="follows no motion"):
        read_all(live[: units[0].offset] + live[begin:])
    parts = [live[unit.offset : unit.offset + unit.size] for unit in short]
    assert len(set(parts)) == len(parts) == 5
    for order in ([1, 0, 2, 3, 4], [0, 2, 1, 3, 4], [0, 1, 2, 4, 3], [0, 0, 2, 3, 4], [1, 2, 3, 4]):
        with pytest.raises(BitstreamError):
            read_all(live[:begin] + b"".join(parts[i] for i in order))


def test_the_writer_keeps_its_promise() -> None:
    writer = StreamWriter(io.BytesIO(), Header("semantic", 64, 48, 25, frame_count=5))
    writer.write_motion(Group(0, 4, True, b""))
    with pytest.raises(ValueError, match="5 frames, 4"):
        writer.close()


@pytest.mark.parametrize("data", [SMALL, LIVE, stream("token3", 6, group_frames=3)])
def test_truncation_at_every_byte(data: bytes) -> None:
    read_all(data)
    for length in range(len(data)):
        with pytest.raises(BitstreamError) as caught:
            read_all(data[:length])
        assert caught.value.reason and (caught.value.offset or 0) <= length


@pytest.mark.parametrize("whole", [SMALL, LIVE])
def test_every_single_bit_flip_is_noticed(whole: bytes) -> None:
    for position in range(len(whole)):
        for bit in range(8):
            data = bytearray(whole)
            data[position] ^= 1 << bit
            with pytest.raises(BitstreamError) as caught:
                read_all(bytes(data))
            assert caught.value.offset is None or caught.value.offset <= len(whole)


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, len(SMALL)), st.integers(0, len(SMALL)), st.binary(max_size=30), st.booleans()
)
def test_splices_never_crash(begin: int, end: int, middle: bytes, twice: bool) -> None:
    data = SMALL[:begin] + middle + SMALL[end:] + (SMALL if twice else b"")
    if data == SMALL:
        return
    try:
        read_all(data)
    except BitstreamError:
        return
    # Only cuts along units that leave a whole stream behind may pass.
    assert zlib.crc32(data) != zlib.crc32(SMALL)


def forged(type_: int, frame: int, length: int, payload: bytes = b"") -> bytes:
    head = bytes([type_]) + varint(frame) + varint(length)
    return head + payload + zlib.crc32(payload, zlib.crc32(head)).to_bytes(4, "little")


HEADER = SMALL[: StreamReader(io.BytesIO(SMALL)).header_size]


@pytest.mark.parametrize(
    "tail",
    [
        forged(1, 0, 2**32 - 1, b"x"),
        forged(3, 0, 2**26, b"x"),
        forged(3, 2**31, 1, b"\x01"),
        forged(3, 2**31 - 2, 2, varint(4095 << 1)),
        forged(3, 0, 4, varint(2**27)),
        forged(3, 0, 5, varint(2**32 - 1)),
        forged(3, 0, 0),
        forged(3, 0, 2, varint(4095 << 1 | 1)),
        forged(5, 0, 3, b"[1]"),
        forged(1, 7, 2, b"ab"),  # found by mutating units: editing such a stream once crashed
        forged(6, 9, 0),
        forged(6, 0, 0) + forged(5, 0, 2, b"{}"),
        forged(120, 2**31 - 1, 0) * 3,
    ],
)
def test_hostile_counts_cost_nothing(tail: bytes) -> None:
    tracemalloc.start()
    begin = time.perf_counter()
    with pytest.raises(BitstreamError):
        read_all(HEADER + tail)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert time.perf_counter() - begin < 5  # seconds; milliseconds on a machine with time to spare


def test_foreign_files_and_versions() -> None:
    for data in (b"", b"RIFF" + bytes(99), b"\x89PNG\r\n\x1a\n" + bytes(50)):
        with pytest.raises(BitstreamError, match="not an hvc stream"):
            StreamReader(io.BytesIO(data))
    newer = bytearray(SMALL)
    newer[4] = 9
    with pytest.raises(BitstreamError, match="version 9"):
        StreamReader(io.BytesIO(bytes(newer)))


def test_motion_past_the_promised_end_is_refused() -> None:
    header = Header("semantic", 64, 48, 25, frame_count=3).to_bytes()
    with pytest.raises(BitstreamError, match="past the last frame"):
        list(StreamReader(io.BytesIO(header + forged(3, 0, 1, varint(3 << 1)))).units())


def test_units_out_of_range_are_not_written() -> None:
    for arguments in ((128, 0, b""), (1, -1, b""), (1, 2**31, b"")):
        with pytest.raises(ValueError):
            unit_bytes(*arguments)


class Counted(io.BytesIO):
    """Counts the calls and the bytes that are read."""

    calls = taken = 0

    def read(self, count: int | None = -1) -> bytes:
        data = super().read(count)
        self.calls, self.taken = self.calls + 1, self.taken + len(data)
        return data


@pytest.mark.parametrize("type_", [UnitType.META, 77])
def test_empty_units_are_read_one_by_one(type_: int) -> None:
    """Work grows with their number and memory does not, however many there are."""
    size = StreamReader(io.BytesIO(SMALL)).header_size
    calls, peaks = [], []
    for count in (0, 2000, 4000):
        data = SMALL[:size] + unit_bytes(type_, 0, b"") * count + SMALL[size:]
        file = Counted(data)
        tracemalloc.start()
        units = sum(1 for _ in StreamReader(file).units())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        calls.append(file.calls)
        assert file.taken == len(data) and units > count
    assert calls[2] - calls[1] == calls[1] - calls[0] <= 8 * 2000
    assert peaks[2] < peaks[1] + 10_000


def test_no_frame_has_two_keys_and_no_key_two_statics() -> None:
    """Each would be decoded for nothing: some bytes could ask for hours of work."""
    size = StreamReader(io.BytesIO(SMALL)).header_size
    key, static = (u for u in StreamReader(io.BytesIO(SMALL)).units() if u.type in (1, 2))
    for doubled in (key, static):
        unit = unit_bytes(doubled.type, doubled.frame, doubled.payload)
        at = doubled.offset
        assert SMALL[at : at + doubled.size] == unit
        with pytest.raises(BitstreamError, match="two"):
            read_all(SMALL[:at] + unit + SMALL[at:])
    assert size == key.offset
