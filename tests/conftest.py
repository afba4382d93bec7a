"""Eight fake devices for every test; NPROC keeps XLA's CPU pool from hanging on few cores."""

import gc
import os
from collections.abc import Iterator

os.environ.setdefault("NPROC", "16")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
).strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture
def key() -> jax.Array:
    """A fixed PRNG key."""
    return jax.random.key(0)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs() -> Iterator[None]:
    """What one file compiled serves no other; kept, all of it takes many gigabytes."""
    yield
    jax.clear_caches()
    gc.collect()
