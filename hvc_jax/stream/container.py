"""The container: a header and typed, checksummed units; written and read over files and pipes.

`SPEC.md` beside this file describes every byte, `units.py` how units stand in a stream. Imports
no jax.
"""

import dataclasses
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, BinaryIO

from hvc_jax.stream.chain import Chain, short_size
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.field_unit import FieldGroup, field_group, field_payload
from hvc_jax.stream.header import MAX_FRAMES, WITH_FIELD, Header, read_header, read_varint, varint
from hvc_jax.stream.index import audio_units
from hvc_jax.stream.sound import AudioGroup, SoundSource, audio_group, audio_payload
from hvc_jax.stream.units import MAX_PAYLOAD, SHORT, Unit, UnitType, motion_group, motion_payload
from hvc_jax.stream.vectors import Group

_CHUNK = 1 << 16
_ONCE = (UnitType.STATIC, UnitType.EDIT, UnitType.EDIT_STATIC)
"""Types of which one may stand behind a KEY or MOTION unit."""


@dataclasses.dataclass(frozen=True)
class KeyUnit:
    """Content of a KEY unit: a coded picture."""

    frame: int  # number of the frame that it shows
    codec: int  # id as in `hvc_jax.keyframes`, 0 to 255
    qp: int  # quantisation parameter, 0 to 255
    payload: bytes


class StreamWriter:
    """Writes a stream unit by unit; needs nothing but `write` from `file`.

    Use it as a context manager, or call `close`: a stream without its end is told from a whole one.
    """

    def __init__(self, file: BinaryIO, header: Header, sound: SoundSource | None = None) -> None:
        self._file = file
        self._header, self._sound = header, sound
        self._frames = 0
        self._keys: list[tuple[int, int]] = []
        self._chain = Chain(header.variant)
        data = header.to_bytes()
        self._offset = len(data)
        file.write(data)

    def __enter__(self) -> "StreamWriter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()

    def write_unit(self, type_: int, frame: int, payload: bytes) -> int:
        """Writes any unit; returns the bytes it takes."""
        data = self._chain.write(type_, frame, payload)
        self._file.write(data)
        self._offset += len(data)
        return len(data)

    def write_key(self, frame: int, codec: int, qp: int, payload: bytes) -> int:
        """Writes a KEY unit; returns the bytes it takes."""
        self._write_sound()
        self._keys.append((frame, self._offset))
        return self.write_unit(UnitType.KEY, frame, bytes([codec, qp]) + payload)

    def write_static(self, frame: int, payload: bytes) -> int:
        """Writes the STATIC unit of the key at `frame`; returns the bytes it takes."""
        return self.write_unit(UnitType.STATIC, frame, payload)

    def write_motion(self, group: Group) -> int:
        """Writes a MOTION unit; returns the bytes it takes."""
        self._write_sound()
        self._frames = max(self._frames, group.frame + group.count)
        return self.write_unit(UnitType.MOTION, group.frame, motion_payload(group))

    def write_field(self, group: FieldGroup) -> int:
        """Writes a FIELD unit; returns the bytes it takes."""
        self._write_sound()
        self._frames = max(self._frames, group.frame + group.count)
        return self.write_unit(UnitType.FIELD, group.frame, field_payload(group))

    def write_meta(self, record: dict[str, Any]) -> int:
        """Writes a META unit (JSON); returns the bytes it takes."""
        return self.write_unit(UnitType.META, 0, meta_payload(record))

    def _write_sound(self, seconds: Fraction | None = None) -> None:
        """Writes the sound that is due, or all the rest of a clip of `seconds`."""
        if self._sound is not None:
            for group in self._sound.groups(seconds):
                frame, payload = group.frame(self._header.fps), audio_payload(group)
                self._sound.written += self.write_unit(UnitType.AUDIO, frame, payload)

    def close(self) -> int:
        """Ends the stream, with an INDEX unit where one is needed; returns the bytes it takes.

        Raises ValueError: when the header promised another number of frames.
        """
        promised = self._header.frame_count
        if promised is not None and promised != self._frames:
            raise ValueError(f"the header says {promised} frames, {self._frames} were written")
        self._write_sound(self._frames / self._header.fps)
        if promised is not None and len(self._keys) < 2 and self._sound is None:
            return 0
        return self.write_unit(UnitType.INDEX, self._frames, index_payload(self._keys))


class StreamReader:
    """Reads a stream unit by unit, holding one unit in memory; needs `read` from `file` only.

    `header_size` is the header's length in bytes, `next_frame` the number of the frame that the
    next MOTION unit has to begin with, `sound` what was passed of it, where it is kept; its user
    takes groups away.
    """

    def __init__(self, file: BinaryIO, keep_sound: bool = False) -> None:
        """Reads the header. Raises BitstreamError: when there is none."""
        self.file = file
        self.sound: list[AudioGroup] = []
        self._keep_sound = keep_sound
        self._sound_kind: tuple[int, int] | None = None
        self.header, self._offset = read_header(file.read)
        self._chain = Chain(self.header.variant)
        self.header_size = self._offset
        self.next_frame = 0

    def start_at(self, keys: list[tuple[int, int]], frame: int) -> None:
        """Moves to the last key frame that is not behind `frame`; `units` goes on from there.

        `keys` are (frame, byte offset) of every KEY unit, from `index.key_offsets` of the same
        file. Raises BitstreamError: when there is no such key frame.
        """
        before = [key for key in keys if key[0] <= frame]
        if not before:
            raise BitstreamError(f"there is no key frame for frame {frame}")
        self.next_frame, self._offset = max(before)
        self._chain = Chain(self.header.variant)
        self.file.seek(self._offset)

    def find_sound(self) -> None:
        """Takes the sound of the whole file, which can seek; BitstreamError: it is damaged."""
        units = audio_units(self.file, self.header_size, self.file.seek(0, os.SEEK_END))
        self.sound, self._keep_sound = [self._audio(unit) for unit in units], False
        self.file.seek(self._offset)

    def units(self) -> Iterator[Unit]:
        """Yields the units, whose frames follow each other; BitstreamError: damage, or no end."""
        frames, ended = self.next_frame, False
        last_key, seen = -1, set[int]()  # types since the last KEY or MOTION
        moved = frames  # frames that MOTION has described; FIELD follows it where there are both
        with_field = self.header.variant in WITH_FIELD
        while (unit := self._read_unit()) is not None:
            if ended:
                raise BitstreamError("data follows the end of the stream", unit.offset)
            if unit.type in (UnitType.KEY, UnitType.STATIC):
                if unit.frame != frames:
                    raise BitstreamError(
                        f"a key frame says {unit.frame} where frame {frames} is due", unit.offset
                    )
                if unit.type == UnitType.KEY and unit.frame == last_key:
                    raise BitstreamError(f"frame {unit.frame} has two key pictures", unit.offset)
                if unit.type == UnitType.KEY:
                    last_key = unit.frame
            elif unit.type == UnitType.MOTION:
                moved = self._advance(moved, unit, motion_group(unit).count)
                if not with_field:
                    frames = self.next_frame = moved
            elif unit.type == UnitType.FIELD:
                if not with_field:
                    raise BitstreamError(
                        f"a {self.header.variant} stream has no displacement fields", unit.offset
                    )
                frames = self.next_frame = self._advance(frames, unit, field_group(unit).count)
                if self.header.variant == "hybrid" and moved < frames:
                    raise BitstreamError(
                        f"the parameters of frame {moved} are missing", unit.offset
                    )
            elif unit.type == UnitType.AUDIO:
                group = self._audio(unit)
                if self._keep_sound:
                    self.sound.append(group)
            elif unit.type == UnitType.EDIT_STATIC and (
                unit.frame != frames or UnitType.STATIC not in seen
            ):
                raise BitstreamError("an edit of static numbers without them", unit.offset)
            if unit.type in seen and unit.type in _ONCE:
                name = UnitType(unit.type).name
                raise BitstreamError(f"two {name} units where one belongs", unit.offset)
            if unit.type in (UnitType.KEY, UnitType.MOTION):
                seen.clear()
            seen.add(unit.type)
            if unit.type == UnitType.INDEX:
                ended = True
                if unit.frame != frames:
                    raise BitstreamError(
                        f"the index says {unit.frame} frames, {frames} were found", unit.offset
                    )
            yield unit
        promised = self.header.frame_count
        if not ended and (promised is None or self._sound_kind is not None):
            raise BitstreamError("the stream is cut off: its index is missing", self._offset)
        if promised is not None and promised != frames:
            raise BitstreamError(
                f"the stream is cut off: {frames} of {promised} frames", self._offset
            )

    def _audio(self, unit: Unit) -> AudioGroup:
        """The sound in an AUDIO unit, which is of one kind in the whole stream."""
        group = audio_group(unit)
        kind = group.channels, group.pre_skip
        if self._sound_kind not in (None, kind):
            raise BitstreamError("the sound changes its channels or its delay", unit.offset)
        self._sound_kind = kind
        return group

    def _advance(self, due: int, unit: Unit, count: int) -> int:
        """The frame that is due behind a unit of `count` frames, where frame `due` is due."""
        if unit.frame != due:
            raise BitstreamError(f"frame {due} is missing, frame {unit.frame} follows", unit.offset)
        if self.header.frame_count is not None and due + count > self.header.frame_count:
            raise BitstreamError("motion runs past the last frame", unit.offset)
        return due + count

    def _read_unit(self) -> Unit | None:
        start = self._offset
        first = self.file.read(1)
        if not first:
            return None
        self._offset += 1
        if first[0] >= SHORT:
            try:
                rest = self._take(short_size(first[0]) - 1)
            except BitstreamError as error:
                raise BitstreamError(error.reason, self._offset) from error
            return self._chain.parse(first + rest, start)
        head = bytearray(first)

        def next_byte() -> int:
            head.extend(self._take(1))
            return head[-1]

        try:
            frame, length = read_varint(next_byte), read_varint(next_byte)
            if length > MAX_PAYLOAD or frame > MAX_FRAMES:
                raise BitstreamError(f"a unit of {length} bytes at frame {frame} is not allowed")
            payload = b"".join(self._chunks(length))
            stored = int.from_bytes(self._take(4), "little")
        except BitstreamError as error:
            raise BitstreamError(error.reason, self._offset) from error
        if zlib.crc32(payload, zlib.crc32(bytes(head))) != stored:
            raise BitstreamError("a unit's checksum does not match", start)
        unit = Unit(head[0], frame, payload, start, self._offset - start)
        self._chain.whole(unit, stored)
        return unit

    def _chunks(self, length: int) -> Iterator[bytes]:
        # In pieces, so that a hostile length never allocates more than the stream delivers.
        while length:
            part = self._take(min(length, _CHUNK))
            length -= len(part)
            yield part

    def _take(self, count: int) -> bytes:
        data = self.file.read(count)
        self._offset += len(data)
        if len(data) < count:
            raise BitstreamError("the stream ends inside a unit")
        return data


def index_payload(keys: Iterable[tuple[int, int]]) -> bytes:
    """Returns the payload of an INDEX unit from (frame, byte offset) of every KEY unit."""
    payload = b""
    frame = offset = 0
    for key_frame, key_offset in keys:
        payload += varint(key_frame - frame) + varint(key_offset - offset)
        frame, offset = key_frame, key_offset
    return payload


def meta_payload(record: dict[str, Any]) -> bytes:
    """Returns the payload of a META unit: compact JSON."""
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return text.encode(errors="backslashreplace")  # half a surrogate pair, as JSON escapes it


def key_unit(unit: Unit) -> KeyUnit:
    """Returns the content of a KEY unit. Raises BitstreamError: when it is malformed."""
    if len(unit.payload) < 2:
        raise BitstreamError("a key unit is too short", unit.offset)
    return KeyUnit(unit.frame, unit.payload[0], unit.payload[1], unit.payload[2:])


def meta_record(unit: Unit) -> dict[str, Any]:
    """Returns the JSON object in a META unit; BitstreamError: it holds none."""
    try:
        record = json.loads(unit.payload)
    except (ValueError, RecursionError) as error:
        raise BitstreamError("a meta unit holds no JSON", unit.offset) from error
    if not isinstance(record, dict):
        raise BitstreamError("a meta unit holds no JSON object", unit.offset)
    return record
