"""Files that end before their container says: downloads broken off, recordings cut by a full disk.

MP4, MOV, Matroska, WebM and AVI say of every part how long it is; a part that runs past the end of
the file was cut; GIF ends with a mark. What other formats lack shows in their duration alone.
"""

import os
from pathlib import Path
from typing import BinaryIO

_MOST_PARTS = 200_000
_SEGMENT, _UNKNOWN_SIZE = 0x18538067, -1


def missing_bytes(path: str | os.PathLike) -> int:
    """Returns how many bytes a video file lacks at its end, 0 where none, or where nothing says.

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
        else:
            end = 0
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
