"""The same symbols and bytes in every process: with jax in any of its settings, and without it."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from stream_cases import stream

from hvc_jax.stream.edit import edit
from hvc_jax.stream.operations import parse_assignment
from hvc_jax.stream.schema import builtin_schema, token_schema
from hvc_jax.stream.tables import default_tables
from hvc_jax.stream.tracks import read_tracks
from hvc_jax.stream.vectors import encode_vectors

HERE = Path(__file__).parent
_NO_JAX = """
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("jax", "jaxlib", "flax"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
"""
_WITH_JAX = """
import jax, jax.numpy as jnp
assert jax.device_count() == {devices} and jax.config.jax_enable_x64 == {wide}
jnp.arange(3).sum().block_until_ready()
"""


def fingerprint(seeds: int = 12) -> str:
    """Hash of streams and of what they decode to, over random schemas, steps and groups."""
    digest = hashlib.sha256()
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        schema = token_schema(int(rng.integers(1, 40)), 0.125)
        # Integers over powers of two: no library's rounding decides what is coded.
        steps = rng.integers(-2, 3, (30, schema.size)) * rng.integers(1, 4 ** (1 + seed % 5))
        vectors = (np.cumsum(steps, 0) / 32).astype(np.float32)
        coded = encode_vectors(
            schema,
            default_tables(schema),
            vectors,
            quantiser=int(rng.integers(8, 200)),
            group_frames=int(rng.integers(1, 31)),
            resync_groups=int(rng.integers(0, 3)),
        )
        for part in (coded.static, *(group.payload for group in coded.groups)):
            digest.update(part)
        digest.update(coded.reconstructed.astype("<f4").tobytes())
    data = stream("upper31", frames=50, keys=(0, 30), group_frames=16)
    tables = default_tables(builtin_schema("upper31"))
    after = edit(data, [parse_assignment("head_yaw+=20deg", 10, 40, 5)], tables)
    for each in (data, after):
        digest.update(each)
        digest.update(read_tracks(each, tables).vectors.astype("<f4").tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize(
    ("devices", "wide"), [(0, False), (1, False), (8, True)], ids=["no jax", "1", "8 and x64"]
)
def test_every_process_makes_the_same_bytes(devices: int, wide: bool) -> None:
    start = _WITH_JAX.format(devices=devices, wide=wide) if devices else _NO_JAX
    program = f"import sys\nsys.path[:0] = {[str(HERE), str(HERE.parent)]!r}\n{start}"
    program += "from test_stream_determinism import fingerprint\nprint(fingerprint())"
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": str(int(wide)),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={max(devices, 1)}",
        "NPROC": "16",  # or many fake devices can hang on a small machine
    }
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=environment, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == fingerprint()
