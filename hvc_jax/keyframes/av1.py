"""Key pictures as AV1: SVT-AV1 through PyAV, in process; no program needed.

The fallback where the bundled ffmpeg has no libvvenc (some desktops), about 6 % more bytes at
equal PSNR. The payload of a still picture is the bitstream of an AVIF file's one item, that of a
picture in a sequence is one temporal unit without its delimiter.
"""

import os
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

from hvc_jax.keyframes.picture import KeyPictureError, coded_size, crop, pad, planes_of
from hvc_jax.ops.color import rgb_to_yuv420, yuv420_to_rgb

BITS = 10
MIN_SIDE = 64
"""SVT-AV1 codes nothing smaller; smaller pictures are padded."""


def available() -> bool:
    """Returns whether PyAV here has SVT-AV1."""
    return "libsvtav1" in av.codecs_available


def crf_of_qp(qp: int) -> int:
    """Returns the SVT-AV1 CRF (1 to 63) that spends about the bytes of libvvenc at a QP."""
    return int(np.clip(round(1.6 * qp - 27), 1, 63))


def encode(picture: np.ndarray, qp: int = 32, preset: int = 2) -> bytes:
    """Returns the payload of one picture [H, W, 3] uint8.

    Args:
        picture: [H, W, 3] uint8.
        qp: quality on the scale of the VVC key pictures, 0 to 63.
        preset: SVT-AV1 preset, 0 (best) to 13 (fastest).

    Raises:
        KeyPictureError: PyAV has no SVT-AV1, or it failed.
    """
    return b"".join(_run([picture], qp, preset, "avif=1:lp=1"))


def encode_sequence(
    pictures: Sequence[np.ndarray], qp: int, low_delay: bool, preset: int = 2
) -> list[bytes]:
    """Returns one payload for each picture in the order of display, the first of them intra.

    Without `low_delay` SVT-AV1 codes pictures ahead of their turn; such hidden pictures lie in
    the payload before the one at whose turn they are first needed, so that every payload shows
    exactly one picture.

    Args:
        pictures: [H, W, 3] uint8 each, all of one shape.
        qp: quality on the scale of the VVC key pictures, 0 to 63.
        low_delay: whether pictures are predicted from past ones only.
        preset: SVT-AV1 preset, 0 (best) to 13 (fastest).

    Raises:
        KeyPictureError: PyAV has no SVT-AV1, or it failed, or the shapes differ.
    """
    # Temporal filtering blends neighbours into a picture, which makes keys far apart costly.
    structure = f"pred-struct={1 if low_delay else 2}:enable-tf=0"
    payloads = _run(pictures, qp, preset, f"{structure}:keyint=-1:scd=0:lp=1")
    if len(payloads) != len(pictures):
        raise KeyPictureError(f"SVT-AV1 wrote {len(payloads)} pictures, not {len(pictures)}.")
    return [payload.removeprefix(_TEMPORAL_DELIMITER) for payload in payloads]


_TEMPORAL_DELIMITER = b"\x12\x00"
"""The OBU in front of every picture of an AV1 stream; the same always, so not sent."""


def _run(pictures: Sequence[np.ndarray], qp: int, preset: int, parameters: str) -> list[bytes]:
    """Returns the packets of one run of SVT-AV1."""
    if len({picture.shape for picture in pictures}) != 1:
        raise KeyPictureError("Key pictures of one run must have one size; code them separately.")
    os.environ.setdefault("SVT_LOG", "1")  # else it prints its settings for every picture
    padded = [pad(picture, MIN_SIDE) for picture in pictures]
    height, width = padded[0].shape[:2]
    try:
        context = av.CodecContext.create("libsvtav1", "w")
        context.width, context.height, context.pix_fmt = width, height, "yuv420p10le"
        context.time_base = Fraction(1, 25)
        context.framerate = Fraction(25)
        context.options = {
            "crf": str(crf_of_qp(qp)),
            "preset": str(preset),
            "svtav1-params": parameters,
        }
        packets = []
        for number, picture in enumerate(padded):
            packets += context.encode(_frame(picture, number))
        return [bytes(packet) for packet in [*packets, *context.encode(None)]]
    except (av.FFmpegError, ValueError) as error:
        raise KeyPictureError(f"SVT-AV1 could not write a key picture ({error}).") from error


def _frame(picture: np.ndarray, number: int) -> av.VideoFrame:
    """Returns a picture [H, W, 3] uint8 as the encoder's frame of a number."""
    height, width = picture.shape[:2]
    frame = av.VideoFrame(width, height, "yuv420p10le")
    frame.pts = number
    for plane, samples in zip(frame.planes, rgb_to_yuv420(picture, BITS), strict=True):
        row = np.zeros((plane.height, plane.line_size // 2), "<u2")
        row[:, : samples.shape[1]] = samples
        plane.update(row.tobytes())
    return frame


class Decoder:
    """Decodes key pictures one at a time, in coded order, from an intra picture on."""

    def __init__(self, height: int, width: int):
        self._size = height, width
        self._coded = coded_size(height, width, MIN_SIDE)
        self._context: av.CodecContext | None = None

    def push(self, payload: bytes) -> np.ndarray:
        """Returns the picture [height, width, 3] uint8 of the next payload.

        Raises:
            KeyPictureError: the payload is damaged, holds a picture of another size, or is
                predicted and the pictures since the last intra one were not all decoded.
        """
        context, self._context = self._context, None  # stays so if anything below fails
        payload = payload.removeprefix(_TEMPORAL_DELIMITER)
        if payload[:1] == _SEQUENCE_HEADER:
            context = self._open()
        if context is None:
            raise KeyPictureError(
                "A predicted key picture refers to one that is missing; start at an intra one."
            )
        try:
            frames = context.decode(av.Packet(_TEMPORAL_DELIMITER + payload))
        except (av.FFmpegError, ValueError) as error:
            raise KeyPictureError(f"The AV1 key picture is damaged ({error}).") from error
        if len(frames) != 1 or (frames[0].height, frames[0].width) != self._coded:
            asked = f"{self._size[1]}x{self._size[0]}"
            raise KeyPictureError(f"The AV1 key picture is damaged, or is not {asked} pixels.")
        if frames[0].format.name != "yuv420p10le":
            raise KeyPictureError(
                f"The AV1 key picture is {frames[0].format.name}, not yuv420p10le."
            )
        self._context = context
        return crop(yuv420_to_rgb(*planes_of(frames[0]), BITS), *self._size)

    def _open(self) -> av.CodecContext:
        """Returns a new dav1d decoder that gives each picture at once."""
        context = av.CodecContext.create("libdav1d", "r")
        context.thread_count = 1
        # A hostile picture must not ask for gigabytes; decoders need a margin around the picture.
        height, width = self._coded
        context.options = {"max_pixels": str((height + 128) * (width + 128))}
        return context


_SEQUENCE_HEADER = b"\x0a"
"""First byte of an intra payload: the OBU header of an AV1 sequence header."""


def decode(payload: bytes, height: int, width: int) -> np.ndarray:
    """Returns the picture [height, width, 3] uint8 of an intra payload.

    Raises:
        KeyPictureError: the payload is damaged, or holds a picture of another size.
    """
    return Decoder(height, width).push(payload)
