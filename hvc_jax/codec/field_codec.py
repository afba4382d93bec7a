"""The codec of `field` and `hybrid`: sparse inter-coded key pictures and fields between them."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import numpy as np

from hvc_jax.codec.base import BaseCodec, open_reader
from hvc_jax.codec.field_decoder import FieldDecoder
from hvc_jax.codec.field_encoder import FieldEncoder
from hvc_jax.codec.field_network import FieldNetwork
from hvc_jax.codec.memory import DEFAULT_MAX_MEMORY
from hvc_jax.codec.options import CodecError, EncodeOptions
from hvc_jax.codec.scenes import BodyFinder
from hvc_jax.models.export import Export
from hvc_jax.stream.container import StreamReader, StreamWriter
from hvc_jax.stream.header import NO_MODEL, WITH_FIELD, Header
from hvc_jax.stream.vectors import VectorDecoder


class FieldCodec(BaseCodec):
    """Encoder and decoder of displacement fields; `export` is the model, or None."""

    def __init__(
        self,
        export: Export | None = None,
        body_finder: Callable[[int], Callable] = BodyFinder,
        max_memory: int = DEFAULT_MAX_MEMORY,
    ) -> None:
        """Prepares a codec.

        Args:
          export: A model of the variant field or hybrid, whose generator makes the frames. Without
            one they are the key pictures as displaced and blended; a semantic model gives hybrid
            streams that are shown so.
          body_finder: effort -> what finds the bodies of one clip's chunks.
          max_memory: Bytes that key pictures may take in decoding, drawing at once, and about what
            coding a segment may take: fewer frames are drawn at once, segments are shorter.
        """
        self.export, self._body_finder, self._max_memory = export, body_finder, max_memory
        self.variant, self._tables, self._network = "field", None, None
        self.model_id = NO_MODEL if export is None else export.model_id
        self.sends_bodies = export is not None and export.variant != "field"
        if export is None:
            return
        if export.variant not in ("semantic", *WITH_FIELD):
            raise CodecError(f"fields need a model of theirs, not a {export.variant} one")
        if self.sends_bodies:
            self.variant, self._tables = "hybrid", export.tables
        if export.variant != "semantic":
            self._network = FieldNetwork(export, max_memory)

    def _write(
        self,
        writer: StreamWriter,
        header: Header,
        options: EncodeOptions,
        frames: Iterator[np.ndarray],
        bodies: Iterable[np.ndarray] | None,
    ) -> list[float]:
        find = self._body_finder(options.effort) if self._tables else None
        encoder = FieldEncoder(
            writer, header, options, self._tables, find, bodies, self._max_memory
        )
        for frame in frames:
            encoder.push(frame)
        encoder.close()
        return encoder.confidence

    def decode(
        self, stream: BinaryIO | bytes | StreamReader, first: int = 0, last: int | None = None
    ) -> Iterator[np.ndarray]:
        """Yields the frames of a stream; see `BaseCodec.decode`."""
        reader = open_reader(stream)
        decoder = self.decoder(reader.header)
        done = reader.next_frame
        for unit in reader.units():
            for frame in decoder.push(unit):
                if done >= first and (last is None or done < last):
                    yield frame
                done += 1
            if last is not None and done >= last:
                return

    def decoder(self, header: Header) -> FieldDecoder:
        """A decoder of units; raises CodecError if another model made the stream."""
        self._check_header(header)
        tables, rest = self._tables, (self._network, self._max_memory)
        if tables is None:
            return FieldDecoder(header, None, *rest)
        vectors = functools.partial(VectorDecoder, tables.schema, tables, header.quantiser)
        return FieldDecoder(header, vectors, *rest)
