"""Output paths: checked before the work starts, whole or absent after it.

Single files are written through `hvc_jax.data.clips.atomic_path`; this module adds the checks
that come first, and folders.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


class OutputError(ValueError):
    """An output path that cannot be written; the message says why and what to do."""


def check_output(path: Path, *, inputs: tuple[Path, ...] = ()) -> Path:
    """The path of an output file, checked before any work is done.

    Args:
        path: Where the user wants the file.
        inputs: Files the command reads, which the output must not overwrite.

    Returns:
        `path`.

    Raises:
        OutputError: The parent folder is missing or not writable, or `path` is a folder or an
            input.
    """
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; create it first")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path}: no permission to write into {path.parent}; choose another")
    for source in inputs:
        if path.exists() and source.exists() and path.samefile(source):
            raise OutputError(f"{path}: is also the input; choose another output name")
    return path


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path`; renamed on success, removed on any failure.

    Raises:
        OutputError: `path` exists and is not an empty folder, or its parent is missing.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(f"{path}: exists already; remove it or choose another name")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; create it first")
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)  # mkdtemp makes private folders
        if path.exists():
            path.rmdir()
        os.replace(temporary, path)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)
