"""The codec of one exported model: frames in, a stream out, frames back, in bounded memory.

stream ─► KEY ─► features (once per key frame) ┐
       └► MOTION ─► latents ───────────────────┴─► synthesise, in batches ─► frames
"""

import io
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import BinaryIO

import numpy as np

from hvc_jax import keyframes
from hvc_jax.codec.begin import begin
from hvc_jax.codec.latent_encoder import LatentEncoder, analysed
from hvc_jax.codec.memory import DEFAULT_MAX_MEMORY
from hvc_jax.codec.networks import Networks
from hvc_jax.codec.options import CodecError, EncodeOptions, Source, check_side
from hvc_jax.codec.scenes import BodyFinder
from hvc_jax.models.export import Export
from hvc_jax.stream.container import KeyUnit, StreamReader, StreamWriter, key_unit
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import Header
from hvc_jax.stream.sound import SoundSource
from hvc_jax.stream.tracks import stream_schema
from hvc_jax.stream.units import UnitType, motion_group
from hvc_jax.stream.vectors import VectorDecoder


class Codec:
    """Encoder and decoder of one exported model.

    Everything is compiled once per picture size; short batches are padded, never recompiled.

    Attributes:
      export: The model, its coding tables and its id.
      networks: Its networks, compiled.
      variant: Of the streams.
    """

    def __init__(
        self,
        export: Export,
        encode_key: Callable[..., keyframes.KeyPicture] = keyframes.encode,
        body_finder: Callable[[int], Callable] = BodyFinder,
        max_memory: int = DEFAULT_MAX_MEMORY,
    ) -> None:
        """Prepares a codec.

        Args:
          export: The model.
          encode_key: Codes a key picture, (picture, qp, codec) -> KeyPicture; another shares coded
            key pictures between codecs.
          body_finder: effort -> what finds the bodies of one clip's chunks.
          max_memory: Bytes that drawing may take at once; fewer frames are drawn then.
        """
        self.export, self.networks = export, Networks(export, max_memory)
        self.variant = export.variant
        self._encode_key, self._body_finder = encode_key, body_finder

    def encode(
        self,
        frames: Iterable[np.ndarray],
        output: BinaryIO | None = None,
        *,
        fps: Fraction | float,
        options: EncodeOptions | None = None,
        source: Source | None = None,
        frame_count: int | None = None,
        bodies: Iterable[np.ndarray] | None = None,
        confidence: list[float] | None = None,
        sound: SoundSource | None = None,
    ) -> bytes:
        """Codes a clip.

        Args:
          frames: [H, W, 3] uint8 RGB each; sides are multiples of 32 from 64 to 2048, equal for
            models that send bodies.
          output: Binary file or pipe that takes the stream; None returns it.
          fps: Frames per second.
          options: Rates and intervals.
          source: How the frames were made from the clip, for the header.
          frame_count: If known; saves the few bytes of an index.
          bodies: [188] body vector of every frame, where the caller knows them; None estimates
            them if the model sends any.
          confidence: A list to which the confidence in the body of every frame is appended.
          sound: Of the clip; rates and sizes that are asked for are without it.

        Returns:
          The stream, or b"" where there is an output.

        Raises:
          CodecError: Fewer than two frames, sizes that vary or do not fit the networks, or
            fewer bodies than frames.
          KeyPictureError: A key picture cannot be coded with these options.
        """
        options, source = options or EncodeOptions(), source or Source()
        header, pictures = begin(
            frames,
            variant=self.variant,
            model_id=self.export.model_id,
            square=self.variant == "semantic",
            fps=fps,
            options=options,
            source=source,
            frame_count=frame_count,
        )
        memory = io.BytesIO()
        with StreamWriter(output or memory, header, sound) as writer:
            encoder = LatentEncoder(self.networks, writer, options, self._encode_key)
            find = self._body_finder(options.effort)
            for item in analysed(self.networks, pictures, bodies, find):
                encoder.push(item)
                if confidence is not None:
                    confidence.append(item.confidence)
            encoder.close()
            if source.notes:
                writer.write_meta({"source": list(source.notes)})
        return memory.getvalue()

    def decode(
        self, stream: BinaryIO | bytes | StreamReader, first: int = 0, last: int | None = None
    ) -> Iterator[np.ndarray]:
        """Yields the frames [H, W, 3] uint8 RGB of a stream.

        Args:
          stream: The stream, a binary file or pipe at its beginning, or a reader in front of its
            first unit or of a key frame.
          first: First frame that is wanted; those before it are not drawn.
          last: Frame after the last that is wanted, None for all.

        Raises:
          BitstreamError: The stream is damaged or cut off; the frames before were yielded.
          CodecError: It was made with another model.
        """
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
        export = self.export
        if header.model_id != export.model_id:
            raise CodecError(
                f"the stream needs model {header.model_id.hex()} ({header.variant}), "
                f"this one is {export.model_id.hex()} ({export.variant}); name the right file"
            )
        if header.variant != export.variant:
            raise BitstreamError(
                f"the header says {header.variant}, its model is of the {export.variant} variant"
            )
        check_side("the stream's height", header.height)
        check_side("the stream's width", header.width)
        schema = stream_schema(header, export.tables)
        return VectorDecoder(schema, export.tables, header.quantiser)


def open_reader(stream: BinaryIO | bytes | StreamReader) -> StreamReader:
    """A reader of a stream that is in memory, in a file, or open already."""
    if isinstance(stream, StreamReader):
        return stream
    return StreamReader(io.BytesIO(stream) if isinstance(stream, bytes) else stream)


def key_picture(key: KeyUnit, header: Header, offset: int) -> np.ndarray:
    """The picture [H, W, 3] uint8 of a KEY unit."""
    try:
        return keyframes.decode(key.codec, key.payload, header.height, header.width)
    except keyframes.KeyPictureError as error:
        raise BitstreamError(str(error), offset) from error
