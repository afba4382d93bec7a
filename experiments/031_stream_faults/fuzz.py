"""Coverage-guided fuzzing of everything that reads a stream: only BitstreamError may come out.

    python experiments/031_stream_faults/fuzz.py CORPUS [libFuzzer options, as -runs=100000]

Needs `atheris`. The first byte of an input says who reads it, the second how the rest is a stream:
as it stands, or as changes to the units of a small intact stream or as units altogether, whose
checksums are put right, so that mutations reach what lies behind them.
"""

import io
import sys
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hvc_jax"]):
    import numpy as np

    from hvc_jax.stream.chain import Chain
    from hvc_jax.stream.conceal import salvage
    from hvc_jax.stream.container import StreamReader, key_unit, meta_record
    from hvc_jax.stream.edit import edit
    from hvc_jax.stream.errors import BitstreamError
    from hvc_jax.stream.index import key_offsets
    from hvc_jax.stream.operations import Operation
    from hvc_jax.stream.tracks import read_tracks, stream_tables
    from hvc_jax.stream.units import motion_group

sys.path.append(str(Path(__file__).parents[2] / "tests"))
from stream_cases import repair, stream  # noqa: E402

STREAMS = (
    stream("token3", 5, group_frames=3, count_known=False),
    stream("token3", 6, keys=(0, 4), group_frames=1, resync_groups=3),
    stream("upper31", 3, group_frames=1, meta={"a": 1}),
)
"""Small, for what counts is how many inputs there are."""
UNITS = [
    [(u.type, u.frame, u.payload) for u in StreamReader(io.BytesIO(s)).units()] for s in STREAMS
]
HEADERS = [s[: StreamReader(io.BytesIO(s)).header_size] for s in STREAMS]
SLOWEST = 1.0
"""CPU seconds that an input may take."""


def stream_of(kind: int, data: bytes) -> bytes:
    """Returns the stream that an input stands for."""
    base = kind % len(STREAMS)
    if kind >= 3 * len(STREAMS):
        return data
    units = list(UNITS[base])
    if kind < len(STREAMS):  # some units replaced or put in between
        while len(data) >= 4:
            place, frame, length = data[0], data[1], data[2]
            part = data[4 : 4 + length]
            if data[3] < 128:
                type_, old, payload = units[place % len(units)]
                units[place % len(units)] = (type_, (old + frame) % 2**31, payload[:3] + part)
            elif data[3] < 192:
                units.insert(place % (len(units) + 1), (data[3] % 8, frame, part))
            else:
                units[place % len(units)] = units[frame % len(units)]
            data = data[4 + length :]
    elif kind < 2 * len(STREAMS):  # bytes behind a real header, key and static
        head = b"".join(Chain("semantic").write(*unit) for unit in units[:2])
        return HEADERS[base] + head + data
    else:  # units altogether
        units = []
        while len(data) >= 3:
            units.append((data[0] % 8, data[1], data[3 : 3 + data[2]]))
            data = data[3 + data[2] :]
    chain = Chain("semantic")
    return HEADERS[base] + b"".join(chain.write(*unit) for unit in units)


def look(data: bytes) -> None:
    """Finds units and keys."""
    for unit in salvage(io.BytesIO(data))[1]:
        for part in (key_unit, meta_record, motion_group):
            try:
                part(unit)
            except BitstreamError:
                pass
    key_offsets(io.BytesIO(data), StreamReader(io.BytesIO(data)).header_size)


def track(data: bytes) -> None:
    """Reads all numbers, edits them and reads again."""
    tables = stream_tables(StreamReader(io.BytesIO(data)).header)
    tracks = read_tracks(data, tables)
    assert np.isfinite(tracks.vectors).all()
    if len(tracks.values):
        after = edit(data, [Operation("add", ("*",), 0.5)], tables)
        assert len(read_tracks(after, tables).values) == len(tracks.values)


READERS = (track, repair, look)


def test_one_input(data: bytes) -> None:
    """Raises unless the input is read or refused, in time."""
    if len(data) < 2:
        return
    begin = time.process_time()
    try:
        READERS[data[0] % len(READERS)](stream_of(data[1], data[2:]))
    except BitstreamError as error:
        assert error.reason
    spent = time.process_time() - begin
    assert spent < SLOWEST, f"took {spent:.1f} s"


def main() -> None:
    """Fuzzes, starting from small intact streams."""
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    for reader in range(len(READERS)):
        for base, (whole, units) in enumerate(zip(STREAMS, UNITS, strict=True)):
            motion = units[2][2]
            changed = bytes([2, 0, len(motion) - 3, 0]) + motion[3:] if len(motion) > 3 else b""
            forged = b"".join(bytes([t, f, len(p)]) + p for t, f, p in units[:6] if len(p) < 256)
            behind = whole[
                len(HEADERS[base]) + sum(len(Chain("semantic").write(*u)) for u in units[:2]) :
            ]
            for kind, part in enumerate((changed, behind, forged, whole)):
                name = f"{READERS[reader].__name__}-{base}-{kind}"
                (corpus / name).write_bytes(bytes([reader, base + 3 * kind]) + part)
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
