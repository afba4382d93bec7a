"""Key pictures as AV1: SVT-AV1 through PyAV, in process; no program needed.

The fallback where the bundled ffmpeg has no libvvenc (some desktops), about 6 % more bytes at
equal PSNR. The payload of a still picture is the bitstream of an AVIF file's one item, that of a
picture in a sequence is one temporal unit without its delimiter.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
import numpy as np

from hvc_jax.keyframes.decoder import BITS, PictureDecoder
from hvc_jax.keyframes.picture import KeyPictureError, pad
from hvc_jax.ops.color import rgb_to_yuv420

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

    `qp`: on the scale of the VVC key pictures, 0 to 63; `preset`: of SVT-AV1, 0 (best) to 13
    (fastest). Raises KeyPictureError: PyAV has no SVT-AV1, or it failed.
    """
    return b"".join(_run([picture], qp, preset, "avif=1:lp=1"))


def encode_sequence(
    pictures: Sequence[np.ndarray], qp: int, low_delay: bool, preset: int = 2
) -> list[bytes]:
    """Returns one payload for each picture [H, W, 3] uint8, as displayed, the first of them intra.

    Without `low_delay` (from past ones only) SVT-AV1 codes pictures ahead of their turn; such
    hidden pictures lie in the payload before the one at whose turn they are first needed, so that
    every payload shows exactly one picture. `qp`, `preset`: as in `encode`. Raises KeyPictureError:
    as `encode`, or the shapes differ.
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
    os.environ.setdefault("SVT_LOG", "1")  # else it prints its settings for every picture
    padded = pad(pictures, MIN_SIDE)
    height, width = padded[0].shape[:2]
    try:
        with _same_scheduling():
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


@contextlib.contextmanager
def _same_scheduling() -> Iterator[None]:
    """Leaves the thread's scheduling as it was.

    Where it may, as for root, SVT-AV1 makes the thread that calls it a real-time one for good, and
    with it all threads that are started from it: the rest of the machine would wait for them.
    """
    if not hasattr(os, "sched_setscheduler"):  # not on macOS and Windows
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != before[0]:
            os.sched_setscheduler(0, *before)


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


_SEQUENCE_HEADER = b"\x0a"
"""First byte of an intra payload: the OBU header of an AV1 sequence header."""


class Decoder(PictureDecoder):
    """Decodes key pictures one at a time, in coded order, from an intra picture on."""

    codec, library, min_side = "AV1", "libdav1d", MIN_SIDE

    def packet(self, payload: bytes) -> tuple[bytes, bool]:
        """Puts a temporal delimiter before the payload, which the stream leaves out."""
        payload = payload.removeprefix(_TEMPORAL_DELIMITER)
        return _TEMPORAL_DELIMITER + payload, payload[:1] == _SEQUENCE_HEADER
