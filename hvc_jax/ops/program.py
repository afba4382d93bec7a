"""Which program this is: its version, and its commit where it runs from a checkout."""

import contextlib
import functools
import hashlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from hvc_jax import __version__

_PACKAGE = Path(__file__).parents[1]


class Program(NamedTuple):
    """What a result was made with."""

    version: str  # Of this package
    # The first twelve digits of the commit; a "+" and a hash of the changes to the package follow
    # where there are any. None where this is no checkout.
    commit: str | None


@functools.cache
def program() -> Program:
    """The running program, as it was on the disk when this was first called."""
    if not (_PACKAGE.parent / ".git").exists():
        return Program(__version__, None)
    commit = _git("rev-parse", "--short=12", "HEAD")
    changes = _git("status", "--porcelain", "--", str(_PACKAGE))
    if commit and changes:
        changes += _git("diff", "HEAD", "--", str(_PACKAGE)) or ""
        commit += "+" + hashlib.sha256(changes.encode()).hexdigest()[:8]
    return Program(__version__, commit or None)


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _git(*arguments: str) -> str | None:
    """What git says; None where there is no git or it fails."""
    command = ["git", "-C", str(_PACKAGE.parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
