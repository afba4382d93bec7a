"""Vectors through the coder: exact levels, every grouping, every quantiser, hostile payloads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_cases import waving

from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.schema import builtin_schema, semantic_schema, token_schema
from hvc_jax.stream.tables import default_tables
from hvc_jax.stream.vectors import (
    Group,
    VectorDecoder,
    VectorEncoder,
    decode_vectors,
    encode_vectors,
)

SCHEMA = builtin_schema("upper31+camera")
TABLES = default_tables(SCHEMA)


@pytest.mark.parametrize("group_frames", [1, 7, 4096])
@pytest.mark.parametrize("quantiser", [1, 64, 777])
def test_values_come_back_within_half_a_step(quantiser: int, group_frames: int) -> None:
    rng = np.random.default_rng(0)
    vectors = np.cumsum(rng.normal(size=(20, 188)) * 0.1, 0).astype(np.float32)
    coded = encode_vectors(SCHEMA, TABLES, vectors, quantiser=quantiser, group_frames=group_frames)
    assert coded.reconstructed.dtype == np.float32 and coded.reconstructed.shape == vectors.shape
    for slot in SCHEMA.dynamic:
        step = slot.step * quantiser / 64
        error = np.abs(coded.reconstructed[:, slot.index] - vectors[:, slot.index])
        assert error.max() <= 0.501 * step + 1e-6
    for slot in SCHEMA.static:
        assert len(set(coded.reconstructed[:, slot.index].tolist())) == 1
    again = encode_vectors(
        SCHEMA, TABLES, coded.reconstructed, quantiser=quantiser, group_frames=group_frames
    )
    np.testing.assert_array_equal(again.reconstructed, coded.reconstructed)
    assert [g.payload for g in again.groups] == [g.payload for g in coded.groups]


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.lists(st.integers(-(2**31) + 1, 2**31 - 1), min_size=3, max_size=3),
        min_size=2,
        max_size=6,
    )
)
def test_any_32_bit_level_survives(levels: list[list[int]]) -> None:
    schema = token_schema(3, 1.0)
    tables = default_tables(schema)
    encoder, decoder = VectorEncoder(schema, tables), VectorDecoder(schema, tables)
    static, _ = encoder.key(np.array(levels[0], np.float64))
    group = encoder.group(0, np.array(levels), resync=True)
    decoder.key(static)
    assert decoder.motion_levels(group).tolist() == levels


def test_grouping_changes_the_bytes_but_not_the_values() -> None:
    vectors = waving(SCHEMA, 40)
    coded = {n: encode_vectors(SCHEMA, TABLES, vectors, group_frames=n) for n in (1, 8, 40)}
    for each in coded.values():
        np.testing.assert_array_equal(each.reconstructed, coded[40].reconstructed)
    size = {n: sum(len(g.payload) for g in each.groups) for n, each in coded.items()}
    assert size[40] <= size[8] <= size[1] <= size[40] + 40  # a byte a packet at most
    assert [g.resync for g in coded[8].groups] == [True, False, False, False, False]


def test_key_frame_is_frame_zero_and_free() -> None:
    vectors = waving(SCHEMA, 1)
    coded = encode_vectors(SCHEMA, TABLES, vectors)
    assert len(coded.groups) == 1 and len(coded.groups[0].payload) <= 1


def test_resync_groups_decode_without_the_ones_before() -> None:
    vectors = waving(SCHEMA, 30)
    coded = encode_vectors(SCHEMA, TABLES, vectors, group_frames=5, resync_groups=2)
    assert [g.resync for g in coded.groups] == [True, False] * 3
    decoder = VectorDecoder(SCHEMA, TABLES)
    decoder.key(coded.static)
    np.testing.assert_array_equal(decoder.motion(coded.groups[4]), coded.reconstructed[20:25])
    np.testing.assert_array_equal(decoder.motion(coded.groups[5]), coded.reconstructed[25:])
    with pytest.raises(BitstreamError, match="missing"):
        decoder.motion(coded.groups[3])


def test_encoder_says_what_is_wrong() -> None:
    encoder = VectorEncoder(SCHEMA, TABLES)
    good = np.zeros(188, np.float32)
    with pytest.raises(ValueError, match="key"):
        encoder.push(good)
    for bad in (np.full(188, np.nan), np.full(188, np.inf), np.zeros(31)):
        with pytest.raises(ValueError):
            encoder.key(bad)
    encoder.key(good)
    encoder.push(good)
    with pytest.raises(ValueError, match="flush"):
        encoder.key(good)
    for arguments in ({"quantiser": 0}, {"group_frames": 0}, {"group_frames": 5000}):
        with pytest.raises(ValueError):
            VectorEncoder(SCHEMA, TABLES, **arguments)
    with pytest.raises(ValueError, match="tables"):
        VectorEncoder(semantic_schema("full_body"), TABLES)
    with pytest.raises(BitstreamError):
        VectorDecoder(SCHEMA, TABLES).motion(Group(0, 1, True, b""))


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(1, 8))
def test_hostile_payloads_end_in_numbers_or_in_one_kind_of_error(
    static: bytes, motion: bytes, count: int
) -> None:
    try:
        values = decode_vectors(SCHEMA, TABLES, static, [Group(0, count, True, motion)])
    except BitstreamError:
        return
    assert values.shape == (count, 188) and np.isfinite(values).all()
