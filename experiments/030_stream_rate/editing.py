"""CPU time to edit and rewrite a stream of 150 frames, in a process that never imports jax.

python experiments/030_stream_rate/editing.py
"""

import io
import sys
import time
from fractions import Fraction

import numpy as np

from hvc_jax.stream.container import StreamWriter
from hvc_jax.stream.edit import edit
from hvc_jax.stream.header import Header
from hvc_jax.stream.operations import parse_assignment
from hvc_jax.stream.schema import builtin_schema
from hvc_jax.stream.tables import default_tables
from hvc_jax.stream.vectors import VectorEncoder

FRAMES, ROUNDS = 150, 21
NAME = "upper31+camera"


def moving_stream() -> bytes:
    """Returns a stream in which every number follows a smoothed random walk."""
    schema = builtin_schema(NAME)
    rng = np.random.default_rng(0)
    vectors = np.zeros((FRAMES, schema.size), np.float32)
    for slot in schema.dynamic:
        speed = np.convolve(rng.normal(size=FRAMES + 8), np.ones(9) / 9, "valid")
        vectors[:, slot.index] = np.cumsum(speed) * slot.step * 1.5
    encoder = VectorEncoder(schema, default_tables(schema), group_frames=256)
    file = io.BytesIO()
    header = Header("semantic", 256, 256, Fraction(25), FRAMES, schema=NAME)
    with StreamWriter(file, header) as writer:
        static, _ = encoder.key(vectors[0])
        writer.write_key(0, 1, 32, bytes(4000))
        writer.write_static(0, static)
        for group in [group for vector in vectors for group in encoder.push(vector)]:
            writer.write_motion(group)
        for group in encoder.flush():
            writer.write_motion(group)
    return file.getvalue()


def main() -> None:
    """Prints the least and the median of several rounds."""
    data, tables = moving_stream(), default_tables(builtin_schema(NAME))
    operations = [parse_assignment("head_yaw+=20deg", 30, 90, 10)]
    spent = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        after = edit(data, operations, tables)
        spent.append(1000 * (time.process_time() - begin))
    assert "jax" not in sys.modules and after != data
    print(
        f"{FRAMES} frames, {len(data)} -> {len(after)} bytes: {min(spent):.1f} ms of CPU time, "
        f"median {np.median(spent):.1f}, most {max(spent):.1f}"
    )


if __name__ == "__main__":
    main()
