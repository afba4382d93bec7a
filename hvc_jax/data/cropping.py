"""Borders that a container hides: Matroska's PixelCrop, the clean aperture of MP4 and MOV.

PyAV does not tell them; the ffmpeg program does, and is asked where a file may have some.
"""

import os
import re
from pathlib import Path
from typing import BinaryIO, NamedTuple

from hvc_jax.data.truncation import box_length, parts_of
from hvc_jax.ops import ffmpeg

_MATROSKA, _CLUSTER = b"\x1a\x45\xdf\xa3", b"\x1f\x43\xb6\x75"
_PIXEL_CROPS = b"\x54\xaa", b"\x54\xbb", b"\x54\xcc", b"\x54\xdd"
_MP4 = b"ftyp", b"moov", b"mdat", b"wide", b"free"
_CROPPING = re.compile(r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)")
_LOOKED_AT = 1 << 16
_INDEX_AT_MOST = 1 << 24


class Crop(NamedTuple):
    """Columns and rows of the stored picture that are not shown."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0


def cropping(path: str | os.PathLike, index: int) -> Crop:
    """Returns what is hidden of a file's track with this number among all; nothing of pipes."""
    if not Path(path).is_file() or not _may_crop(path):
        return Crop()
    track = None
    for line in ffmpeg.tracks_of(path).splitlines():
        if found := re.match(r"\s*Stream #0:(\d+)", line):
            track = int(found[1])
        elif track == index and (found := _CROPPING.search(line)):
            return Crop(*map(int, found.groups()))
    return Crop()


def _may_crop(path: str | os.PathLike) -> bool:
    with open(path, "rb") as file:
        head = file.read(_LOOKED_AT)
        if head[:4] == _MATROSKA:
            return any(name in head.partition(_CLUSTER)[0] for name in _PIXEL_CROPS)
        return head[4:8] in _MP4 and b"clap" in _index(file)


def _index(file: BinaryIO) -> bytes:
    """The `moov` box of ISO/IEC 14496-12."""
    for position, head, length in parts_of(file, 0, 16, box_length):
        if head[4:8] == b"moov" and length:
            file.seek(position)
            return file.read(min(length, _INDEX_AT_MOST))
    return b""
