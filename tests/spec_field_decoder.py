"""A decoder of FIELD units written from SPEC.md section 6 and FIELD.md alone, in Python integers.

It shares nothing with the package but the numbers in field_tables.json.
"""

import itertools
import json
import math
import zlib
from pathlib import Path
from typing import NamedTuple

from spec_decoder import crc8

STREAM = Path(__file__).parents[1] / "hvc_jax" / "stream"
TABLES = json.loads((STREAM / "field_tables.json").read_text())
BLOCKS = {
    "header": (8,),
    "mode": (3, 2),
    "kind_used": (4, 2),
    "first": (4, 7, 3),
    "more": (4, 11, 5),
    "significant": (4, 20),
    "sign": (4, 3, 3, 2),
    "above_one": (2, 20),
    "above": (4, 5),
}
GROUP_BEGINS = (0, 1, 2, 3, 4, 5, 7, 9, 12, 16, 24)
PATH, BRIDGE, CORRECTION, BLEND = range(4)
BOTH, PAST, FUTURE = range(3)
Key = int | None  # the frame that a key picture shows, or none
Plane = list[list[int]]


class Refused(ValueError):
    """What the text calls an error."""


class Field(NamedTuple):
    """Levels by (segment, kind, frequency, component), a mode for every frame."""

    step: int
    modes: list[int]
    planes: dict[tuple[int, int, int, int], Plane]


class Unit(NamedTuple):
    """A FIELD payload: pictures are (frame, bytes)."""

    first: int
    count: int
    pictures: list[tuple[int, bytes]]
    grid: int
    step: int
    field: bytes
    predicted: bool = False


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and the position behind it."""
    value = 0
    for n in range(5):
        if at + n >= len(data):
            raise Refused("cut off")
        byte = data[at + n]
        value |= (byte & 127) << 7 * n
        if byte < 128:
            if value >= 2**32 or (n and not byte):
                raise Refused("not a varint")
            return value, at + n + 1
    raise Refused("a long varint")


def read_unit(payload: bytes, first: int) -> Unit:
    """SPEC.md, section 6."""
    count, at = varint(payload, 0)
    number, at = varint(payload, at)
    if count + 1 > 256 or number > 256:
        raise Refused("too many")
    pictures: list[tuple[int, bytes]] = []
    for _ in range(number):
        offset, at = varint(payload, at)
        length, at = varint(payload, at)
        if offset > 4096 or at + length > len(payload):
            raise Refused("a picture")
        if any(frame == first + offset for frame, _ in pictures):
            raise Refused("shown twice")
        pictures.append((first + offset, payload[at : at + length]))
        at += length
    if at >= len(payload) or payload[at] % 128 >> 4 > 3:
        raise Refused("no grid")
    predicted, rest = divmod(payload[at], 128)
    grid, step = divmod(rest, 16)
    return Unit(first, count + 1, pictures, grid, step, payload[at + 1 :], bool(predicted))


def control_points(grid: int, height: int, width: int) -> tuple[int, int]:
    """Rows and columns."""
    short, long = sorted((height, width))
    least = (8, 16, 4, 12)[grid]
    twice, rest = divmod(least * long, short)
    most = twice + (2 * rest > short or (2 * rest == short and twice % 2 == 1))
    most = min(most, 4 * least)
    return (least, most) if height <= width else (most, least)


def keys_of_frames(unit: Unit, earlier: list[int]) -> list[tuple[Key, Key]]:
    """Past and future key of the unit's frames that no picture shows.

    `earlier` are the frames that pictures of the same segment before this unit show.
    """
    shown = [*earlier, *(frame for frame, _ in unit.pictures)]
    found = []
    for frame in range(unit.first, unit.first + unit.count):
        if frame not in shown:
            before = [key for key in shown if key < frame]
            after = [key for key in shown if key > frame]
            found.append((max(before, default=None), min(after, default=None)))
    return found


class Bits:
    """Section 1."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.range, self.count = data, 6, 2**48, 0
        self.value = int.from_bytes(data[:6].ljust(6, b"\0"), "big")
        assert len(TABLES["zero"]) == sum(math.prod(shape) for shape in BLOCKS.values())
        self.contexts = [list(pair) for pair in zip(TABLES["zero"], TABLES["count"], strict=True)]
        ends = itertools.accumulate((math.prod(shape) for shape in BLOCKS.values()), initial=0)
        self.begins = dict(zip(BLOCKS, ends, strict=False))

    def _read(self, p: int) -> int:
        self.count += 1
        if self.count > 2**19:
            raise Refused("too many bits")
        bound = self.range // 65536 * p
        bit = int(self.value >= bound)
        if bit:
            self.value -= bound
            self.range -= bound
        else:
            self.range = bound
        while self.range < 2**40:
            self.range *= 256
            self.value *= 256
            if self.at < len(self.data):
                self.value += self.data[self.at]
            self.at += 1
        return bit

    def plain(self, bits: int = 1) -> int:
        """A number of so many plain bits."""
        value = 0
        for _ in range(bits):
            value = 2 * value + self._read(32768)
        return value

    def bit(self, block: str, *index: int) -> int:
        """A bit with the context block[index]."""
        place = 0
        for size, i in zip(BLOCKS[block], index, strict=True):
            assert 0 <= i < size
            place = place * size + i
        context = self.contexts[self.begins[block] + place]
        p, n = context
        bit = self._read(p)
        s = 65536 // (n + 2)
        p = max(64, p - p * s // 65536) if bit else min(65472, p + (65536 - p) * s // 65536)
        context[:] = p, min(62, n + 1)
        return bit

    def end(self) -> None:
        """Nothing may be left."""
        if self.at < len(self.data):
            raise Refused("bytes are left")


def temporal_band(kind: int, k: int, m: int) -> int:
    """Section 2."""
    if kind in (PATH, CORRECTION):
        return (32 * (2 * k + 1) // (2 * m + 1)).bit_length()
    return 1 + (16 * k // (m + 1)).bit_length() if k else 0


class FieldDecoder:
    """Sections 2 and 3 for one payload: `keys` are past and future key of every frame."""

    def __init__(
        self, data: bytes, rows: int, columns: int, default: int, keys: list[tuple[Key, Key]]
    ) -> None:
        self.bits, self.rows, self.columns, self.step = Bits(data), rows, columns, default
        runs = [(pair, len(list(run))) for pair, run in itertools.groupby(keys)]
        self.segments = [(None not in pair, m) for pair, m in runs]
        self.modes = [BOTH] * len(keys)
        self.planes: dict[tuple[int, int, int, int], Plane] = {}
        self.extents: dict[tuple[int, int, int, int], int] = {}
        self.groups: list[list[tuple[int, int]]] = []
        for begin, end in itertools.pairwise((*GROUP_BEGINS, rows + columns)):
            diagonals = range(begin, min(end, rows + columns))
            places = [
                (y, d - y) for d in diagonals for y in range(d + 1) if y < rows and d - y < columns
            ]
            if places:
                self.groups.append(places)

    def decode(self) -> Field:
        """The field."""
        bits = self.bits
        for segment, (two, m) in enumerate(self.segments):
            for kind in (BRIDGE, CORRECTION, BLEND) if two else (PATH,):
                for k in range(m + (kind == BRIDGE)):
                    for c in range(1 if kind == BLEND else 2):
                        self.planes[segment, kind, k, c] = self._zeros()
        if not bits.bit("header", 0):
            bits.end()
            return Field(self.step, self.modes, self.planes)
        if bits.bit("header", 1):
            self.step = bits.plain(4)
        at, used_before = 0, [0] * 4
        for segment, (two, m) in enumerate(self.segments):
            if two and bits.bit("header", 2):
                for frame in range(at, at + m):
                    before = self.modes[frame - 1] if frame > at else BOTH
                    if bits.bit("mode", before, 0):
                        self.modes[frame] = FUTURE if bits.bit("mode", before, 1) else PAST
            at += m
            used = [0] * 4
            for kind in (BRIDGE, CORRECTION, BLEND) if two else (PATH,):
                used[kind] = bits.bit("kind_used", kind, used_before[kind])
                for key in self.planes if used[kind] else ():
                    if key[:2] == (segment, kind):
                        self._plane(key, temporal_band(kind, key[2], m))
            used_before = used
        bits.end()
        return Field(self.step, self.modes, self.planes)

    def _zeros(self) -> Plane:
        return [[0] * self.columns for _ in range(self.rows)]

    def _plane(self, key: tuple[int, int, int, int], band: int) -> None:
        segment, kind, k, c = key
        lower, lower_2 = (segment, kind, k - 1, c), (segment, kind, k - 2, c)
        other = (segment, kind, k - 1 + c, 1 - c)
        before = (segment - 1, kind, k, c)
        extents = [self.extents.get(name, 0) for name in (lower, other)]
        extent = self.bits.bit("first", kind, band, sum(e > 0 for e in extents))
        if extent:
            while extent < len(self.groups) and self.bits.bit(
                "more", kind, extent, min(max(max(extents) - extent + 2, 0), 4)
            ):
                extent += 1
        self.extents[key] = extent
        plane = self.planes[key]
        neighbours = [self.planes.get(n, self._zeros()) for n in (lower, lower_2, other, before)]
        for group in range(extent):
            score = TABLES["place"][kind][band][group]
            score += TABLES["coarseness"][kind] * (self.step - 4)
            for y, x in self.groups[group]:
                self._level(kind, plane, neighbours, y, x, score)

    def _size(self, plane: Plane, y: int, x: int) -> int:
        inside = 0 <= y < self.rows and 0 <= x < self.columns
        return min(abs(plane[y][x]), 2) if inside else 0

    def _around(self, plane: Plane, y: int, x: int) -> int:
        places = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        return sum(self._size(plane, *place) for place in places)

    def _level(
        self, kind: int, plane: Plane, near: list[Plane], y: int, x: int, score: int
    ) -> None:
        lower, lower_2, other, before = near
        size, around, bits = self._size, self._around, self.bits
        beside = size(plane, y - 1, x) + size(plane, y, x - 1)
        further = size(plane, y - 1, x - 1) + size(plane, y - 2, x)
        further += size(plane, y, x - 2) + size(plane, y - 1, x + 1)
        terms = (
            beside,
            further,
            size(lower, y, x),
            around(lower, y, x),
            size(lower_2, y, x),
            size(other, y, x),
            around(other, y, x),
            size(before, y, x),
            around(before, y, x),
        )
        score += sum(w * t for w, t in zip(TABLES["weights"][kind], terms, strict=True))
        bucket = min(max((score + 112) // 8, 0), 19)
        if not bits.bit("significant", kind, bucket):
            return
        m = 1
        if bits.bit("above_one", int(kind == BLEND), bucket):
            m = 2
            while m < 15 and bits.bit("above", min(m - 2, 3), bucket // 4):
                m += 1
            if m == 15:
                count = 0
                while bits.plain():
                    count += 1
                    if count > 9:
                        raise Refused("a long number")
                m += 2**count + bits.plain(count) - 1
                if m > 1023:
                    raise Refused("a large level")
        signs = [(s > 0) - (s < 0) + 1 for s in (lower[y][x], before[y][x])]
        plane[y][x] = -m if bits.bit("sign", kind, *signs, int(y + x == 0)) else m


def split(data: bytes) -> tuple[int, tuple[int, int], list[tuple[int, int, bytes]]]:
    """Variant, (height, width) and units (type, frame, payload) of a stream: SPEC.md, section 1."""
    if data[:5] != b"HVC\x1a\x04":
        raise Refused("another version")
    at, fields = 18, []
    for _ in range(6):
        number, at = varint(data, at)
        fields.append(number)
    at += fields[5] + 1
    for _ in range(2 if data[at - 1] else 0):
        _, at = varint(data, at)
    if zlib.crc32(data[:at]) != int.from_bytes(data[at : at + 4], "little"):
        raise Refused("a checksum")
    at, units = at + 4, []
    motion = field = None  # frame behind the last unit of each kind, and what short ones repeat
    chain = 0
    while at < len(data):
        begin, kind = at, data[at]
        if kind < 128:
            frame, at = varint(data, at + 1)
            length, at = varint(data, at)
            payload, at = data[at : at + length], at + length + 4
            chain = int.from_bytes(data[at - 4 : at], "little")
            if zlib.crc32(data[begin : at - 4]) != chain:
                raise Refused("a checksum")
            packet = kind == 7 and payload[:1] == b"\0"
            if packet and (motion is not None or data[5] == 3):
                form = _behind_pictures(payload)
                field = frame + 1, payload[form : form + 1]
            elif kind == 3:
                word, _ = varint(payload, 0)
                motion, field = (frame + (word >> 1) + 1, (word >> 1) + 1), None
            else:
                motion = field = None
        else:
            at += kind - 126
            if crc8(data[begin : at - 1], chain & 255) != data[at - 1]:
                raise Refused("a checksum")
            chain = zlib.crc32(data[begin:at], chain)
            payload = data[begin + 1 : at - 1]
            if motion is not None and (field is None or motion[0] <= field[0]):
                kind, frame, count = 3, *motion
                motion, payload = (frame + count, count), _varint_of(2 * (count - 1)) + payload
            elif field is not None:
                kind, (frame, form) = 7, field
                field, payload = (frame + 1, form), b"\0\0" + form + payload
            else:
                raise Refused("a short unit")
        units.append((kind, frame, payload))
    return data[5], (fields[1], fields[0]), units


def _behind_pictures(payload: bytes) -> int:
    """Where the grid and the step of a FIELD payload stand."""
    _, at = varint(payload, 0)
    number, at = varint(payload, at)
    for _ in range(number):
        _, at = varint(payload, at)
        length, at = varint(payload, at)
        at += length
    return at


def _varint_of(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def decode(data: bytes) -> list[tuple[Unit, Field]]:
    """The FIELD units of a stream of whole units and what their fields say."""
    _, size, units = split(data)
    shown: list[int] = []
    found = []
    for kind, frame, payload in units:
        if kind == 1:
            shown = [frame]
        elif kind == 7:
            unit = read_unit(payload, frame)
            keys = keys_of_frames(unit, shown)
            grid = control_points(unit.grid, *size)
            field = FieldDecoder(unit.field, *grid, unit.step, keys).decode()
            found.append((unit, field))
            shown += [picture for picture, _ in unit.pictures]
    return found
