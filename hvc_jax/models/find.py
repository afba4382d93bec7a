"""Which model file a command needs, and plain words where it is missing. Imports no jax."""

import contextlib
import io
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hvc_jax.models.export import PRETRAINED, Export, find_export, known_exports, load_export
from hvc_jax.ops.files import is_special
from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import MAGIC, NO_MODEL, Header
from hvc_jax.stream.opened import Stream
from hvc_jax.stream.tables import CodingTables
from hvc_jax.stream.tracks import stream_tables

_MOST_BYTES = 1 << 30
_ACCEPTED = {"hybrid": ("hybrid", "semantic")}
"""Variants of models that a variant of streams may have, where it is not its own alone."""


class ModelError(ValueError):
    """The model that is needed is not there or not the right one; the message says which."""


def is_pipe(path: Path) -> bool:
    """Whether a path can be read or written once only: "-" (standard input, output), a pipe."""
    return str(path) == "-" or is_special(path)


@contextlib.contextmanager
def stream_reader(data: bytes, path: Path) -> Iterator[StreamReader]:
    """A reader of the stream `data`, whose errors name its file; BitstreamError: none."""
    try:
        yield StreamReader(io.BytesIO(data))
    except StreamFileError:
        raise
    except BitstreamError as error:
        raise StreamFileError(path, error) from error


@contextlib.contextmanager
def open_stream(path: Path, keep_sound: bool = False) -> Iterator[StreamReader]:
    """A reader of the stream in a file, or in standard input for "-"; errors name the file.

    It keeps the sound that it passes where that is wanted.
    Raises BitstreamError: The file is no stream, or is damaged.
    """
    with _opened(path) as file:
        try:
            yield StreamReader(file, keep_sound)
        except BitstreamError as error:
            raise StreamFileError(path, error) from error


def read_stream(path: Path) -> bytes:
    """Returns the bytes of a stream, or of a pipe; BitstreamError: none, or above 1 GiB."""
    with _opened(path) as file:
        data = file.read(len(MAGIC))
        if data == MAGIC:  # else the reader of its header says what is wrong; nothing is read
            data += file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise BitstreamError(f"{path}: the stream is longer than 1 GiB; cut it into parts")
    return data


def _opened(path: Path) -> BinaryIO:
    if path.is_dir():
        raise BitstreamError(f"{path} is a folder; give one .hvc file")
    return open(0, "rb", closefd=False) if str(path) == "-" else path.open("rb")


class StreamFileError(BitstreamError):
    """A `BitstreamError` that names the file and the way out."""

    def __init__(self, path: Path, error: BitstreamError) -> None:
        super().__init__(error.reason, error.offset)
        self.args = (f"{path}: {error}; copy or encode it again",)


def export_of_variant(variant: str, path: Path | None = None) -> Export:
    """The model to encode with: of a file, or the shipped one; ModelError: none, or another."""
    export = load_export(path if path is not None else variant)
    if export.variant not in _ACCEPTED.get(variant, (variant,)):
        raise ModelError(
            f"{path} is a model of the {export.variant} variant; add --variant {export.variant}"
        )
    return export


def export_of_stream(header: Header, stream: Path, path: Path | None = None) -> Export:
    """The model of a stream: at `path`, or the shipped one with its id; else ModelError."""
    needed = f"{stream} needs the {header.variant} model {header.model_id.hex()}"
    if path is None:
        export = find_export(header.model_id)
        if export is None:
            raise ModelError(f"{needed}, which is not shipped; name its file with --model")
    else:
        export = load_export(path)
        if export.model_id != header.model_id:
            raise ModelError(f"{needed}; {path} is {export.model_id.hex()}, name the right file")
    if export.variant not in _ACCEPTED.get(header.variant, (header.variant,)):
        raise BitstreamError(
            f"{stream}: the header says {header.variant}, its model is of the {export.variant} "
            "variant; the stream is damaged, encode it again"
        )
    return export


def tables_of_stream(header: Header, stream: Path, path: Path | None = None) -> CodingTables:
    """The integer tables a stream was coded with; ModelError: its model is not there."""
    if header.variant == "field":
        raise ModelError(
            f"{stream}: a field stream has no parameters; encode with --variant hybrid"
        )
    if header.model_id == NO_MODEL:
        return stream_tables(header)
    return export_of_stream(header, stream, path).tables


def list_models() -> list[str]:
    """Names of the models that are shipped, for `hvc_jax.load`."""
    shipped = itertools.takewhile(lambda e: e.path.parent == PRETRAINED, known_exports())
    return [export.path.stem for export in shipped]


def measured_scores() -> dict[str, dict[str, float | str]]:
    """Mean scores of shipped models by their ids in hexadecimal digits, with what they are of."""
    return json.loads((PRETRAINED / "scores.json").read_text(encoding="utf-8"))


def open_stream_file(path: str | os.PathLike[str], model: Path | None = None) -> Stream:
    """A stream with its parameters; `model` is the file of its model, if it is not a shipped one.

    Raises BitstreamError: The file is no stream, or is damaged. Raises ModelError: Its model is not
    there.
    """
    path = Path(path)
    with open_stream(path) as reader:
        header = reader.header
    tables = tables_of_stream(header, path, model) if header.variant != "field" else None
    return Stream(path.read_bytes(), tables)
