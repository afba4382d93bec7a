"""Streams decoded back by a process that has nothing but the files, for honest measuring."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from hvc_jax.models.export import MODEL_PATH


class RoundtripError(RuntimeError):
    """The fresh process failed; the message is its last line."""


class Decoded(NamedTuple):
    """What a fresh process made of a stream: its file, PNG folder, speed (None: too short)."""

    stream: Path
    folder: Path
    frames_per_second: float | None


def decode_in_fresh_process(
    streams: Sequence[Path], folder: Path, models: Sequence[Path] = ()
) -> Iterator[Decoded]:
    """Yields streams, files with distinct names, as one `hvc decode` finishes them, in order.

    The pictures go to `folder`/name/; `models` are folders with further models. Raises
    RoundtripError: the process failed.
    """
    command = [sys.executable, "-m", "hvc_jax", "decode", "--json", "--quiet"]
    command += ["--each", *map(str, streams), str(folder)]
    environment = dict(os.environ)
    if models:
        environment[MODEL_PATH] = os.pathsep.join(map(str, models))
    # A file and not a pipe, which a process that says much fills, and then waits for ever.
    with (
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        ) as process,
    ):
        try:
            for stream, line in zip(streams, process.stdout, strict=False):
                record = json.loads(line)
                yield Decoded(stream, Path(record["output"]), record["frames_per_second"])
            if process.wait():
                errors.seek(0)
                said = errors.read().strip().splitlines() or [f"status {process.returncode}"]
                raise RoundtripError(f"decoding in a fresh process failed: {said[-1]}")
        finally:
            if process.poll() is None:
                process.terminate()


def read_pictures(folder: Path) -> np.ndarray:
    """The PNG pictures of a folder in the order of their names: [T, H, W, 3] uint8 RGB."""
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])
