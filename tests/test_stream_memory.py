"""Faulty streams are refused within 200 MB of address space, in a process without jax."""

import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import io, random, resource, sys, zlib
from stream_cases import repair, stream
from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.edit import edit
from hvc_jax.stream.tracks import read_tracks, stream_tables
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.chain import Chain
from hvc_jax.stream.header import Header, varint
from hvc_jax.stream.index import key_offsets
from hvc_jax.stream.operations import Operation

assert "jax" not in sys.modules

def read(data):
    tables = stream_tables(StreamReader(io.BytesIO(data)).header)
    read_tracks(data, tables)
    edit(data, [Operation("add", ("*",), 0.5)], tables)

def find(data):
    key_offsets(io.BytesIO(data), StreamReader(io.BytesIO(data)).header_size)

small = stream("token3", 6, group_frames=3, count_known=False)
live = stream("token3", 6, group_frames=1, resync_groups=4)
header_size = StreamReader(io.BytesIO(small)).header_size
start = small[:header_size]

def forged(*units):
    chain = Chain("semantic")
    return b"".join(chain.write(*unit) for unit in units)

def header(**fields):
    return Header(**({"variant": "semantic", "width": 64, "height": 48, "fps": 25,
                      "schema": "token3"} | fields)).to_bytes()

def faults():
    for data in (small, live):
        for length in range(len(data)):
            yield "truncated", data[:length]
        for position in range(len(data)):
            for bit in range(8):
                flipped = bytearray(data)
                flipped[position] ^= 1 << bit
                yield "flipped", bytes(flipped)
        draw = random.Random(0)
        for _ in range(300):
            a, b = draw.randrange(len(data)), draw.randrange(len(data))
            yield "spliced", data[:a] + draw.randbytes(draw.randrange(20)) + data[b:]
    first = [(u.type, u.frame, u.payload) for u in StreamReader(io.BytesIO(small)).units()][:2]
    held = [(3, 4096 * k, varint(4095 * 2 + (k == 0))) for k in range(2**31 // 4096)][:9000]
    yield "counts", header(frame_count=2**31 - 2) + forged(*first)
    yield "counts", header(frame_count=2**31 - 2) + forged(*first, *held)
    yield "counts", header() + forged(*first, *held, (6, len(held) * 4096, b"\\0\\0"))
    yield "counts", header(schema="token4096") + forged(*first, *held[:2000])
    yield "largest", header(frame_count=256 * 4096) + forged(*first, *held[:256])
    for size in ((32769, 1), (32768, 32768), (2**31, 2**31)):
        plain = header(width=60, height=48)
        at = 4 + 1 + 1 + 8 + 4
        body = plain[:at] + varint(size[0]) + varint(size[1]) + plain[at + 2:-4]
        yield "pictures", body + zlib.crc32(body).to_bytes(4, "little") + small[header_size:]
    for length in (2**26, 2**26 + 1, 2**31, 2**32 - 1):
        for type_ in (1, 2, 3, 5, 6, 77):
            yield "lengths", start + bytes([type_, 0]) + varint(length) + b"abc"
    yield "unknown", start + forged(*first, *[(77 + k % 50, k, bytes(k)) for k in range(200)])

used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200 * 10**6,) * 2)
try:
    bytearray(250 * 10**6)
    sys.exit("the limit does not hold")
except MemoryError:
    pass
seen = {}
for kind, data in faults():
    for reader in (read, find, repair):
        try:
            reader(data)
            outcome = "passed"
        except BitstreamError as error:
            assert error.reason
            outcome = "refused"
        seen[kind, reader.__name__, outcome] = seen.get((kind, reader.__name__, outcome), 0) + 1
for case, count in sorted(seen.items()):
    print(*case, count)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits address space as Linux does")
def test_faults_take_little_memory() -> None:
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=here,
        env={"PYTHONPATH": f"{here.parent}:{here}", "OPENBLAS_NUM_THREADS": "1", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = {tuple(line.split()[:3]): int(line.split()[3]) for line in done.stdout.splitlines()}
    for kind in ("truncated", "flipped", "spliced", "counts", "pictures", "lengths", "unknown"):
        assert lines[kind, "read", "refused"] > 0, done.stdout
        if kind in ("truncated", "flipped", "pictures", "lengths"):
            assert (kind, "read", "passed") not in lines, done.stdout
    assert lines["largest", "read", "passed"] == 1, done.stdout
