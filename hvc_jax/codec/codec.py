"""The codec of one exported model: frames in, a stream out, frames back, in bounded memory.

stream ─► KEY ─► features (once per key frame) ┐
       └► MOTION ─► latents ───────────────────┴─► synthesise, in batches ─► frames
"""

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import numpy as np

from hvc_jax import keyframes
from hvc_jax.codec.base import BaseCodec, open_reader
from hvc_jax.codec.latent_encoder import LatentEncoder, analysed
from hvc_jax.codec.memory import DEFAULT_MAX_MEMORY
from hvc_jax.codec.networks import Networks
from hvc_jax.codec.options import EncodeOptions
from hvc_jax.codec.scenes import BodyFinder
from hvc_jax.models.export import Export
from hvc_jax.stream.container import KeyUnit, StreamReader, StreamWriter, key_unit
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import Header
from hvc_jax.stream.tracks import stream_schema
from hvc_jax.stream.units import UnitType, motion_group
from hvc_jax.stream.vectors import VectorDecoder


class Codec(BaseCodec):
    """Encoder and decoder of an exported model, compiled once a picture size in `networks`."""

    def __init__(
        self,
        export: Export,
        encode_key: Callable[..., keyframes.KeyPicture] = keyframes.encode,
        body_finder: Callable[[int], Callable] = BodyFinder,
        max_memory: int = DEFAULT_MAX_MEMORY,
    ) -> None:
        """Prepares a codec.

        `encode_key` codes a key picture, (picture, qp, codec) -> KeyPicture; another shares coded
        key pictures between codecs. `body_finder`: effort -> what finds the bodies of one clip's
        chunks. `max_memory`: bytes that drawing may take at once; fewer frames are drawn then.
        """
        self.export, self.networks = export, Networks(export, max_memory)
        self.variant, self.model_id = export.variant, export.model_id
        self.sends_bodies = export.variant == "semantic"
        self._encode_key, self._body_finder = encode_key, body_finder

    def _write(
        self,
        writer: StreamWriter,
        header: Header,
        options: EncodeOptions,
        frames: Iterator[np.ndarray],
        bodies: Iterable[np.ndarray] | None,
    ) -> list[float]:
        encoder = LatentEncoder(self.networks, writer, options, self._encode_key)
        confidence, find = [], self._body_finder(options.effort)
        for item in analysed(self.networks, frames, bodies, find):
            encoder.push(item)
            confidence.append(item.confidence)
        encoder.close()
        return confidence

    def decode(
        self, stream: BinaryIO | bytes | StreamReader, first: int = 0, last: int | None = None
    ) -> Iterator[np.ndarray]:
        """Yields the frames of a stream; see `BaseCodec.decode`."""
        reader = open_reader(stream)
        header = reader.header
        vectors = self.vector_decoder(header)
        picture = features = key_latent = None
        done = reader.next_frame
        for unit in reader.units():
            if unit.type == UnitType.KEY:
                picture, key_latent = key_picture(key_unit(unit), header, unit.offset), None
                features = self.networks.features(picture)
            elif unit.type == UnitType.STATIC:
                key_latent = vectors.key(unit.payload)
            elif unit.type == UnitType.EDIT_STATIC:
                vectors.edit_static(unit.payload)
            elif unit.type == UnitType.MOTION:
                group = motion_group(unit)
                if picture is None or features is None or key_latent is None:
                    raise BitstreamError("motion without a key picture before it", unit.offset)
                wanted = slice(max(first - done, 0), None if last is None else max(last - done, 0))
                latents = vectors.motion(group)[wanted]
                yield from self.networks.draw(picture, features, key_latent, latents)
                done += group.count
                if last is not None and done >= last:
                    return

    def vector_decoder(self, header: Header) -> VectorDecoder:
        """The decoder of a stream's numbers; raises CodecError if another model made it."""
        self._check_header(header)
        tables = self.export.tables
        schema = stream_schema(header, tables)
        return VectorDecoder(schema, tables, header.quantiser)


def key_picture(key: KeyUnit, header: Header, offset: int) -> np.ndarray:
    """The picture [H, W, 3] uint8 of a KEY unit."""
    try:
        return keyframes.decode(key.codec, key.payload, header.height, header.width)
    except keyframes.KeyPictureError as error:
        raise BitstreamError(str(error), offset) from error
