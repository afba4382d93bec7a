"""A decoder of hvc streams written from SPEC.md alone: one number at a time, in Python integers.

It shares nothing with the package but the file of default tables and the names of the joints.
"""

import json
import math
import struct
import zlib
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1] / "hvc_jax"
EXTRA = [0] * 9 + [1 + j // 2 for j in range(20)] + [33]
FIRST = [sum(1 << bits for bits in EXTRA[:k]) for k in range(30)]
MOST = 2**31 - 1


def crc8(data: bytes, value: int) -> int:
    """CRC-8, bit by bit."""
    for byte in data:
        for bit in range(7, -1, -1):
            carry = value >> 7 ^ byte >> bit & 1
            value = (value << 1 & 0xFF) ^ (7 if carry else 0)
    return value


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and the position behind it."""
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


class RangeDecoder:
    """Section 3."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 8
        self.lower, self.width = 0, 2**64 - 1
        self.point = int.from_bytes(data[:8].ljust(8, b"\0"), "big")

    def _code(self, bounds: list[int]) -> int:
        u = self.width >> 24
        value = (self.point - self.lower) % 2**64 // u
        i = next(k for k in range(len(bounds) - 1) if bounds[k] <= value < bounds[k + 1])
        self.lower = (self.lower + u * bounds[i]) % 2**64
        self.width = u * (bounds[i + 1] - bounds[i])
        if self.width < 2**32:
            word = int.from_bytes(self.data[self.at : self.at + 4].ljust(4, b"\0"), "big")
            self.at += 4
            self.width <<= 32
            self.lower = (self.lower << 32) % 2**64
            self.point = (self.point << 32) % 2**64 | word
        return i

    def symbol(self, row: list[int]) -> int:
        """A symbol with these frequencies."""
        n, total, sums = len(row), sum(row), 0
        bounds = []
        for i, frequency in enumerate(row):
            bounds.append(math.floor(sums * ((2**24 - n) / total)) + i)
            sums += frequency
        return self._code([*bounds, 2**24])

    def bits(self, count: int) -> int:
        """Extra bits."""
        value = 0
        while count:
            take = min(count, 16)
            count -= take
            value = value << take | self._code([i << 24 - take for i in range((1 << take) + 1)])
        return value

    def value(self, token: int) -> int:
        """The number of a token, whose extra bits come next."""
        kind = (token + 1) // 2
        size = FIRST[kind] + self.bits(EXTRA[kind])
        return size if token % 2 else -size


def builtin_schema(name: str) -> tuple[int, list, list]:
    """Section 2: size of the vector, dynamic and static slots (name, position, step)."""
    if name.startswith("token"):
        size = int(name[5:])
        return size, [(f"token_{i}", i, 0.1) for i in range(size)], []
    from hvc_jax.body.params import JOINT_NAMES

    def all_of(joints: Any) -> list[str]:
        return [f"{joint}_{axis}" for joint in joints for axis in "xyz"]

    camera = ["camera_scale", "camera_x", "camera_y"]
    names = [f"betas_{i}" for i in range(10)] + [f"expression_{i}" for i in range(10)]
    names += all_of(JOINT_NAMES) + camera
    upper = "pelvis neck head left_shoulder right_shoulder left_elbow right_elbow".split()
    sent = names[10:20] + all_of(upper if name.startswith("upper31") else JOINT_NAMES[:22])
    sent += camera if name.endswith("+camera") else []
    steps = {"betas": 0.1, "expression": 0.25, "pelvis": 0.03, "camera": 0.006}

    def slots(chosen: list[str]) -> list[tuple[str, int, float]]:
        return [(n, names.index(n), steps.get(n.rsplit("_", 1)[0], 0.05)) for n in chosen]

    return 188, slots(sent), slots([n for n in names if n not in sent])


def builtin_tables(dynamic: list, count: int) -> dict[str, Any]:
    """Section 5."""
    record = json.loads((PACKAGE / "stream" / "default_tables.json").read_text())
    groups = [name.rsplit("_", 1)[0] for name, *_ in dynamic]
    stages = [groups[:i].count(group) % 3 for i, group in enumerate(groups)]
    slots = range(len(dynamic))
    neighbours = [[0] * len(dynamic) for _ in slots]
    for j in slots:
        before = [i for i in slots if stages[i] < stages[j]]
        near = [i for i in before if groups[i] == groups[j] and groups.count(groups[j]) <= 3]
        for i in before:
            neighbours[i][j] = record["everyone"] // len(before)
            neighbours[i][j] += record["sibling"] // len(near) if i in near else 0
    plain = ("token", "expression", "betas")
    return record | {
        "stages": stages,
        "neighbours": neighbours,
        "favourites": [0 if g in plain else record["favourite"] for g in groups],
        "weights": [[w] * len(dynamic) for w in record["weights"]],
        **{name: [record[name]] * len(dynamic) for name in ("floor", "start")},
        "spread": [record["spread"]] * count,
    }


def exported(path: Path) -> tuple[tuple[int, list, list], dict[str, Any]]:
    """Section 5: the schema and tables of an export."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    arrays = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name.startswith("tables/"):
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            code = {"I32": "i", "I64": "q"}[entry["dtype"]]
            flat = list(struct.unpack(f"<{math.prod(entry['shape'])}{code}", data[begin:end]))
            for size in reversed(entry["shape"][1:]):
                flat = [flat[i : i + size] for i in range(0, len(flat), size)]
            arrays[name[7:]] = flat
    schema = json.loads("".join(map(chr, arrays.pop("schema"))))
    parts = [[(n, i, step) for n, i, _, step, _ in schema[k]] for k in ("dynamic", "static")]
    return (schema["size"], *parts), arrays


class Decoder:
    """Section 4 for one stream."""

    def __init__(self, tables: dict[str, Any], quantiser: int, dynamic: int, count: int) -> None:
        self.t, self.q, self.d, self.count = tables, quantiser, dynamic, count
        self.spread = [each * 64 // quantiser * 4096 for each in tables["spread"]]
        self.cost = [[self._mean_cost(row) for row in rows] for rows in tables["frequencies"]]

    @staticmethod
    def _mean_cost(row: list[int]) -> int:
        total = 0
        for token, f in enumerate(row):
            a = f.bit_length() - 1
            total += f * (256 - (16 * a + 16 * f // 2**a - 16) + 16 * EXTRA[(token + 1) // 2])
        return total >> 16

    def table_of(self, scale: int, shift: int = 0) -> int:
        """Number of the table of a scale."""
        return min(max(sum(h < scale for h in self.t["thresholds"]) + shift, 0), 27)

    def static(self, payload: bytes) -> list[int]:
        """Levels of all slots of a key frame; motion starts from them."""
        coder, levels, v = RangeDecoder(payload), [], 4096
        sizes = [self.d, 4, 4, 8, *[16] * self.count]
        for number, size in enumerate(sizes):
            x = self.spread[len(levels) :][:size]
            scales = x if number == 0 else [(each >> 4) + 128 * v for each in x]
            rows = [self.t["frequencies"][self.table_of(s)][0] for s in scales]
            tokens = [coder.symbol(row) for row in rows]
            block = [coder.value(token) for token in tokens]
            levels += block
            if number and block:
                v += (4096 * sum(min(abs(b), 4095) for b in block) // len(block) - v) >> 1
        self.key = levels
        return levels

    def restart(self) -> None:
        """Forgets all but the key frame."""
        self.L, self.diff = list(self.key[: self.d]), [[0] * 8 for _ in range(self.d)]
        self.begin = [each * 64 // self.q for each in self.t["start"]]
        self.m = [[each] * 10 for each in self.begin]
        self.first, self.held = True, [0, 0]

    def motion(self, payload: bytes, count: int, resync: bool) -> list[list[int]]:
        """Levels [count][dynamic]."""
        if resync:
            self.restart()
        if not payload:
            self.first, self.held = False, [*self.held, *[1] * count][-2:]
            return [list(self.L) for _ in range(count)]
        coder, out = RangeDecoder(payload), []
        packet = count == 1 and not self.first
        if resync and coder.symbol(self._flags(0)):
            raise ValueError("the flag in front of a resync is not 0")
        for _ in range(count):
            context = 3 if self.first else sum(self.held)
            hold = 0 if packet else coder.symbol(self._flags(context))
            if not hold:
                self._moving(coder, len(payload) if packet else 0)
            self.first, self.held = False, [self.held[1], hold]
            out.append(list(self.L))
        return out

    def _flags(self, context: int) -> list[int]:
        return [*self.t["hold"][context], *[1] * 57]

    def _moving(self, coder: RangeDecoder, n: int) -> None:
        t, slots = self.t, range(self.d)
        guesses, e, p, phase, s, r = [], *([0] * self.d for _ in range(5))
        for i in slots:
            past = self.diff[i]
            guesses.append([sum(g[j] * past[j] for j in range(8)) for g in t["gains"]])
            if self.first:
                s[i] = self.spread[i]
                continue
            m = self.m[i]
            u = [(15 if k == t["favourites"][i] else 16) * m[k] + 1024 for k in range(6)]
            q = [32 * each // min(u) for each in u]
            trust = [2**42 // each**6 for each in q]
            e[i] = sum(a * b for a, b in zip(trust, guesses[i], strict=True)) // sum(trust)
            p[i] = (e[i] + 128) >> 8
            phase[i] = e[i] - 256 * p[i]
            s[i] = t["floor"][i] + sum(t["weights"][k][i] * m[6 + k] for k in range(4))
        bins = [min(abs(each) >> 5, 3) for each in phase]
        z = 0
        if n:
            mean = [
                sum(self.cost[self.table_of(s[i], shift)][bins[i]] for i in slots)
                for shift in range(-6, 7)
            ]
            misses = [abs(2 * each - mean[6] - 128 * n + 32) for each in mean]
            z = misses.index(min(misses)) - 6
        for stage in sorted(set(t["stages"])):
            here = [i for i in slots if t["stages"][i] == stage]
            before = [i for i in slots if t["stages"][i] < stage]
            tokens = []
            for i in here:
                if not self.first:
                    s[i] += 4096 * sum(t["neighbours"][j][i] * min(abs(r[j]), 4095) for j in before)
                tokens.append(coder.symbol(t["frequencies"][self.table_of(s[i], z)][bins[i]]))
            for i, token in zip(here, tokens, strict=True):
                r[i] = coder.value(token) * (-1 if phase[i] < 0 else 1)
        for i in slots:
            new = min(max(self.L[i] + p[i], -MOST), MOST) + r[i]
            x = new - self.L[i]
            self.L[i] = new
            if self.first:
                self.diff[i], self.m[i] = [0] * 8, [self.begin[i]] * 10
                continue
            off = [*guesses[i], *[e[i]] * 4]
            for k, shift in enumerate([4] * 6 + [1, 3, 5, 7]):
                self.m[i][k] += (
                    16 * min(abs(off[k] - 256 * x), 256 * 4095) - self.m[i][k]
                ) >> shift
            self.diff[i] = [x, *self.diff[i][:7]]


def decode(data: bytes, export: Path | None = None) -> list[list[float]]:
    """The vectors [frames][size] of a stream, as doubles that were rounded to float32."""
    assert data[:4] == b"HVC\x1a" and data[4] == (4 if data[5] in (2, 3) else 3)
    at, fields = 18, []
    for _ in range(6):
        number, at = varint(data, at)
        fields.append(number)
    quantiser, length = fields[4:]
    name, at = data[at : at + length].decode(), at + length
    at += 1
    if data[at - 1]:
        _, at = varint(data, at)
        _, at = varint(data, at)
    assert zlib.crc32(data[:at]) == struct.unpack("<I", data[at : at + 4])[0]
    at += 4
    if export is None:
        schema = builtin_schema(name)
        tables = builtin_tables(schema[1], len(schema[1] + schema[2]))
    else:
        schema, tables = exported(export)
        schema = builtin_schema(name) if name else schema
    size, dynamic, static = schema
    slots = dynamic + static
    decoder, editor = (Decoder(tables, quantiser, len(dynamic), len(slots)) for _ in range(2))
    vectors: list[list[float]] = []
    count = chain = 0
    while at < len(data):
        begin, kind = at, data[at]
        if kind >= 128:
            at += kind - 126
            assert crc8(data[begin : at - 1], chain & 0xFF) == data[at - 1]
            chain = zlib.crc32(data[begin:at], chain)
            groups = [(data[begin + 1 : at - 1], False)]
        else:
            _, at = varint(data, at + 1)
            length, at = varint(data, at)
            payload, at = data[at : at + length], at + length
            chain = struct.unpack("<I", data[at : at + 4])[0]
            assert zlib.crc32(data[begin:at]) == chain
            at += 4
            groups = []
            if kind == 2:
                static = decoder.static(payload)[len(dynamic) :]
                editor.static(payload)
            if kind == 10:
                place, static = 0, list(static)
                while place < len(payload):
                    slot, place = varint(payload, place)
                    folded, place = varint(payload, place)
                    static[slot] = -(folded + 1) // 2 if folded % 2 else folded // 2
            if kind in (3, 8):
                word, start = varint(payload, 0)
                count = (word >> 1) + 1
                groups = [(payload[start:], bool(word & 1))]
        if kind == 8:
            assert groups[0][1]
            del vectors[-count:]  # those of the MOTION unit before it
        for payload, resync in groups:
            for levels in (editor if kind == 8 else decoder).motion(payload, count, resync):
                vector = [0.0] * size
                for (_, place, step), level in zip(slots, [*levels, *static], strict=True):
                    value = level * (step * quantiser / 64)
                    vector[place] = struct.unpack("f", struct.pack("f", value))[0]
                vectors.append(vector)
    return vectors


def sound(data: bytes) -> tuple[int, int, dict[int, bytes]]:
    """Section 7: channels, pre-skip and the packets of a stream by their numbers."""
    at, channels, skip, packets = 18, 0, 0, {}
    for _ in range(6):
        length, at = varint(data, at)
    at += length
    if data[at]:
        _, end = varint(data, at + 1)
        _, end = varint(data, end)
        at = end - 1
    at += 5
    while at < len(data):
        if data[at] >= 128:
            at += data[at] - 126
            continue
        kind = data[at]
        _, at = varint(data, at + 1)
        length, at = varint(data, at)
        payload, at = data[at : at + length], at + length + 4
        if kind == 9:
            number, place = varint(payload, 0)
            channels = payload[place]
            skip, place = varint(payload, place + 1)
            while place < len(payload):
                size, place = varint(payload, place)
                packets[number] = payload[place : place + size]
                number, place = number + 1, place + size
    return channels, skip, packets
