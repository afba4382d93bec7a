"""The parts of a call without networks: packets, key parts, order, loss, bounds."""

import random
import zlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_cases import waving

from hvc_jax.call.arrivals import MOST_WAITING, PATIENCE, Arrivals
from hvc_jax.call.link import MOST_DELAYED, Link
from hvc_jax.call.packets import (
    PART_BYTES,
    Feedback,
    KeyCollector,
    KeyMessage,
    KeyPart,
    Motion,
    pack,
    unpack,
)
from hvc_jax.call.statistics import SECONDS, Latest, Window
from hvc_jax.stream.container import KeyUnit
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import Header
from hvc_jax.stream.levels import Levels
from hvc_jax.stream.schema import builtin_schema
from hvc_jax.stream.sound import AudioGroup
from hvc_jax.stream.tables import default_tables
from hvc_jax.stream.vectors import Group, VectorDecoder, VectorEncoder

SCHEMA = builtin_schema("token6")
TABLES = default_tables(SCHEMA)
MESSAGES = [
    KeyPart(7, 2, 5, b"part"),
    Motion(65535, 2**32 - 1, Group(123456, 1, True, b"coded")),
    Motion(1, 0, Group(0, 1, False, b"")),
    AudioGroup(99, 2, 312, (b"opus", b"more")),
    Feedback(3, True, False, 25, 77),
    Feedback(0, False, True, 0, 2**32 - 1, True),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_packets_round_trip_and_every_damage_is_seen(message) -> None:
    data = pack(message, 0xDEADBEEF)
    assert unpack(data) == (0xDEADBEEF, message)
    for position in range(len(data)):
        for bit in (0, 5):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            assert unpack(bytes(damaged)) is None
        assert unpack(data[:position]) is None


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 9), st.binary(max_size=60))
def test_foreign_packets_are_ignored(kind: int, body: bytes) -> None:
    data = bytes([kind]) + b"\0\0\0\0" + body
    found = unpack(data + zlib.crc32(data).to_bytes(4, "little"))
    if found is not None:
        assert unpack(pack(found[1], found[0])) == found
    assert unpack(body) is None or body  # and nothing is raised


def message(size: int) -> KeyMessage:
    picture = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()
    header = Header("keypoint", 256, 256, Fraction(25), None, bytes(range(8)))
    return KeyMessage(header, b"static", KeyUnit(0, 1, 32, picture))


@pytest.mark.parametrize("size", [0, 100, PART_BYTES, 5 * PART_BYTES + 1])
def test_key_pictures_come_together_in_any_order(size: int) -> None:
    sent = message(size)
    parts = sent.parts(9)
    random.Random(size).shuffle(parts)
    collector = KeyCollector()
    whole = [collector.push(part) for part in [*parts[:1], *parts] if len(parts) > 1]
    whole = whole or [collector.push(parts[0])]
    assert [data for data in whole[:-1] if data] == []
    assert KeyMessage.read(whole[-1]) == sent
    with pytest.raises(ValueError, match="too large"):
        message(256 * PART_BYTES).parts(1)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=100))
def test_key_messages_are_read_or_refused(tail: bytes) -> None:
    try:
        KeyMessage.read(message(3).header.to_bytes() + tail)
    except BitstreamError:
        return


def test_unfinished_keys_do_not_pile_up() -> None:
    collector = KeyCollector()
    for number in range(5000):
        assert collector.push(KeyPart(number, 0, 2, bytes(PART_BYTES))) is None
    assert len(collector._found) <= 5


def motions(count: int, resync_every: int) -> tuple[bytes, list[Motion], np.ndarray]:
    """STATIC payload, packets, and what they decode to where nothing is lost."""
    vectors = waving(SCHEMA, count)
    encoder, levels = VectorEncoder(SCHEMA, TABLES), Levels(SCHEMA)
    static, _ = encoder.key(vectors[0])
    every = levels.of(vectors)[:, : levels.dynamic]
    made = [
        Motion(1, i, encoder.group(i, every[i : i + 1], i % resync_every == 0))
        for i in range(count)
    ]
    return static, made, vectors


def arrivals(static: bytes) -> Arrivals:
    decoder = VectorDecoder(SCHEMA, TABLES)
    decoder.key(static)
    return Arrivals(decoder)


def test_order_is_restored_and_nothing_waits_where_nothing_is_missing() -> None:
    static, packets, vectors = motions(60, 20)
    inbox, got = arrivals(static), []
    for start in range(0, 60, 3):  # each three come in the wrong order, and twice
        for packet in (packets[start + k] for k in (2, 0, 2, 1, 0)):
            now = start * 0.001
            got += inbox.push(packet, now)
    # The call begins with frame 2, which leans on those before; 20 is the next that does not.
    assert [motion.group.frame for motion, _ in got] == list(range(20, 60))
    for motion, latent in got:
        np.testing.assert_array_equal(latent, vectors[motion.group.frame])


@pytest.mark.parametrize("loss", [0.05, 0.2, 0.6])
def test_what_is_shown_after_losses_is_right(loss: float) -> None:
    static, packets, vectors = motions(400, 5)
    inbox, rng, shown = arrivals(static), random.Random(1), []
    came = [number for number in range(400) if rng.random() >= loss]
    for number in came:
        shown += inbox.push(packets[number], number * 0.04)
    for motion, latent in shown:
        np.testing.assert_array_equal(latent, vectors[motion.group.frame])
    frames = [motion.group.frame for motion, _ in shown]
    assert frames == sorted(set(frames))
    assert len(frames) > 400 * (1 - loss) ** 4 / 2
    taken = [number for number in came if number < inbox.received + inbox.lost + came[0]]
    assert inbox.received == len(taken) and len(came) - len(taken) < 5
    assert inbox.lost == taken[-1] - came[0] + 1 - len(taken)
    assert inbox.loss == pytest.approx(loss, abs=0.15)


class QuickDecoder:
    """Stands for a `VectorDecoder` where only order and memory matter."""

    def motion(self, group: Group) -> np.ndarray:
        return np.zeros((1, 1), np.float32)


def test_an_hour_of_packets_is_held_in_bounded_memory() -> None:
    """90,000 frames on a clock of their own; a fifth is lost, and once the numbers jump."""
    inbox, rng, shown = Arrivals(QuickDecoder()), random.Random(2), 0
    for number in range(90_000):
        if rng.random() > 0.2:
            group = Group(number + 500_000 * (number > 88_000), 1, True, b"")
            shown += len(inbox.push(Motion(1, number, group), number / 25))
        assert len(inbox._waiting) <= MOST_WAITING and len(inbox._last) <= 100
    assert shown > 60_000
    window = Window(0.0)
    for number in range(90_000):
        window.add(1.0, number / 25)
    assert window.rate(90_000 / 25) == pytest.approx(25, rel=0.05)
    assert len(window._items) <= 2000


def test_a_packet_is_waited_for_a_little_only() -> None:
    static, packets, _ = motions(10, 3)
    inbox = arrivals(static)
    assert len(inbox.push(packets[0], 0.0)) == 1
    assert inbox.push(packets[2], 0.01) == [] and not inbox.broken
    assert inbox.push(packets[3], 0.02) == []
    late = inbox.poll(0.03 + PATIENCE)
    assert [motion.group.frame for motion, _ in late] == [3] and not inbox.broken
    assert inbox.lost == 1 and inbox.push(packets[1], 0.2) == []


def test_the_link_loses_and_delays_what_it_is_told_to() -> None:
    out, into = Link(seed=3), Link()
    try:
        out.loss, came = 0.2, []
        for number in range(500):
            out.send(number.to_bytes(2, "little"), into.address)
            while number % 50 == 49 and (packet := into.receive(0.05)) is not None:
                came.append(int.from_bytes(packet[0], "little"))
        assert came == sorted(came) and 350 < len(came) < 450
        assert out.packets == 500 and out.bytes == 500 * 30
        out.loss, out.jitter = 0.0, 60.0
        for _ in range(2 * MOST_DELAYED):
            out.send(b"x", into.address)
        assert len(out._delayed) <= MOST_DELAYED
    finally:
        out.close(), into.close()
    assert into.receive(0.01) is None  # closed: nothing comes, nothing is raised


def test_the_latest_item_replaces_one_that_waits() -> None:
    place: Latest[int] = Latest()
    for number in range(5):
        place.put(number)
    assert place.take(0) == 4 and place.take(0) is None


def test_windows_forget() -> None:
    window = Window(100.0)
    window.add(3.0, 100.0)
    window.add(5.0, 103.0)
    assert list(window.amounts(103.5)) == [3.0, 5.0]
    assert list(window.amounts(100.5 + SECONDS)) == [5.0]
