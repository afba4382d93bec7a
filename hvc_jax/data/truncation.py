"""Files that end before their container says: downloads broken off, recordings cut by a full disk.

MP4, MOV, Matroska, WebM, AVI and ASF (WMV) say of every part how long it is; a part that runs past
the end of the file was cut; so it is with the tags of FLV and the frames of IVF. MXF says where its
footer stands, GIF, JPEG, (animated) PNG and Ogg end with a mark, and MPEG transport streams,
YUV4MPEG2 and DV have parts of one size. What other formats lack shows in their duration alone.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

_MOST_PARTS, _LARGEST = 200_000, 1 << 40
_SEGMENT = b"\x18\x53\x80\x67"
_LAST_BYTES = {
    b"GIF8": b";",
    b"\xff\xd8\xff": b"\xff\xd9",  # JPEG pictures, one after the other
    b"\x89PNG\r\n\x1a\n": b"IEND\xae\x42\x60\x82",
}
"""First bytes of formats -> those with which they end."""
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
            end = _last_end(file, size, 0, 16, box_length)
        elif head[:4] == b"\x1a\x45\xdf\xa3":
            end = _matroska_end(file, size)
        elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            length = int.from_bytes(head[4:8], "little")
            end = length + 8 if length not in (0, 0xFFFFFFFF) else 0
        elif head == _ASF_HEADER[:12]:
            end = _last_end(file, size, 0, 24, _object_length)
        elif head[:4] == b"OggS":
            end = _ogg_end(file, size)
        elif head[:3] == b"FLV":
            end = _last_end(file, size, 9, 8, _tag_length)
        elif head[:4] == b"DKIF":  # IVF: every frame has its length and its time before it
            first = int.from_bytes(head[6:8], "little")
            end = _last_end(file, size, first, 4, lambda x: 12 + int.from_bytes(x, "little"))
        elif mark := next((m for start, m in _LAST_BYTES.items() if head.startswith(start)), b""):
            file.seek(max(0, size - 64))
            end = size if file.read().rstrip(b"\0").endswith(mark) else size + 1
        elif head[:3] == b"\x1f\x07\x00":
            frame = 144_000 if head[3] & 0x80 else 120_000  # of 25 or 29.97 a second (IEC 61834)
            end = -(-size // frame) * frame
        elif head[:9] == b"YUV4MPEG2":
            end = _yuv4mpeg_end(file, size)
        else:
            end = _mxf_end(file) or _transport_end(file, size)
    return max(0, end - size)


def parts_of(
    file: BinaryIO, start: int, head_bytes: int, length_of: Callable[[bytes], int | None]
) -> Iterator[tuple[int, bytes, int | None]]:
    """Yields (position, head, length) of parts that follow each other, until one has no length.

    `length_of` tells it by the first `head_bytes` of a part, fewer at the end of the file; None or
    0 where there is no part.
    """
    for _ in range(_MOST_PARTS):
        file.seek(min(start, _LARGEST))
        head = file.read(head_bytes)
        length = length_of(head)
        yield start, head, length
        if not length:
            return
        start += length


def _last_end(
    file: BinaryIO, size: int, start: int, head_bytes: int, length_of: Callable[[bytes], int | None]
) -> int:
    """Where the last of `parts_of` ends; 0 where one has a length of 0, which says nothing."""
    for position, _, length in parts_of(file, start, head_bytes, length_of):
        if position >= size or length is None:
            return position
        if not length:
            return 0
    return 0


def box_length(head: bytes) -> int | None:
    """Bytes of a box by its first 16 (ISO/IEC 14496-12); 0 for "to the end", and for no box.

    None for less than a head: some writers end with a few zero bytes, with which nothing is lost.
    """
    if len(head) < 8:
        return None
    length = int.from_bytes(head[:4], "big")
    if length == 1 and len(head) == 16:
        length = int.from_bytes(head[8:16], "big")
    return length if length >= 8 else 0


def _object_length(head: bytes) -> int | None:
    """Bytes of an object of an Advanced Systems Format file (its specification, 2.2)."""
    length = int.from_bytes(head[16:24], "little")
    # A recording that never was finished says nothing.
    return length if len(head) == 24 and length >= 24 else None


def _tag_length(head: bytes) -> int:
    """Bytes from a tag of Flash video to the next (Adobe's specification, version 10, E.3)."""
    return 4 if len(head) < 8 else 15 + int.from_bytes(head[5:8], "big")


def _element_length(head: bytes) -> int:
    """Bytes of an EBML element (RFC 8794), of its head where it is not said; 0 for none."""
    name = 9 - head[0].bit_length() if head else 9
    count = 9 - head[name].bit_length() if len(head) > name else 9
    if max(name, count) > 8 or len(head) < name + count:
        return 0
    value = int.from_bytes(head[name : name + count], "big") - (1 << 7 * count)
    return name + count + (value if value != (1 << 7 * count) - 1 else 0)


def _matroska_end(file: BinaryIO, size: int) -> int:
    """Where the segment, or of a live recording, whose length is not known, its last part ends."""
    for position, head, length in parts_of(file, 0, 12, _element_length):
        whole_segment = head[:4] == _SEGMENT and (length or 0) > len(head)
        if length and (position + length >= size or whole_segment):
            return position + length
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
