"""AUDIO units: what is written comes back, edits leave it, damage is found, old readers skip it."""

import hashlib
import io
from fractions import Fraction
from pathlib import Path

import pytest
import spec_decoder
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_cases import repair, stream

from hvc_jax.stream.conceal import intact_sound, salvage
from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.edit import edit
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.operations import parse_assignment
from hvc_jax.stream.rates import bytes_by_unit
from hvc_jax.stream.schema import builtin_schema
from hvc_jax.stream.sound import AudioGroup, SoundQueue, audio_group, audio_payload
from hvc_jax.stream.tables import default_tables
from hvc_jax.stream.tracks import read_tracks
from hvc_jax.stream.units import Unit, UnitType, unit_bytes

TABLES = default_tables(builtin_schema("token3"))
DATA = stream("token3", 60, keys=(0, 40), group_frames=7, sound=True)
SHORT = stream("token3", 6, group_frames=3, sound=True)
GOLDEN = Path(__file__).parent / "golden" / "sound.hvc"
GOLDEN_HASH = "a4270043c7deeeddc8471e215dc41ed8d3ea40dd3fd146b21407e343521ba4a9"

GROUPS = st.builds(
    AudioGroup,
    st.integers(0, 2**31 - 100),
    st.integers(1, 2),
    st.integers(0, 1 << 16),
    st.lists(st.binary(min_size=1, max_size=1275), max_size=60).map(tuple),
)


def audio(payload: bytes) -> AudioGroup:
    return audio_group(Unit(UnitType.AUDIO, 0, payload, 0, 0))


def kept(data: bytes) -> list[AudioGroup]:
    reader = StreamReader(io.BytesIO(data), keep_sound=True)
    list(reader.units())
    return reader.sound


@settings(deadline=None, max_examples=60)
@given(GROUPS)
def test_groups_round_trip(group: AudioGroup) -> None:
    assert audio(audio_payload(group)) == group


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=80))
def test_any_payload_is_read_or_refused(payload: bytes) -> None:
    try:
        group = audio(payload)
    except BitstreamError:
        return
    assert audio_payload(group) == payload  # nothing has two spellings


@pytest.mark.parametrize(
    "group",
    [
        AudioGroup(0, 3, 312),
        AudioGroup(0, 1, 70_000),
        AudioGroup(0, 1, 0, (b"",)),
        AudioGroup(0, 1, 0, (bytes(1276),)),
        AudioGroup(2**31 - 1, 1, 0, (b"a",)),
        AudioGroup(0, 1, 0, (b"a",) * 4097),
    ],
)
def test_groups_out_of_range_are_refused(group: AudioGroup) -> None:
    with pytest.raises(BitstreamError):
        audio(audio_payload(group))


def test_the_decoder_of_the_specification_reads_the_same() -> None:
    for data in (DATA, SHORT):
        channels, skip, packets = spec_decoder.sound(data)
        groups = kept(data)
        ours = {g.first + i: p for g in groups for i, p in enumerate(g.packets)}
        assert packets == ours and len(packets) == 98
        assert all((g.channels, g.pre_skip) == (channels, skip) == (2, 312) for g in groups)
        assert spec_decoder.decode(data) == spec_decoder.decode(without_sound(data))


def without_sound(data: bytes) -> bytes:
    """The stream as a reader sees it that skips unknown units."""
    reader = StreamReader(io.BytesIO(data))
    units = list(reader.units())
    end = [*units, Unit(0, 0, b"", len(data), 0)]
    pieces = [data[: reader.header_size]]
    for unit, following in zip(end, end[1:], strict=False):
        if unit.type == UnitType.MOTION:  # a short unit cannot lean on one that is gone
            pieces.append(unit_bytes(unit.type, unit.frame, unit.payload))
        elif unit.type not in (UnitType.AUDIO, UnitType.INDEX):
            pieces.append(data[unit.offset : following.offset])
    return b"".join(pieces)


def test_frames_do_not_depend_on_sound() -> None:
    plain = stream("token3", 60, keys=(0, 40), group_frames=7)
    vectors = [read_tracks(data, TABLES).vectors.tobytes() for data in (plain, DATA)]
    assert vectors[0] == vectors[1] and plain[4] == DATA[4] == 3
    sizes = bytes_by_unit(reader := StreamReader(io.BytesIO(DATA)), reader.units())
    assert sum(sizes.values()) == len(DATA) and sizes["AUDIO"] > sum(range(98))


def test_edits_keep_sound() -> None:
    after = edit(DATA, [parse_assignment("token_0+=0.5", 12, 30)], TABLES)
    assert after != DATA and kept(after) == kept(DATA)


def test_a_queue_hands_out_every_packet_once_when_it_is_due() -> None:
    groups = kept(DATA)
    every = [(g.place(i), p) for g in groups for i, p in enumerate(g.packets)]
    queue, got = SoundQueue(list(groups)), []
    for frame in range(1, 61):
        due = list(queue.until(frame / Fraction(25)))
        assert all(place < frame * 1920 for place, _ in due)
        got += due
    assert got == [item for item in every if item[0] < 60 * 1920]
    cut = SoundQueue(list(groups), Fraction(1, 2))
    late = [(place - 24000, p) for place, p in every if place >= 24000 - 312]
    assert list(cut.until(Fraction(100))) == late


def test_find_sound_takes_all_of_a_file_and_goes_on_where_it_was() -> None:
    reader = StreamReader(io.BytesIO(DATA))
    reader.find_sound()
    assert reader.sound == kept(DATA)
    assert len(list(reader.units())) == len(list(StreamReader(io.BytesIO(DATA)).units()))


def test_truncation_and_bit_flips_are_noticed() -> None:
    for length in range(len(SHORT)):
        with pytest.raises(BitstreamError):
            kept(SHORT[:length])
    for position in range(0, len(SHORT), 7):
        data = bytearray(SHORT)
        data[position] ^= 1 << position % 8
        with pytest.raises(BitstreamError):
            read_tracks(bytes(data), TABLES)


@settings(deadline=None, max_examples=100)
@given(st.integers(40, len(DATA) - 1), st.binary(min_size=1, max_size=40))
def test_damage_costs_no_other_sound(place: int, noise: bytes) -> None:
    data = DATA[:place] + noise + DATA[place + len(noise) :]
    repair(data)
    _, units = salvage(io.BytesIO(data))
    groups = intact_sound(list(units))
    assert all(group in kept(DATA) for group in groups)
    assert len(groups) >= len(kept(DATA)) - 2


def test_two_kinds_of_sound_are_refused_and_concealed() -> None:
    other = unit_bytes(UnitType.AUDIO, 0, audio_payload(AudioGroup(99, 1, 312, (b"mono",))))
    start = next(
        u.offset for u in StreamReader(io.BytesIO(SHORT)).units() if u.type == UnitType.KEY
    )
    data = SHORT[:start] + other + SHORT[start:]
    with pytest.raises(BitstreamError, match="channels"):
        kept(data)
    _, units = salvage(io.BytesIO(data))
    assert intact_sound(list(units)) == kept(SHORT)


def test_the_golden_stream_is_what_it_was() -> None:
    data = GOLDEN.read_bytes()
    assert hashlib.sha256(data).hexdigest() == GOLDEN_HASH
    assert stream("token3", 20, group_frames=1, count_known=False, sound=True) == data
