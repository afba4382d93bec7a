"""Decoding of key pictures, by FFmpeg's decoder of whatever codec they are of."""

import abc

import av
import numpy as np

from hvc_jax.keyframes.picture import KeyPictureError, coded_size, crop, planes_of
from hvc_jax.ops.color import yuv420_to_rgb

BITS = 10
"""Of every sample of a key picture."""
_FORMAT = "yuv420p10le"


class PictureDecoder(abc.ABC):
    """Decodes key pictures one at a time, in coded order, from an intra picture on."""

    codec: str  # name of the codec, for errors
    library: str  # FFmpeg's name of the decoder
    min_side: int  # of the pictures that are coded, pixels

    def __init__(self, height: int, width: int) -> None:
        self._size = height, width
        self._coded = coded_size(height, width, self.min_side)
        self._context: av.CodecContext | None = None

    @abc.abstractmethod
    def packet(self, payload: bytes) -> tuple[bytes, bool]:
        """What the decoder takes for a payload, and whether it is intra; else KeyPictureError."""

    def push(self, payload: bytes) -> np.ndarray:
        """Returns the picture [height, width, 3] uint8 of the next payload.

        Raises KeyPictureError: the payload is damaged, holds a picture of another size, or is
        predicted and the pictures since the last intra one were not all decoded.
        """
        context, self._context = self._context, None  # stays so if anything below fails
        packet, intra = self.packet(payload)
        if intra:
            context = self.open()
        if context is None:
            raise KeyPictureError(
                "A predicted key picture refers to one that is missing; start at an intra one."
            )
        try:
            frames = context.decode(av.Packet(packet))
        except (av.FFmpegError, ValueError) as error:
            raise KeyPictureError(f"The {self.codec} key picture is damaged ({error}).") from error
        if len(frames) != 1 or (frames[0].height, frames[0].width) != self._coded:
            asked = f"{self._size[1]}x{self._size[0]}"
            raise KeyPictureError(
                f"The {self.codec} key picture is damaged, or is not {asked} pixels."
            )
        if frames[0].format.name != _FORMAT:
            raise KeyPictureError(
                f"The {self.codec} key picture is {frames[0].format.name}, not {_FORMAT}."
            )
        self._context = context
        return crop(yuv420_to_rgb(*planes_of(frames[0]), BITS), *self._size)

    def open(self) -> av.CodecContext:
        """Returns a new decoder that gives each picture at once."""
        context = av.CodecContext.create(self.library, "r")
        context.thread_count = 1
        # A hostile picture must not ask for gigabytes; decoders need a margin around the picture.
        height, width = self._coded
        context.options = {"max_pixels": str((height + 128) * (width + 128))}
        return context
