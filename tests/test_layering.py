"""The rooms import downwards only, some of them never import jax, and files stay short."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "hvc_jax"

# From the bottom to the top: a room may import itself and what stands before it.
ROOMS = (
    "configs",
    "ops",
    "body",
    "stream",
    "keyframes",
    "models",
    "synth",
    "data",
    "pose",
    "codec",
    "call",
    "training",
    "evaluation",
    "studio",
    "cli",
)

# These must stay usable where jax is not installed; a folder stands for everything in it.
WITHOUT_JAX = (
    "body/params.py",
    "stream",
    "keyframes",
    "models/find.py",
    "call/arrivals.py",
    "call/link.py",
    "call/packets.py",
    "call/statistics.py",
    "cli/main.py",
    "cli/inspect.py",
    "cli/edit.py",
    "ops/files.py",
)

FILES = sorted(PACKAGE.rglob("*.py"))
LINES_AT_MOST = 400


def _room(path: Path) -> str:
    """The room of a file of the package: its folder, or its own name at the top level."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module name that a file imports anywhere in it, with the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downwards(path: Path) -> None:
    room = _room(path)
    if room in ("__init__", "__main__"):
        return
    assert room in ROOMS, f"{path}: unknown room {room!r}"
    for name, line in _imports(path):
        parts = name.split(".")
        if parts[0] == "hvc_jax" and len(parts) > 1 and parts[1] in ROOMS:
            assert ROOMS.index(parts[1]) <= ROOMS.index(room), (
                f"{path}:{line}: {room} imports {parts[1]}, which stands above it"
            )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_are_short_and_named_for_one_idea(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES_AT_MOST
    assert path.stem not in {"utils", "util", "helpers", "common", "misc"}


def _modules_without_jax() -> list[str]:
    paths = []
    for entry in WITHOUT_JAX:
        found = PACKAGE / entry
        assert found.exists(), entry
        paths += sorted(found.rglob("*.py")) if found.is_dir() else [found]
    names = [".".join(("hvc_jax", *p.relative_to(PACKAGE).with_suffix("").parts)) for p in paths]
    return [name.removesuffix(".__init__") for name in names]


def test_stream_modules_load_without_jax() -> None:
    """A finder that refuses jax and flax stands for a machine that lacks them.

    SciPy and pandas would take longer to load than an edit takes.
    """
    program = """
import importlib, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"jax", "jaxlib", "flax", "optax", "orbax", "scipy", "pandas"}:
            raise ImportError(f"{name} was imported")
sys.meta_path.insert(0, Refuse())
for name in sys.argv[1:]:
    importlib.import_module(name)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, *_modules_without_jax()],
        capture_output=True,
        text=True,
        check=False,
        cwd=PACKAGE.parent,
    )
    assert done.returncode == 0, done.stderr
