"""AUDIO units: the sound of a clip as Opus packets of 20 ms (RFC 6716), numbered from its start.

Packet i holds the samples from 960 i - pre-skip on, 48,000 a second, counted from the moment at
which frame 0 is shown. Imports no jax.
"""

import dataclasses
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol

from hvc_jax.stream.header import MAX_FRAMES, Payload, varint
from hvc_jax.stream.units import Unit

SAMPLE_RATE = 48_000
PACKET_SAMPLES = 960
UNIT_PACKETS = 50
"""Packets that writers put into a unit: a second."""

_MOST_PACKETS = 4096
_MOST_BYTES = 1275  # of an Opus packet with one frame
_MOST_SKIPPED = 1 << 16


@dataclasses.dataclass(frozen=True)
class AudioGroup:
    """Content of an AUDIO unit."""

    first: int  # number of the first packet
    channels: int  # 1 or 2
    pre_skip: int  # samples before frame 0 that a decoder makes; the same in all units
    packets: tuple[bytes, ...] = ()  # Opus, 20 ms each; none where a unit only announces sound

    def place(self, index: int) -> int:
        """Sample at which packet `index` of the group begins; frame 0 is shown at sample 0."""
        return (self.first + index) * PACKET_SAMPLES - self.pre_skip

    def frame(self, fps: Fraction) -> int:
        """Number of the frame that is shown when the group begins."""
        return min(math.floor(max(self.place(0), 0) * fps / SAMPLE_RATE), MAX_FRAMES)


class SoundSource(Protocol):
    """What a `StreamWriter` takes sound from; it counts the bytes of AUDIO units in `written`."""

    written: int

    def groups(self, seconds: Fraction | None = None) -> list[AudioGroup]:
        """What is due, at least an empty group at first; all the rest of a clip of `seconds`."""
        ...


def audio_payload(group: AudioGroup) -> bytes:
    """Returns the payload of the AUDIO unit of `group`."""
    parts = [varint(group.first), bytes([group.channels]), varint(group.pre_skip)]
    parts += (part for packet in group.packets for part in (varint(len(packet)), packet))
    return b"".join(parts)


def audio_group(unit: Unit) -> AudioGroup:
    """Returns the content of an AUDIO unit. Raises BitstreamError: when it is malformed."""
    payload = Payload(unit.payload, "an audio unit", unit.offset)
    first, channels, pre_skip = payload.varint(), payload.byte(), payload.varint()
    packets = []
    while payload.left:
        length = payload.varint()
        if not 1 <= length <= _MOST_BYTES:
            raise payload.error(f"an audio packet of {length} bytes is not allowed")
        packets.append(payload.take(length))
    if len(packets) > _MOST_PACKETS or first + len(packets) > MAX_FRAMES:
        raise payload.error(f"{len(packets)} audio packets from {first} on are not allowed")
    if channels not in (1, 2) or pre_skip > _MOST_SKIPPED:
        raise payload.error(f"sound of {channels} channels, {pre_skip} samples before it")
    return AudioGroup(first, channels, pre_skip, tuple(packets))


class SoundQueue:
    """Packets of a stream, handed out while its frames are shown, of `groups` that may grow."""

    def __init__(self, groups: list[AudioGroup], begin: Fraction = Fraction(0)) -> None:
        """Makes a queue of groups; `begin` seconds of the clip are left out at its beginning."""
        self.groups = groups
        self._begin = round(begin * SAMPLE_RATE)

    def until(self, seconds: Fraction) -> Iterator[tuple[int, bytes]]:
        """Yields (sample at which it begins, packet) of those that begin before `seconds`.

        Samples and seconds count from what is left of the clip; each packet comes once.
        """
        end = seconds * SAMPLE_RATE
        while self.groups:
            group = self.groups[0]
            for index, packet in enumerate(group.packets):
                place = group.place(index) - self._begin
                if place >= end:
                    left = dataclasses.replace(
                        group, first=group.first + index, packets=group.packets[index:]
                    )
                    self.groups[0] = left
                    return
                # One that begins earlier than the decoder's own delay is heard no more.
                if place >= -group.pre_skip:
                    yield place, packet
            self.groups.pop(0)
