"""Payloads of displacement fields: round trips, the price of nothing, hostile bytes, transforms."""

import numpy as np
import pytest

from hvc_jax.stream import binary_coder, field_contexts, field_layout
from hvc_jax.stream.binary_coder import BinaryDecoder, BinaryEncoder, Contexts, TooManyBits
from hvc_jax.stream.field import STEPS, FieldLevels, decode_levels, encode_levels, level_costs

GROUPS = {
    "between keys": ([0] * 7 + [1] * 3, [1] * 7 + [2] * 3),
    "one frame": ([0], [-1]),
    "past only": ([0] * 9, [-1] * 9),
    "future only": ([-1] * 3, [0] * 3),
    "mixed": ([-1] * 2 + [0] * 5 + [1] * 4, [0] * 2 + [1] * 5 + [-1] * 4),
}


def _levels(name: str, density: float, rows: int = 8, columns: int = 8, seed: int = 0):
    rng = np.random.default_rng(seed)
    parts = field_layout.segments(*GROUPS[name])
    shape = (len(field_layout.planes(parts)), rows, columns)
    sizes = np.clip(np.round(rng.standard_t(1.5, shape) * 3), -1023, 1023)
    modes = rng.integers(0, 3, len(GROUPS[name][0])) * (density > 0)
    for part in parts:
        if not (part.past and part.future):
            modes[part.start : part.start + part.length] = 0
    levels = (sizes * (rng.random(shape) < density)).astype(np.int32)
    return parts, FieldLevels(levels, modes.astype(np.uint8), int(rng.integers(16)))


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("density", [0.01, 0.2, 1.0])
@pytest.mark.parametrize("grid", [(8, 8), (16, 16), (3, 5), (1, 1)])
def test_levels_come_back(name: str, density: float, grid: tuple[int, int]) -> None:
    parts, value = _levels(name, density, *grid)
    found = decode_levels(encode_levels(parts, value), parts, *grid)
    np.testing.assert_array_equal(found.levels, value.levels)
    np.testing.assert_array_equal(found.modes, value.modes)
    if value.levels.any() or value.modes.any():
        assert found.step == value.step


@pytest.mark.parametrize("name", GROUPS)
def test_nothing_costs_nothing(name: str) -> None:
    parts, value = _levels(name, 0)
    assert encode_levels(parts, value) == b""


def test_a_short_level_costs_less_than_its_escape_and_the_largest_is_allowed() -> None:
    parts, value = _levels("one frame", 0)
    sizes = []
    for level in (1, -1, 14, 15, 16, 1023, -1023):
        value.levels[0, 0, 0] = level
        data = encode_levels(parts, value)
        assert decode_levels(data, parts, 8, 8).levels[0, 0, 0] == level
        sizes.append(len(data))
    assert max(sizes[:2]) <= 3 < min(sizes[-2:]) and max(sizes) <= 6
    value.levels[0, 0, 0] = 1024
    with pytest.raises(ValueError, match="1023"):
        encode_levels(parts, value)


def test_hostile_bytes_end_or_raise() -> None:
    rng = np.random.default_rng(3)
    for name in GROUPS:
        parts = field_layout.segments(*GROUPS[name])
        for size in (1, 2, 7, 60, 900):
            for fill in (None, 0xFF):
                data = rng.bytes(size) if fill is None else bytes([fill] * size)
                try:
                    found = decode_levels(data, parts, 8, 8)
                except ValueError:
                    continue
                assert np.abs(found.levels).max() <= field_contexts.MAX_LEVEL


def test_bytes_left_over_are_an_error() -> None:
    parts, value = _levels("between keys", 0.05)
    with pytest.raises(ValueError, match="left"):
        decode_levels(encode_levels(parts, value) + b"12345678", parts, 8, 8)


def test_costs_are_near_what_the_coder_writes() -> None:
    parts, value = _levels("between keys", 0.05, 16, 16)
    value = FieldLevels(np.sign(value.levels), value.modes * 0, 8)
    costs = level_costs(parts, value)
    expected = np.where(value.levels == 0, costs[0], costs[1]).sum() / 8
    assert abs(len(encode_levels(parts, value)) / expected - 1) < 0.4


def test_time_transforms_are_orthonormal() -> None:
    for n in (1, 2, 7, 16):
        np.testing.assert_allclose(
            field_layout.sines(n) @ field_layout.sines(n).T, np.eye(n), atol=1e-12
        )
        np.testing.assert_allclose(
            field_layout.cosines(n) @ field_layout.cosines(n).T, np.eye(n), atol=1e-12
        )
    into_past, into_future = field_layout.bridge(7)
    energy = (into_past @ into_past.T + into_future @ into_future.T) / 2
    np.testing.assert_allclose(np.diag(energy), 1, atol=1e-12)
    np.testing.assert_allclose(into_past[1:] @ into_past[1:].T, np.eye(7), atol=1e-12)


def test_fields_vanish_towards_their_keys() -> None:
    """A ramp moves evenly and spans the motion between the keys."""
    past, future = field_layout.bridge(7)
    np.testing.assert_allclose(np.diff(past[0]), past[0][0])
    np.testing.assert_allclose(past[0] - future[0], past[0][0] * 8)


def test_every_frame_needs_a_key() -> None:
    with pytest.raises(ValueError, match="frame 1"):
        field_layout.segments([0, -1], [-1, -1])


def test_within_plane_features_are_those_of_the_scan() -> None:
    magnitudes = np.random.default_rng(4).integers(0, 3, (5, 6))
    near, far = field_contexts.within_plane(magnitudes)
    padded = np.pad(magnitudes, 2)
    done = np.zeros_like(padded)
    for group in field_contexts.scan(5, 6):
        for y, x in group:
            here = done[y : y + 5, x : x + 5]
            assert near[y, x] == here[1, 2] + here[2, 1]
            assert far[y, x] == here[1, 1] + here[0, 2] + here[2, 0] + here[1, 3]
            done[y + 2, x + 2] = padded[y + 2, x + 2]


def test_binary_coder_returns_bits_and_nears_their_entropy() -> None:
    rng = np.random.default_rng(5)
    bits = (rng.random(20000) < 0.05).astype(int).tolist()
    encoder = BinaryEncoder(Contexts([32768], [0]))
    for bit in bits:
        encoder.bit(0, bit)
    data = encoder.finish()
    entropy = 20000 * -(0.05 * np.log2(0.05) + 0.95 * np.log2(0.95)) / 8
    assert len(data) < 1.05 * entropy
    decoder = BinaryDecoder(Contexts([32768], [0]), data)
    assert [decoder.bit(0) for _ in bits] == bits
    decoder.finish()


def test_binary_coder_carries() -> None:
    """Unlikely bits at the end of long runs make every kind of carry."""
    rng = np.random.default_rng(6)
    for _ in range(300):
        bits = rng.integers(0, 2, rng.integers(1, 60)).tolist()
        encoder = BinaryEncoder(Contexts([65472, 64], [62, 62]))
        for i, bit in enumerate(bits):
            encoder.bit(i % 2, bit)
        decoder = BinaryDecoder(Contexts([65472, 64], [62, 62]), encoder.finish())
        assert [decoder.bit(i % 2) for i in range(len(bits))] == bits
        decoder.finish()


def test_a_payload_has_so_many_bits_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Likely bits cost next to no byte, so that only a count limits the time of a payload."""
    parts, value = _levels("between keys", 0)
    value.levels[:, -1, -1] = 1  # every level before is coded, nearly all of them zeros
    data = encode_levels(parts, value)
    assert 8 * len(data) < value.levels.size / 2
    decode_levels(data, parts, 8, 8)
    monkeypatch.setattr(binary_coder, "MAX_BITS", value.levels.size)
    with pytest.raises(TooManyBits):
        decode_levels(data, parts, 8, 8)
    with pytest.raises(TooManyBits):
        encode_levels(parts, value)


def test_steps_double_every_fourth() -> None:
    np.testing.assert_allclose(np.array(STEPS[4:]) / STEPS[:-4], 2)
