"""The ffmpeg program that imageio-ffmpeg bundles: what it can do, and one run of it.

Imports no jax.
"""

import functools
import os
import subprocess
from collections.abc import Sequence


class FfmpegError(ValueError):
    """A run of ffmpeg failed; the message is the first line that it said."""


@functools.cache
def listing(what: str) -> str:
    """Returns what ffmpeg says to "-encoders", "-filters" or "-version"; "" without it."""
    try:
        done = subprocess.run([_program(), "-hide_banner", what], capture_output=True, check=True)
    except (OSError, RuntimeError, subprocess.CalledProcessError):
        return ""
    return done.stdout.decode(errors="replace")


def tracks_of(path: str | os.PathLike) -> str:
    """Returns what ffmpeg prints of a file and its tracks; "" where it does not run."""
    command = ["-hide_banner", "-nostdin", "-i", f"file:{os.fspath(path)}"]
    try:
        done = subprocess.run([_program(), *command], capture_output=True, check=False)
    except (OSError, RuntimeError):
        return ""
    return done.stderr.decode(errors="replace")


def run(
    arguments: Sequence[str], data: bytes = b"", folder: str | os.PathLike | None = None
) -> bytes:
    """Returns what ffmpeg writes to its standard output, with `data` on its standard input.

    `arguments`: without the program's name; `folder`: where it runs, None for the current folder.
    Raises FfmpegError: It failed, or is not there.
    """
    try:
        command = [_program(), "-hide_banner", "-loglevel", "error", *arguments]
        done = subprocess.run(command, input=data, cwd=folder, capture_output=True, check=False)
    except (OSError, RuntimeError) as error:
        raise FfmpegError(f"there is no ffmpeg that runs ({error})") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise FfmpegError(said[0] if said else "it said nothing")
    return done.stdout


def _program() -> str:
    import imageio_ffmpeg

    return imageio_ffmpeg.get_ffmpeg_exe()
