"""Coverage-guided fuzzing of everything that reads a stream: only BitstreamError may come out.

    python experiments/031_stream_faults/fuzz.py CORPUS [libFuzzer options, as -runs=100000]

Needs `atheris`. The first byte of an input says how the rest is read: as a stream, or as units
whose checksums are put right first, so that mutations reach what lies behind them.
"""

import io
import sys
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hvc_jax"]):
    import numpy as np

    from hvc_jax.bitstream.conceal import ConcealingDecoder, frames_and_keys, salvage
    from hvc_jax.bitstream.container import StreamReader, key_unit, meta_record
    from hvc_jax.bitstream.edit import edit, read_tracks, stream_tables
    from hvc_jax.bitstream.errors import BitstreamError
    from hvc_jax.bitstream.framing import UnitType, motion_group, unit_bytes
    from hvc_jax.bitstream.index import key_offsets
    from hvc_jax.bitstream.operations import Operation
    from hvc_jax.bitstream.streams import VectorDecoder

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
STREAMS = [path.read_bytes() for path in sorted(GOLDEN.glob("*.hvc"))]
SLOWEST = 1.0
"""CPU seconds that an input may take."""


def stream_of(data: bytes) -> bytes:
    """Returns the stream that an input stands for."""
    if not data or data[0] >= 2 * len(STREAMS):
        return data[1:]
    base = STREAMS[data[0] % len(STREAMS)]
    reader = StreamReader(io.BytesIO(base))
    out = [base[: reader.header_size]]
    if data[0] < len(STREAMS):  # the units of a real stream, some replaced
        units = [(u.type, u.frame, u.payload) for u in reader.units()]
        rest = data[1:]
        while len(rest) >= 4:
            place, frame, length = rest[0], rest[1], rest[2]
            part = rest[4 : 4 + length]
            if rest[3] < 128:
                type_, old, payload = units[place % len(units)]
                units[place % len(units)] = (type_, (old + frame) % 2**31, payload[:3] + part)
            else:
                units.insert(place % (len(units) + 1), (rest[3] % 8, frame, part))
            rest = rest[4 + length :]
        out += [unit_bytes(*unit) for unit in units]
        return b"".join(out)
    rest = data[1:]
    while len(rest) >= 3:
        type_, frame, length = rest[0] % 8, rest[1], rest[2]
        out.append(unit_bytes(type_, frame, rest[3 : 3 + length]))
        rest = rest[3 + length :]
    return b"".join(out)


def read(data: bytes) -> None:
    """Reads a stream in every way there is."""
    reader = StreamReader(io.BytesIO(data))
    tables = stream_tables(reader.header)
    for unit in salvage(io.BytesIO(data))[1]:
        for look in (key_unit, meta_record, motion_group):
            try:
                look(unit)
            except BitstreamError:
                pass
    try:
        key_offsets(io.BytesIO(data), reader.header_size)
    except BitstreamError:
        pass
    repair(data, tables)
    tracks = read_tracks(data, tables)
    assert np.isfinite(tracks.vectors).all()
    if len(tracks.values):
        edit(data, [Operation("add", ("*",), 0.5)], tables)


def repair(data: bytes, tables: object) -> None:
    """Goes through a damaged stream as `hvc decode --conceal` does."""
    header, found = salvage(io.BytesIO(data))
    units = list(found)
    count, keys = frames_and_keys(header, units)
    decoder = ConcealingDecoder(VectorDecoder(tables.schema, tables, header.quantiser), count, keys)
    for unit in units:
        try:
            if unit.type == UnitType.STATIC:
                decoder.key(unit.payload, unit.frame)
            elif unit.type == UnitType.MOTION:
                group = motion_group(unit)
                while len(decoder.hold_until(group.frame)):
                    pass
                decoder.motion(group)
        except BitstreamError:
            pass


def test_one_input(data: bytes) -> None:
    """Raises unless the input is read or refused, in time."""
    begin = time.process_time()
    try:
        read(stream_of(data))
    except BitstreamError as error:
        assert error.reason
    spent = time.process_time() - begin
    assert spent < SLOWEST, f"took {spent:.1f} s"


def main() -> None:
    """Fuzzes, starting from the golden streams."""
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    for number, stream in enumerate(STREAMS):
        (corpus / f"golden{number}").write_bytes(bytes([255]) + stream)
        (corpus / f"units{number}").write_bytes(
            bytes([number, 2, 0, 9, 0]) + b"\x1e" + stream[60:68]
        )
        body = bytes([number + len(STREAMS)])
        for unit in list(StreamReader(io.BytesIO(stream)).units())[:3]:
            payload = unit.payload[:255]
            body += bytes([unit.type, unit.frame, len(payload)]) + payload
        (corpus / f"forged{number}").write_bytes(body)
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
