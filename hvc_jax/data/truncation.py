"""Files that end before their container says: downloads broken off, recordings cut by a full disk.

MP4, MOV, Matroska, WebM, AVI and ASF (WMV) say of every part how long it is; a part that runs past
the end of the file was cut; so it is with the tags of FLV, the chunks of (animated) PNG and the
frames of IVF. MXF says where its footer stands, GIF, JPEG and Ogg end with a mark, and MPEG
transport streams, YUV4MPEG2 and DV have parts of one size. What other formats lack shows in their
duration alone.
"""

import os
import re
from pathlib import Path
from typing import BinaryIO

_MOST_PARTS = 200_000
_SEGMENT, _UNKNOWN_SIZE = 0x18538067, -1
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_MXF_PARTITION = bytes.fromhex("060e2b34020501010d0102010102")
_MXF_RUN_IN = 1 << 16
_TS_PACKETS = ((188, 0), (192, 4), (204, 0))
"""Bytes of a packet and where its 0x47 stands: plain, with arrival times (M2TS), with parity."""


def missing_bytes(path: str | os.PathLike) -> int:
    """Returns how many bytes a video file lacks at its end, at least; 0 where nothing says so.

    Reads the heads of the outermost parts, not their contents. Pipes and devices are not read.
    """
    if not Path(path).is_file():
        return 0
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        file.seek(0)
        if head[4:8] in (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"wide", b"skip"):
            end = _mp4_end(file, size)
        elif head[:4] == b"\x1a\x45\xdf\xa3":
            end = _matroska_end(file, size)
        elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            length = int.from_bytes(head[4:8], "little")
            end = length + 8 if length not in (0, 0xFFFFFFFF) else 0
        elif head[:4] == b"GIF8":
            file.seek(max(0, size - 64))
            end = size if file.read().rstrip(b"\0").endswith(b";") else size + 1
        elif head == _ASF_HEADER[:12]:
            end = _asf_end(file, size)
        elif head[:4] == b"OggS":
            end = _ogg_end(file, size)
        elif head[:3] == b"FLV":
            end = _flv_end(file, size)
        elif head[:8] == b"\x89PNG\r\n\x1a\n":
            end = _png_end(file, size)
        elif head[:4] == b"DKIF":
            end = _ivf_end(file, size)
        elif head[:3] == b"\x1f\x07\x00":
            frame = 144_000 if head[3] & 0x80 else 120_000  # of 25 or 29.97 a second (IEC 61834)
            end = -(-size // frame) * frame
        elif head[:9] == b"YUV4MPEG2":
            end = _yuv4mpeg_end(file, size)
        elif head[:3] == b"\xff\xd8\xff":  # JPEG pictures, one after the other
            file.seek(max(0, size - 64))
            end = size if file.read().rstrip(b"\0").endswith(b"\xff\xd9") else size + 1
        else:
            end = _mxf_end(file) or _transport_end(file, size)
    return max(0, end - size)


def _mp4_end(file: BinaryIO, size: int) -> int:
    """Where the last box of ISO/IEC 14496-12 ends."""
    position = 0
    for _ in range(_MOST_PARTS):
        file.seek(position)
        head = file.read(16)
        if len(head) < 8:
            # Some writers end with a few zero bytes; less than a head is nothing lost.
            return position
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0: to the end of the file; others are no boxes
            return 0
        position += length
        if position >= size:
            return position
    return 0


def _matroska_end(file: BinaryIO, size: int) -> int:
    """Where the segment, or where its length is not known its last part, ends (RFC 8794)."""
    position = 0
    for _ in range(_MOST_PARTS):
        file.seek(position)
        head = file.read(12)
        name = _ebml_number(head, keep_marker=True)
        length = _ebml_number(head[name[1] :]) if name else None
        if name is None or length is None:
            return 0
        inside = position + name[1] + length[1]
        if name[0] == _SEGMENT or length[0] == _UNKNOWN_SIZE:
            if length[0] != _UNKNOWN_SIZE:
                return inside + length[0]
            position = inside  # a live recording: look at its parts
            continue
        position = inside + length[0]
        if position >= size:
            return position
    return 0


def _asf_end(file: BinaryIO, size: int) -> int:
    """Where the last object of an Advanced Systems Format file ends (its specification, 2.2)."""
    position = 0
    for _ in range(_MOST_PARTS):
        file.seek(position)
        head = file.read(24)
        length = int.from_bytes(head[16:24], "little")
        if len(head) < 24 or length < 24:  # a recording that never was finished says nothing
            return position
        position += length
        if position >= size:
            return position
    return 0


def _ogg_end(file: BinaryIO, size: int) -> int:
    """Where the last page ends (RFC 3533); a byte later where it is not marked as the last."""
    start = max(0, size - (1 << 17))
    file.seek(start)
    data = file.read()
    page = data.rfind(b"OggS")
    if page < 0 or page + 27 > len(data):
        return size + 1
    sizes = data[page + 27 : page + 27 + data[page + 26]]
    if len(sizes) < data[page + 26]:
        return size + 1
    end = start + page + 27 + len(sizes) + sum(sizes)
    return end if data[page + 5] & 4 else max(end, size + 1)


def _flv_end(file: BinaryIO, size: int) -> int:
    """Where the last tag of a Flash video ends (Adobe's specification, version 10, annex E.3)."""
    position = 9
    for _ in range(_MOST_PARTS):
        file.seek(position)
        head = file.read(8)  # the length of the tag before, then this one's kind and length
        position += 4 if len(head) < 8 else 15 + int.from_bytes(head[5:8], "big")
        if position >= size:
            return position
    return 0


def _png_end(file: BinaryIO, size: int) -> int:
    """Where the last chunk of a PNG ends, a byte later where it is not the one that ends a file."""
    position = 8
    for _ in range(_MOST_PARTS):
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return max(position, size + 1)
        position += 12 + int.from_bytes(head[:4], "big")
        if head[4:] == b"IEND" or position > size:
            return position
    return 0


def _ivf_end(file: BinaryIO, size: int) -> int:
    """Where the last frame of an IVF file ends: each has its length and its time before it."""
    file.seek(6)
    position = int.from_bytes(file.read(2), "little")
    for _ in range(_MOST_PARTS):
        if position >= size:
            return position
        file.seek(position)
        head = file.read(4)
        position += 12 + int.from_bytes(head, "little")
    return 0


def _yuv4mpeg_end(file: BinaryIO, size: int) -> int:
    """Where the last frame of a YUV4MPEG2 file ends; frames are of one size."""
    file.seek(0)
    words = file.readline(256).split()
    start = file.tell()
    said = {word[:1]: word[1:].decode("ascii", "replace") for word in words[1:]}
    width, height, layout = said.get(b"W", ""), said.get(b"H", ""), said.get(b"C", "420")
    if not (width.isdecimal() and height.isdecimal()):
        return 0
    wide, high = (int(width) + 1) // 2, (int(height) + 1) // 2
    full = int(width) * int(height)
    chroma = {"420": 2 * wide * high, "422": 2 * wide * int(height), "444": 2 * full, "mon": 0}
    name = "mon" if layout.startswith("mono") else layout[:3]
    if name not in chroma or "alpha" in layout:
        return 0
    deep = 2 if re.search(r"p\d\d$|mono\d\d$", layout) else 1
    frame = len(b"FRAME\n") + deep * (full + chroma[name])
    return start + -(-(size - start) // frame) * frame


def _mxf_end(file: BinaryIO) -> int:
    """A byte behind where the footer begins, as the first partition says (SMPTE 377-1, 7.1)."""
    file.seek(0)
    data = file.read(_MXF_RUN_IN + 128)
    at = data.find(_MXF_PARTITION)
    if at < 0:
        return 0
    length = data[at + 16]
    at += 17 + (length & 127 if length & 128 else 0)
    footer = int.from_bytes(data[at + 24 : at + 32], "big")
    return footer + 1 if footer else 0


def _transport_end(file: BinaryIO, size: int) -> int:
    """Where the last packet of an MPEG transport stream ends (ISO/IEC 13818-1, 2.4.3.2)."""
    file.seek(0)
    data = file.read(1024)
    for length, mark in _TS_PACKETS:
        if len(data) > 4 * length and all(data[mark + i * length] == 0x47 for i in range(5)):
            return -(-size // length) * length
    return 0


def _ebml_number(data: bytes, keep_marker: bool = False) -> tuple[int, int] | None:
    """(value, bytes) of a variable-length number; -1 for "not known"; None for none."""
    if not data or not data[0]:
        return None
    count = 9 - data[0].bit_length()
    if len(data) < count:
        return None
    value = int.from_bytes(data[:count], "big")
    if keep_marker:
        return value, count
    value -= 1 << (7 * count)
    return (_UNKNOWN_SIZE if value == (1 << (7 * count)) - 1 else value), count
