"""Eight fake devices for every test; NPROC keeps XLA's CPU pool from hanging on few cores."""

import atexit
import ctypes
import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

# Most of a test is compiling. Without the compiler's slow passes it takes half as long, and a
# quarter where loops are made as they were before its "fusion emitters". That option will not be
# there forever, and a compiler that does not know one ends the process: so it is tried first.
_DEVICES = "--xla_force_host_platform_device_count=8"
_QUICK = "--xla_cpu_use_fusion_emitters=false"


def _flags() -> str:
    given = f"{os.environ.get('XLA_FLAGS', '')} {_DEVICES}".strip()
    tried = os.environ | {"XLA_FLAGS": f"{given} {_QUICK}"}
    start = [sys.executable, "-c", "import jax; jax.devices()"]
    known = not subprocess.run(start, env=tried, capture_output=True, check=False).returncode
    return f"{given} {_QUICK}" if known else given


if "PYTEST_XDIST_WORKER" not in os.environ:  # its processes inherit what the first one sets
    os.environ.setdefault("NPROC", "16")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    os.environ["XLA_FLAGS"] = _flags()
    # All of them share one folder of programs, not the user's.
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="hvc_tests.")
    atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

import jax  # noqa: E402
import pytest  # noqa: E402
from jax.experimental.compilation_cache import compilation_cache  # noqa: E402

from hvc_jax.ops.compile import keep_compiled_programs  # noqa: E402

# What one file compiles, others and the commands that tests start find on disk.
keep_compiled_programs()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
PROGRAMS = jax.config.jax_compilation_cache_dir


@pytest.fixture
def key() -> jax.Array:
    """A fixed PRNG key."""
    return jax.random.key(0)


@pytest.fixture
def as_users_have_it() -> Iterator[None]:
    """Programs with all optimisations, other than in tests: figures on the page are true."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


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
