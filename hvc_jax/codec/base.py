"""What the codecs of all variants share: how they are called, and what can be coded."""

import abc
import io
import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import BinaryIO

import numpy as np

from hvc_jax.codec.options import CodecError, EncodeOptions, Source, check_side
from hvc_jax.stream.container import StreamReader, StreamWriter
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import Header
from hvc_jax.stream.sound import SoundSource


class BaseCodec(abc.ABC):
    """Encoder and decoder of one variant."""

    variant: str  # Of the streams
    model_id: bytes  # 8 bytes, of the model; zeros without one
    sends_bodies: bool  # Whether streams have parameters of a body; pictures are square then

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
            variants that send bodies.
          output: Binary file or pipe that takes the stream; None returns it.
          fps: Frames per second.
          options: Rates and intervals.
          source: How the frames were made from the clip, for the header.
          frame_count: If known; saves the few bytes of an index.
          bodies: [188] body vector of every frame, where the caller knows them; None estimates them
            if the model sends any.
          confidence: A list to which the confidence in the body of every frame is appended.
          sound: Of the clip; rates and sizes that are asked for are without it.

        Returns the stream, or b"" where there is an output.

        Raises:
          CodecError: Fewer than two frames, sizes that vary or do not fit the networks, or fewer
            bodies than frames.
          KeyPictureError: A key picture cannot be coded with these options.
        """
        options, source = options or EncodeOptions(), source or Source()
        if options.target_bytes and frame_count is None:
            frames = list(frames)
            frame_count = len(frames)
        pictures = self._checked(iter(frames))
        first = next(pictures)
        header = Header(
            variant=self.variant,
            width=first.shape[1],
            height=first.shape[0],
            fps=Fraction(fps).limit_denominator(1001),
            frame_count=frame_count,
            model_id=self.model_id,
            quantiser=options.quantiser,
            fit=source.fit,
            source_width=source.width,
            source_height=source.height,
        )
        pictures = itertools.chain([first], pictures)
        memory = io.BytesIO()
        with StreamWriter(output or memory, header, sound) as writer:
            found = self._write(writer, header, options, pictures, bodies)
            if confidence is not None:
                confidence += found
            if source.notes:
                writer.write_meta({"source": list(source.notes)})
        return memory.getvalue()

    def _check_header(self, header: Header) -> None:
        """Raises unless this codec decodes the stream: its model's, and of sides it can draw."""
        if header.model_id != self.model_id:
            raise CodecError(
                f"the stream needs model {header.model_id.hex()} of the variant {header.variant}; "
                f"this codec is of {self.variant}, {self.model_id.hex()}; name the right file"
            )
        if header.variant != self.variant:
            raise BitstreamError(
                f"the header says {header.variant}, its model is of the {self.variant} variant"
            )
        check_side("the stream's height", header.height)
        check_side("the stream's width", header.width)

    def _checked(self, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the frames, the first of them when there are two that can be coded."""
        head = list(itertools.islice(frames, 2))
        if len(head) < 2:
            raise CodecError("fewer than two frames to code; give a longer clip")
        shape = head[0].shape
        height, width = shape[:2]
        check_side("height", height), check_side("width", width)
        if self.sends_bodies and height != width:
            raise CodecError(
                f"the {self.variant} variant codes square pictures, got {width}x{height}; crop or "
                "pad them"
            )
        for frame in itertools.chain(head, frames):
            if frame.shape != shape:
                raise CodecError("the frames of the clip differ in size; scale them to one size")
            yield frame

    @abc.abstractmethod
    def _write(
        self,
        writer: StreamWriter,
        header: Header,
        options: EncodeOptions,
        frames: Iterator[np.ndarray],
        bodies: Iterable[np.ndarray] | None,
    ) -> list[float]:
        """Writes the units of frames; returns the confidence in the body of every one."""

    @abc.abstractmethod
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


def open_reader(stream: BinaryIO | bytes | StreamReader) -> StreamReader:
    """A reader of a stream that is in memory, in a file, or open already."""
    if isinstance(stream, StreamReader):
        return stream
    return StreamReader(io.BytesIO(stream) if isinstance(stream, bytes) else stream)
