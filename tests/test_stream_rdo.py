"""Choosing levels by rate and distortion: fewer bits, bounded error, the same decoder."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvc_jax.stream.schema import token_schema
from hvc_jax.stream.tables import default_tables
from hvc_jax.stream.vectors import VectorEncoder, encode_vectors

SCHEMA = token_schema(12, 0.1)
TABLES = default_tables(SCHEMA)


def track(seed: int = 0, frames: int = 120) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(size=(frames, 12)) * 0.06, 0).astype(np.float32)


def rate_and_error(vectors: np.ndarray, **options: float) -> tuple[int, float]:
    coded = encode_vectors(SCHEMA, TABLES, vectors, group_frames=500, **options)
    error = np.mean(((coded.reconstructed - vectors) / 0.1) ** 2)
    return 8 * sum(len(group.payload) for group in coded.groups), float(error)


def test_bits_fall_and_error_grows_with_the_weight_of_rate() -> None:
    points = [rate_and_error(track(), rate_weight=w) for w in (0.0, 0.05, 0.1, 0.2)]
    bits, errors = zip(*points, strict=True)
    assert list(bits) == sorted(bits, reverse=True) and list(errors) == sorted(errors)
    assert bits[2] < 0.97 * bits[0] and errors[2] < 1.5 * errors[0]


def test_it_beats_a_coarser_step() -> None:
    """At the error that rate_weight 0.07 makes, plain rounding with larger steps costs more."""
    bits, error = rate_and_error(track(), rate_weight=0.07)
    plain = [rate_and_error(track(), quantiser=q) for q in (64, 68, 72, 80)]
    plain_bits, plain_errors = (np.array(x, float) for x in zip(*plain, strict=True))
    assert bits < np.interp(error, plain_errors, plain_bits)


def test_looking_ahead_saves_bits_and_error() -> None:
    greedy, ahead = (rate_and_error(track(), rate_weight=0.1, search_width=w) for w in (1, 4))
    assert ahead[0] < 0.98 * greedy[0] and ahead[1] < 1.02 * greedy[1]


def test_packets_of_one_frame_take_the_shorter_of_near_ties() -> None:
    def cost(width: int) -> float:
        coded = encode_vectors(
            SCHEMA, TABLES, track(), group_frames=1, rate_weight=0.1, search_width=width
        )
        error = (((coded.reconstructed - track()) / 0.1) ** 2).sum()
        return error + 0.1 * 8 * sum(len(group.payload) for group in coded.groups)

    assert cost(4) < 0.97 * cost(1)


def test_unimportant_numbers_get_fewer_bits() -> None:
    importance = np.where(np.arange(12) < 6, 4.0, 0.25)
    coded = encode_vectors(
        SCHEMA, TABLES, track(), group_frames=500, rate_weight=0.2, importance=importance
    )
    error = (((coded.reconstructed - track()) / 0.1) ** 2).mean(0)
    assert error[:6].max() < error[6:].min()
    with pytest.raises(ValueError):
        VectorEncoder(SCHEMA, TABLES, rate_weight=0.1, importance=np.ones(3))


def test_repeated_frames_stay_repeated_in_the_search() -> None:
    vectors = np.repeat(track(frames=30), 2, 0)
    coded = encode_vectors(SCHEMA, TABLES, vectors, rate_weight=0.1, search_width=4)
    np.testing.assert_array_equal(coded.reconstructed[::2], coded.reconstructed[1::2])


def test_faint_noise_at_the_edge_between_two_levels_is_cheaper() -> None:
    rng = np.random.default_rng(1)
    vectors = (rng.normal(size=(100, 12)) * 0.03 + 0.049).astype(np.float32)
    plain, chosen = (rate_and_error(vectors, rate_weight=w)[0] for w in (0.0, 0.1))
    assert chosen < 0.85 * plain


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([0.01, 0.5, 50.0]), st.integers(1, 9))
def test_any_weight_decodes(seed: int, weight: float, group: int) -> None:
    vectors = track(seed, 12) * 10.0 ** (seed % 9)
    coded = encode_vectors(
        SCHEMA, TABLES, vectors, group_frames=group, rate_weight=weight, search_width=1 + seed % 3
    )
    assert coded.reconstructed.shape == vectors.shape
    np.testing.assert_allclose(coded.reconstructed[0], vectors[0], atol=0.06, rtol=1e-6)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_out_of_range(weight: float) -> None:
    with pytest.raises(ValueError):
        VectorEncoder(SCHEMA, TABLES, rate_weight=weight)
