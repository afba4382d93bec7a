"""Key pictures as VVC (H.266) intra pictures: written by libvvenc, read by FFmpeg's decoder.

    encode: RGB -> BT.709 10-bit 4:2:0 -> ffmpeg -c:v libvvenc -> NAL units -> payload
    decode: payload -> NAL units -> PyAV "vvc" -> planes -> RGB

libvvenc lives in the ffmpeg program that imageio-ffmpeg bundles and runs as a subprocess; the
decoder is in process and needs no encoder. The parameter sets are the same for
every picture of a size. `parameter_sets` knows them, so a payload holds only what is special to
the picture (adaptation parameter sets and the slice) behind one byte of layout.
"""

import functools
import re
import subprocess
from collections.abc import Sequence

import av
import imageio_ffmpeg
import numpy as np

from hvc_jax.keyframes import parameter_sets
from hvc_jax.keyframes.picture import KeyPictureError, coded_size, crop, pad
from hvc_jax.ops.color import rgb_to_yuv420, yuv420_to_rgb

BITS = 10
MIN_SIDE = 32
"""libvvenc codes nothing smaller; smaller pictures are padded."""

_RAW = 0xFF
"""Layout byte of a payload that carries its parameter sets; others are (preset, APS count)."""

_APS, _IDR = b"\x00\x89", b"\x00\x41"
"""NAL unit headers (H.266 7.3.1.2): prefix APS, and the IDR slice that all our pictures are."""

_START = re.compile(rb"\x00\x00\x01")
_MAX_APS = 15


@functools.cache
def available() -> bool:
    """Returns whether the bundled ffmpeg can write VVC here."""
    try:
        listed = subprocess.run(
            [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-encoders"],
            capture_output=True,
            check=True,
        )
    except (OSError, RuntimeError, subprocess.CalledProcessError):
        return False
    return b"libvvenc" in listed.stdout


def encode(picture: np.ndarray, qp: int = 32, preset: str = "medium") -> bytes:
    """Returns the payload of one picture [H, W, 3] uint8, at a QP of 0 to 63."""
    return encode_many([picture], qp, preset)[0]


def encode_many(pictures: Sequence[np.ndarray], qp: int, preset: str = "medium") -> list[bytes]:
    """Returns one payload each for pictures of one size, coded by a single run of ffmpeg.

    Args:
        pictures: [H, W, 3] uint8 each, all of one shape.
        qp: quantisation parameter, 0 (finest) to 63.
        preset: "faster", "fast", "medium", "slow" or "slower" of libvvenc.

    Raises:
        KeyPictureError: ffmpeg failed, or the shapes differ.
    """
    if len({picture.shape for picture in pictures}) != 1:
        raise KeyPictureError("Key pictures of one run must have one size; code them separately.")
    padded = [pad(picture, MIN_SIDE) for picture in pictures]
    height, width = padded[0].shape[:2]
    planes = b"".join(p.tobytes() for pic in padded for p in rgb_to_yuv420(pic, BITS))
    # One intra picture a GOP keeps pictures independent, with no QP offset by hierarchy.
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error"]
    command += ["-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", f"{width}x{height}"]
    command += ["-r", "25", "-i", "-", "-c:v", "libvvenc", "-preset", preset, "-qp", str(qp)]
    # A fixed level, because the automatic one is the one field of the SPS that follows the size.
    command += ["-level", "5.1", "-vvenc-params"]
    command += ["gopsize=1:intraperiod=1:accessunitdelimiter=0", "-f", "vvc", "-"]
    done = subprocess.run(command, input=planes, capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason"]
        raise KeyPictureError(f"ffmpeg could not write a VVC picture: {reason[0]}")
    payloads = [_pack(units, width, height) for units in _access_units(done.stdout)]
    if len(payloads) != len(pictures):
        raise KeyPictureError(
            f"ffmpeg wrote {len(payloads)} VVC pictures instead of {len(pictures)}."
        )
    return payloads


def decode(payload: bytes, height: int, width: int) -> np.ndarray:
    """Returns the picture [height, width, 3] uint8 of a payload.

    Raises:
        KeyPictureError: the payload is damaged, or holds a picture of another size.
    """
    coded_height, coded_width = coded_size(height, width, MIN_SIDE)
    stream = b"".join(b"\x00\x00\x00\x01" + u for u in _unpack(payload, coded_width, coded_height))
    context = av.CodecContext.create("vvc", "r")
    context.thread_count = 1
    # A hostile picture must not ask for gigabytes; decoders need a margin around the picture.
    context.options = {"max_pixels": str((coded_height + 128) * (coded_width + 128))}
    try:
        frames = context.decode(av.Packet(stream)) + context.decode(None)
    except (av.FFmpegError, ValueError) as error:
        raise KeyPictureError(f"The VVC key picture is damaged ({error}).") from error
    if len(frames) != 1 or (frames[0].height, frames[0].width) != (coded_height, coded_width):
        raise KeyPictureError(f"The VVC key picture is damaged, or is not {width}x{height} pixels.")
    if frames[0].format.name != "yuv420p10le":
        raise KeyPictureError(f"The VVC key picture is {frames[0].format.name}, not yuv420p10le.")
    planes = (
        np.frombuffer(plane, "<u2").reshape(plane.height, plane.line_size // 2)[:, : plane.width]
        for plane in frames[0].planes
    )
    return crop(yuv420_to_rgb(*planes, BITS), height, width)


def annex_b(payload: bytes, height: int, width: int) -> bytes:
    """Returns a payload as a standard .266 file that any VVC player opens."""
    coded_height, coded_width = coded_size(height, width, MIN_SIDE)
    units = _unpack(payload, coded_width, coded_height)
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in units)


def _access_units(stream: bytes) -> list[list[bytes]]:
    """Returns the NAL units of each picture; parameter sets sent once are repeated for each."""
    starts = [match.end() for match in _START.finditer(stream)]
    ends = [start - 3 for start in starts[1:]] + [len(stream)]
    pictures: list[list[bytes]] = []
    shared: dict[int, bytes] = {}
    own: list[bytes] = []
    for start, end in zip(starts, ends, strict=True):
        unit = stream[start:end].rstrip(b"\x00")  # the next start code may lead with a zero
        kind = unit[1] >> 3
        if kind in (parameter_sets.SPS, parameter_sets.PPS):
            shared[kind] = unit
            continue
        own.append(unit)
        if kind <= 11:  # a slice; ours is the picture's only one
            pictures.append([shared[parameter_sets.SPS], shared[parameter_sets.PPS], *own])
            own = []
    return pictures


def _pack(units: list[bytes], width: int, height: int) -> bytes:
    """Returns the payload of a picture's NAL units: without parameter sets where we know them."""
    *aps, picture = units[2:]
    preset = parameter_sets.find(units[:2], width, height)
    regular = (
        preset is not None
        and len(aps) <= _MAX_APS
        and all(unit[:2] == _APS and len(unit) < 258 for unit in aps)
        and picture[:2] == _IDR
    )
    if not regular:
        return bytes([_RAW]) + b"".join(b"\x00\x00\x01" + unit for unit in units)
    packed = bytes([preset << 4 | len(aps)])
    packed += b"".join(bytes([len(unit) - 2]) + unit[2:] for unit in aps)
    return packed + picture[2:]


def _unpack(payload: bytes, width: int, height: int) -> list[bytes]:
    """Returns the NAL units of a payload."""
    if len(payload) < 2:
        raise KeyPictureError("The VVC key picture is empty.")
    layout = payload[0]
    if layout == _RAW:
        return [unit for units in _access_units_checked(payload[1:]) for unit in units]
    preset, count = layout >> 4, layout & 15
    units = parameter_sets.build(preset, width, height)
    position = 1
    for _ in range(count):
        end = position + 1 + payload[position] if position < len(payload) else len(payload)
        if end >= len(payload):
            raise KeyPictureError("The VVC key picture is cut short.")
        units.append(_APS + payload[position + 1 : end])
        position = end
    return [*units, _IDR + payload[position:]]


def _access_units_checked(stream: bytes) -> list[list[bytes]]:
    try:
        return _access_units(stream)
    except (KeyError, IndexError) as error:
        raise KeyPictureError("The VVC key picture is damaged: units are missing.") from error
