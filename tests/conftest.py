"""Eight fake devices for every test; NPROC keeps XLA's CPU pool from hanging on few cores."""

import atexit
import ctypes
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

os.environ.setdefault("NPROC", "16")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
).strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of a test is compiling: without the compiler's slow passes it takes half as long.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if "PYTEST_XDIST_WORKER" not in os.environ:  # its processes share one folder, not the user's
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="hvc_tests.")
    atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

import jax  # noqa: E402
import pytest  # noqa: E402
from jax.experimental.compilation_cache import compilation_cache  # noqa: E402

from hvc_jax.ops.compile import keep_compiled_programs  # noqa: E402

# What one file compiles, others and the commands that tests start find on disk.
keep_compiled_programs()
PROGRAMS = jax.config.jax_compilation_cache_dir


@pytest.fixture
def key() -> jax.Array:
    """A fixed PRNG key."""
    return jax.random.key(0)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs() -> Iterator[None]:
    """In memory, all of it takes many gigabytes."""
    yield
    jax.clear_caches()
    gc.collect()
    if sys.platform == "linux":  # what compilers freed goes back to the machine, gigabytes
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(autouse=True)
def _return_to_the_program_folder() -> Iterator[None]:
    """A test that sets jax up with another folder does so for itself alone."""
    yield
    if jax.config.jax_compilation_cache_dir != PROGRAMS:
        jax.config.update("jax_compilation_cache_dir", PROGRAMS)
        compilation_cache.reset_cache()
