"""Packets of a call, and the parts of a key picture put together again. Imports no jax.

    packet   = type u8, session u32, body, CRC-32 of all that        integers are little-endian
    KEY      = key u16, part u8, parts u8, bytes                      parts of a `KeyMessage`
    MOTION   = key u16, frame u32, time u32, MOTION payload           one frame; SPEC.md, 1
    SOUND    = AUDIO payload                                          SPEC.md, 7
    FEEDBACK = key u16, wishes u8, loss u8, time u32

A receiver says hello by FEEDBACK with key 0, and the sender begins when that has come. Wishes are
1 for motion that decodes on its own, 2 for a new key picture, 4 for none at all: the receiver shows
another picture, and that in the `KeyMessage` is empty.

`time` counts tenths of a millisecond on the sender's clock, and a receiver sends back the last one.
"""

import io
import struct
import zlib
from collections import OrderedDict
from typing import NamedTuple

from hvc_jax.stream.container import KeyUnit
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import Header, Payload, read_header, varint
from hvc_jax.stream.sound import AudioGroup, audio_group, audio_payload
from hvc_jax.stream.units import Unit, UnitType, motion_group, motion_payload
from hvc_jax.stream.vectors import Group

PART_BYTES = 1200
"""Of a key picture in one packet: with all heads below what every network lets through."""

TICKS = 10_000
"""A second, of the time in packets."""

MOST_PARTS = 255
_KEY, _MOTION, _SOUND, _FEEDBACK = range(1, 5)
_UNFINISHED_KEYS = 4


class KeyPart(NamedTuple):
    """A part of a key picture's message."""

    key: int
    part: int
    parts: int
    data: bytes


class Motion(NamedTuple):
    """One frame: the number of its key picture, when it was taken, its coded latent."""

    key: int
    time: int
    group: Group


class Feedback(NamedTuple):
    """What a receiver says."""

    key: int  # number of the key picture that it has; 0 for none
    motion_wanted: bool  # whether motion is wanted that decodes on its own
    key_wanted: bool  # whether a new key picture is wanted
    loss: int  # share of the motion packets that were lost lately, in 1/255
    time: int  # of the newest motion packet
    own_picture: bool = False  # whether it shows a picture of its own, so that none is to be sent


Message = KeyPart | Motion | AudioGroup | Feedback


def pack(message: Message, session: int) -> bytes:
    """Returns the packet of a message."""
    match message:
        case KeyPart(key, part, parts, data):
            kind, body = _KEY, struct.pack("<HBB", key, part, parts) + data
        case Motion(key, time, group):
            head = struct.pack("<HII", key, group.frame, time)
            kind, body = _MOTION, head + motion_payload(group)
        case AudioGroup():
            kind, body = _SOUND, audio_payload(message)
        case Feedback(key, motion_wanted, key_wanted, loss, time, own_picture):
            wishes = motion_wanted | key_wanted << 1 | own_picture << 2
            kind, body = _FEEDBACK, struct.pack("<HBBI", key, wishes, loss, time)
    data = struct.pack("<BI", kind, session) + body
    return data + zlib.crc32(data).to_bytes(4, "little")


def unpack(data: bytes) -> tuple[int, Message] | None:
    """Returns the session and the message of a packet; None where it is foreign or damaged."""
    if len(data) < 9 or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return None
    kind, session = struct.unpack("<BI", data[:5])
    try:
        message = _message(kind, data[5:-4])
    except (struct.error, BitstreamError):
        return None
    return None if message is None else (session, message)


def _message(kind: int, body: bytes) -> Message | None:
    if kind == _KEY:
        key, part, parts = struct.unpack("<HBB", body[:4])
        return KeyPart(key, part, parts, body[4:]) if part < parts else None
    if kind == _MOTION:
        key, frame, time = struct.unpack("<HII", body[:10])
        group = motion_group(Unit(UnitType.MOTION, frame, body[10:], 0, 0))
        return Motion(key, time, group) if group.count == 1 else None
    if kind == _SOUND:
        return audio_group(Unit(UnitType.AUDIO, 0, body, 0, 0))
    if kind == _FEEDBACK:
        key, wishes, loss, time = struct.unpack("<HBBI", body)
        wants = bool(wishes & 1), bool(wishes & 2)
        return Feedback(key, *wants, loss, time, bool(wishes & 4))
    return None


class KeyMessage(NamedTuple):
    """A key picture with all that a receiver needs to begin: header, numbers, picture."""

    header: Header
    static: bytes
    key: KeyUnit

    def parts(self, number: int) -> list[KeyPart]:
        """Returns its parts as the key picture with this number; ValueError: it is too large."""
        data = self.header.to_bytes() + varint(len(self.static)) + self.static
        data += bytes([self.key.codec, self.key.qp]) + self.key.payload
        pieces = [data[i : i + PART_BYTES] for i in range(0, len(data), PART_BYTES)]
        if len(pieces) > MOST_PARTS:
            raise ValueError(f"a key picture of {len(data)} bytes is too large for a call")
        return [KeyPart(number, i, len(pieces), piece) for i, piece in enumerate(pieces)]

    @classmethod
    def read(cls, data: bytes) -> "KeyMessage":
        """Returns the message of all parts. Raises BitstreamError: when it is malformed."""
        header, size = read_header(io.BytesIO(data).read)
        payload = Payload(data[size:], "a key message")
        static = payload.take(payload.varint())
        codec, qp = payload.byte(), payload.byte()
        return cls(header, static, KeyUnit(0, codec, qp, payload.rest()))


class KeyCollector:
    """Parts of key pictures, of the last few that are not whole yet."""

    def __init__(self) -> None:
        self._found: OrderedDict[int, tuple[int, dict[int, bytes]]] = OrderedDict()

    def push(self, part: KeyPart) -> bytes | None:
        """Takes a part; returns the message when it was the last that was missing."""
        parts, pieces = self._found.setdefault(part.key, (part.parts, {}))
        if parts != part.parts or len(part.data) > PART_BYTES:
            return None
        pieces[part.part] = part.data
        if len(pieces) == parts:
            del self._found[part.key]
            return b"".join(pieces[i] for i in range(parts))
        while len(self._found) > _UNFINISHED_KEYS:
            self._found.popitem(last=False)
        return None
