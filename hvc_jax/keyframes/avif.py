"""Key pictures as AV1 still pictures: SVT-AV1 through PyAV, in process; no program needed.

The fallback where the bundled ffmpeg has no libvvenc (some desktops), about 6 % more bytes at
equal PSNR. A payload is the AV1 bitstream of an AVIF file's one item, without the file around it.
"""

import os
from fractions import Fraction

import av
import numpy as np

from hvc_jax.keyframes.picture import KeyPictureError, coded_size, crop, pad
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
    os.environ.setdefault("SVT_LOG", "1")  # else it prints its settings for every picture
    padded = pad(picture, MIN_SIDE)
    height, width = padded.shape[:2]
    frame = av.VideoFrame(width, height, "yuv420p10le")
    for plane, samples in zip(frame.planes, rgb_to_yuv420(padded, BITS), strict=True):
        row = np.zeros((plane.height, plane.line_size // 2), "<u2")
        row[:, : samples.shape[1]] = samples
        plane.update(row.tobytes())
    try:
        context = av.CodecContext.create("libsvtav1", "w")
        context.width, context.height, context.pix_fmt = width, height, "yuv420p10le"
        context.time_base = Fraction(1, 25)
        context.framerate = Fraction(25)
        context.options = {
            "crf": str(crf_of_qp(qp)),
            "preset": str(preset),
            "svtav1-params": "avif=1:lp=1",
        }
        packets = [bytes(p) for p in [*context.encode(frame), *context.encode(None)]]
    except (av.FFmpegError, ValueError) as error:
        raise KeyPictureError(f"SVT-AV1 could not write a key picture ({error}).") from error
    return b"".join(packets)


def decode(payload: bytes, height: int, width: int) -> np.ndarray:
    """Returns the picture [height, width, 3] uint8 of a payload.

    Raises:
        KeyPictureError: the payload is damaged, or holds a picture of another size.
    """
    coded = coded_size(height, width, MIN_SIDE)
    try:
        context = av.CodecContext.create("libdav1d", "r")
        context.thread_count = 1
        # A hostile picture must not ask for gigabytes; decoders need a margin around the picture.
        context.options = {"max_pixels": str((coded[0] + 128) * (coded[1] + 128))}
        frames = context.decode(av.Packet(payload)) + context.decode(None)
    except (av.FFmpegError, ValueError) as error:
        raise KeyPictureError(f"The AV1 key picture is damaged ({error}).") from error
    if len(frames) != 1 or (frames[0].height, frames[0].width) != coded:
        raise KeyPictureError(f"The AV1 key picture is damaged, or is not {width}x{height} pixels.")
    if frames[0].format.name != "yuv420p10le":
        raise KeyPictureError(f"The AV1 key picture is {frames[0].format.name}, not yuv420p10le.")
    planes = (
        np.frombuffer(plane, "<u2").reshape(plane.height, plane.line_size // 2)[:, : plane.width]
        for plane in frames[0].planes
    )
    return crop(yuv420_to_rgb(*planes, BITS), height, width)
