"""Key pictures as VVC (H.266): written by libvvenc, read by FFmpeg's decoder.

    encode: RGB -> BT.709 10-bit 4:2:0 -> ffmpeg -c:v libvvenc -> NAL units -> payload
    decode: payload -> NAL units -> PyAV "vvc" -> planes -> RGB

libvvenc lives in the ffmpeg program that imageio-ffmpeg bundles and runs as a subprocess; the
decoder is in process and needs no encoder. `vvc_units` leaves out of a payload all that is the
same for every picture of a size.
"""

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags

from hvc_jax.keyframes import gop, parameter_sets, vvc_units
from hvc_jax.keyframes.decoder import BITS, PictureDecoder
from hvc_jax.keyframes.picture import KeyPictureError, coded_size, pad
from hvc_jax.ops import ffmpeg
from hvc_jax.ops.color import rgb_to_yuv420

MIN_SIDE = 32
"""libvvenc codes nothing smaller; smaller pictures are padded."""


@functools.cache
def available() -> bool:
    """Returns whether the bundled ffmpeg can write VVC here."""
    return "libvvenc" in ffmpeg.listing("-encoders")


def encode(picture: np.ndarray, qp: int = 32, preset: str = "medium") -> bytes:
    """Returns the payload of one picture [H, W, 3] uint8, at a QP of 0 to 63."""
    return encode_many([picture], qp, preset)[0]


def encode_many(pictures: Sequence[np.ndarray], qp: int, preset: str = "medium") -> list[bytes]:
    """Returns one payload each for intra pictures [H, W, 3] uint8, coded by a single run of ffmpeg.

    `qp`: 0 (finest) to 63; `preset`: "faster", "fast", "medium", "slow" or "slower" of libvvenc.
    Raises KeyPictureError: ffmpeg failed, or the shapes differ.
    """
    # One intra picture a GOP keeps pictures independent, with no QP offset by hierarchy.
    return _run(pictures, qp, preset, "gopsize=1:intraperiod=1")


def encode_sequence(
    pictures: Sequence[np.ndarray], qp: int, structure: gop.Structure, preset: str, perceptual: bool
) -> list[bytes]:
    """Returns payloads in coded order: an intra picture, then pictures predicted from others.

    Args:
        pictures: [H, W, 3] uint8 each, all of one shape, in the order of display.
        qp: quantisation parameter of the intra picture, 0 to 63.
        structure: which pictures are predicted from which; `gop.coded_order` is its order.
        preset: as in `encode_many`.
        perceptual: whether libvvenc lets QPs follow local activity.

    Raises KeyPictureError: ffmpeg failed, or the shapes differ.
    """
    parameters = f"intraperiod={_NEVER}:poc0idr=1:qpa={int(perceptual)}:"
    return _run(pictures, qp, preset, parameters + gop.vvenc_parameters(structure))


_NEVER = 1 << 20
"""An intra period that no sequence reaches; a multiple of every GOP size."""


def _run(pictures: Sequence[np.ndarray], qp: int, preset: str, parameters: str) -> list[bytes]:
    """Returns the payloads of one run of libvvenc, in coded order."""
    padded = pad(pictures, MIN_SIDE)
    height, width = padded[0].shape[:2]
    planes = b"".join(p.tobytes() for pic in padded for p in rgb_to_yuv420(pic, BITS))
    command = ["-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", f"{width}x{height}"]
    command += ["-r", "25", "-i", "-", "-c:v", "libvvenc", "-preset", preset, "-qp", str(qp)]
    # A fixed level, because the automatic one is the one field of the SPS that follows the size.
    command += ["-level", "5.1", "-vvenc-params"]
    # With pictures in parallel ffmpeg ends too early, without an error, where libvvenc is slow.
    command += [f"{parameters}:accessunitdelimiter=0:maxparallelframes=0", "-f", "vvc"]
    coded = vvc_units.access_units(_stream(command, planes))
    if len(coded) != len(pictures):
        raise KeyPictureError(f"ffmpeg wrote {len(coded)} VVC pictures, not {len(pictures)}.")
    return [vvc_units.pack(units, width, height) for units in coded]


def _stream(command: list[str], planes: bytes) -> bytes:
    """Returns the elementary stream that ffmpeg makes of raw pictures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.266"  # not stdout, where libvvenc writes its warnings
        try:
            ffmpeg.run([*command, str(path)], planes)
        except ffmpeg.FfmpegError as error:
            raise KeyPictureError(f"ffmpeg could not write a VVC picture: {error}") from error
        return path.read_bytes() if path.exists() else b""


class Decoder(PictureDecoder):
    """Decodes key pictures one at a time, in coded order, from an intra picture on.

    libvvenc's SPS says how many pictures a player must hold back to show them in order. We show
    each as soon as it is decoded (the stream around us says when it is due), so the decoder is
    given an SPS that says none; decoding itself does not depend on it.
    """

    codec, library, min_side = "VVC", "vvc", MIN_SIDE

    def packet(self, payload: bytes) -> tuple[bytes, bool]:
        """Puts the constant headers and start codes back, which the stream leaves out."""
        height, width = self._coded
        units = vvc_units.unpack(payload, width, height)
        intra = vvc_units.is_intra(units)
        if intra:
            units[0] = parameter_sets.without_reordering(units[0])
        return vvc_units.annex_b(units), intra

    def open(self) -> av.CodecContext:
        """Returns a new decoder that gives each picture at once."""
        context = super().open()
        context.flags |= Flags.low_delay
        return context


def annex_b(payload: bytes, height: int, width: int) -> bytes:
    """Returns a payload as a standard .266 file that any VVC player opens.

    The payloads of a sequence, each passed through this function, make one file together.
    """
    coded_height, coded_width = coded_size(height, width, MIN_SIDE)
    return vvc_units.annex_b(vvc_units.unpack(payload, coded_width, coded_height))
