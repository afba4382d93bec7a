"""Files that are written: whole or absent, never over an input, devices and pipes as they are.

`atomic_path` and `atomic_folder` are how everything in this package writes what a user named. A
link is followed, so that its target is replaced and the link stays. Imports no jax.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class OutputError(ValueError):
    """An output that cannot be written; the message says why and what to do."""


def is_special(path: str | os.PathLike) -> bool:
    """Whether a path is there and is neither a file nor a folder: a device, a pipe, a socket."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def check_output(
    path: str | os.PathLike,
    *,
    inputs: Iterable[str | os.PathLike] = (),
    suffixes: Iterable[str] = (),
) -> Path:
    """Returns the path of an output file, checked before any work is done.

    `inputs`: files the command reads, which the output must not overwrite; `suffixes`: endings that
    the name may have, () for any; devices and pipes may have any. Raises OutputError: The parent
    folder is missing or not writable, the ending is another, or `path` is a folder or an input.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file")
    for source in inputs:
        if path.exists() and os.path.exists(source) and path.samefile(source):
            if not is_special(path):
                raise OutputError(f"{path}: is also the input; choose another output name")
    if is_special(path):
        return path
    suffixes = tuple(suffixes)
    if suffixes and path.suffix.lower() not in suffixes:
        raise OutputError(
            f"{path}: the name must end in {' or '.join(suffixes)}; "
            f"call it {path.with_suffix(suffixes[0])}"
        )
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise OutputError(f"{path}: the folder {folder} does not exist; create it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{path}: no permission to write into {folder}; choose another")
    return path


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary name that becomes `path` only if the block succeeds.

    It lies beside `path`, or beside what `path` is a link to. What is written for a device or a
    pipe is copied into it at the end.
    Raises OutputError: The folder is missing, the place is not writable, or the disk is full.
    """
    shown, special = Path(path), is_special(path)
    target = shown if special else Path(os.path.realpath(path))
    name = ""
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{target.stem[:100]}.",
            suffix=target.suffix,
            dir=None if special else target.parent,
        )
        os.close(handle)
        yield Path(name)
        if special:
            with open(name, "rb") as made, open(target, "wb") as device:
                shutil.copyfileobj(made, device)
        else:
            os.chmod(name, _mode_of(target))
            os.replace(name, target)
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{shown} cannot be written ({reason}); choose another place.") from error
    finally:
        with suppress(OSError):
            os.unlink(name)


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Writes a file whole or not at all; errors are those of `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a file in UTF-8, whole or not at all; errors are those of `atomic_path`."""
    write_bytes(path, text.encode())


def text_of(path: str | os.PathLike, most: int = -1) -> str:
    """Returns a text file as UTF-8, UTF-16 or, where it is none of these, Windows-1252.

    Byte-order marks are left out. `most`: bytes to read; all of it by default. Raises OSError where
    the file cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read(most)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = data.decode("utf-16", "replace")
        return text.replace("\r\n", "\n")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_folder(path: str | os.PathLike) -> Path:
    """Returns a folder's path before any work; OutputError: not empty, or no parent."""
    path = Path(os.path.realpath(path))
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(f"{path}: exists already; remove it or choose another name")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; create it first")
    return path


@contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a folder beside `path`, renamed on success; OutputError: `path` is not empty."""
    path = check_folder(path)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())  # mkdtemp makes private folders
        if path.exists():
            path.rmdir()
        os.replace(temporary, path)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)


@contextmanager
def exclusive(path: str | os.PathLike, wait: bool = True) -> Iterator[None]:
    """Holds a lock file while the block runs; the system drops it when the process dies.

    `path` and its folder are made where missing. `wait`: for whoever holds it, instead of failing
    at once. Raises OutputError: Another process holds it, and `wait` is False.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except ImportError:  # not on Windows, where runs side by side must be started by hand
            pass
        except BlockingIOError as error:
            raise OutputError(
                f"{Path(path).parent} is in use by another process; wait for it, or choose another"
            ) from error
        yield


def _mode_of(target: Path) -> int:
    """Permissions for a file at `target`: those it has, else those of an ordinary new file."""
    with suppress(OSError):
        return stat.S_IMODE(target.stat().st_mode)
    return 0o666 & ~_umask()  # mkstemp makes private ones


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
