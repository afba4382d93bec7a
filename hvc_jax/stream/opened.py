"""A stream in memory with its parameters: look at them, edit them, save it. Imports no jax."""

import io
import os
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from hvc_jax.ops.files import write_bytes
from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.edit import edit
from hvc_jax.stream.operations import Operation, parse_assignment
from hvc_jax.stream.rates import bytes_by_unit
from hvc_jax.stream.tables import CodingTables
from hvc_jax.stream.tracks import read_tracks


class Stream:
    """A whole stream: its bytes, its header, and the bytes of every type of unit, by name."""

    def __init__(self, data: bytes, tables: CodingTables | None) -> None:
        """Reads a stream, with the tables of its model if any; BitstreamError: it is damaged."""
        reader = StreamReader(io.BytesIO(data))
        self.data, self.header, self._tables = data, reader.header, tables
        self.bytes_by_unit: dict[str, int] = bytes_by_unit(reader, reader.units())
        self._tracks = read_tracks(data, tables) if tables is not None else None

    @property
    def tracks(self) -> Mapping[str, np.ndarray]:
        """[T] float64 of every parameter of each frame, by name, radians; empty without any."""
        if self._tracks is None:
            return MappingProxyType({})
        names = [slot.name for slot in self._tracks.schema.dynamic]
        return MappingProxyType(dict(zip(names, self._tracks.values.T, strict=True)))

    def edit(self, *edits: str | Operation, frames: slice | None = None, ease: int = 0) -> "Stream":
        """The stream after edits; key pictures keep their bytes.

        Args:
          *edits: As "head_yaw+=20deg", "smile=1" or "left_elbow*=0.5", or operations.
          frames: Of the range, from 0 on; None for all.
          ease: Frames over which the edits fade in and out.

        Raises ValueError: An edit that cannot be read, an unknown name, or no parameters to edit.
        """
        if self._tables is None:
            raise ValueError(
                f"streams of the variant {self.header.variant} have no parameters to edit; "
                "encode with --variant hybrid"
            )
        span = frames or slice(0, None)
        first, last = span.start or 0, span.stop
        operations = [
            parse_assignment(e, first, last, ease) if isinstance(e, str) else e for e in edits
        ]
        return Stream(edit(self.data, operations, self._tables), self._tables)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the stream; nothing stands there before all of it does."""
        write_bytes(path, self.data)
