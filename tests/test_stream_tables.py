"""Integer tables and tokens: exact sums, every integer has a token, fitting beats the generic."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvc_jax.stream.schema import builtin_schema, semantic_schema, token_schema
from hvc_jax.stream.slots import Schema
from hvc_jax.stream.tables import TOTAL, CodingTables, default_tables, pmf_to_frequencies
from hvc_jax.stream.tables_fit import fit_tables
from hvc_jax.stream.tokens import EXTRA_BITS, MAX_VALUE, NUM_TOKENS, read_values, to_tokens
from hvc_jax.stream.vectors import encode_vectors


def test_frequencies_are_whole_positive_and_near_the_pmf() -> None:
    pmf = np.random.default_rng(0).dirichlet(np.full(59, 0.2), (4, 5))
    frequencies = pmf_to_frequencies(pmf)
    assert frequencies.shape == pmf.shape and frequencies.min() >= 1
    assert (frequencies.sum(-1) == TOTAL).all()
    assert np.abs(frequencies / TOTAL - pmf).max() < 60 / TOTAL
    assert pmf_to_frequencies(np.array([1.0, 0.0])).tolist() == [TOTAL - 1, 1]


@settings(deadline=None)
@given(st.lists(st.integers(-MAX_VALUE, MAX_VALUE), min_size=1))
def test_every_integer_has_a_token(values: list[int]) -> None:
    tokens, extra = to_tokens(np.array(values))
    assert ((tokens >= 0) & (tokens < NUM_TOKENS)).all()
    assert all(0 <= e < 1 << EXTRA_BITS[t] for e, t in zip(extra, tokens, strict=True))
    waiting = [e for e, t in zip(extra.tolist(), tokens, strict=True) if EXTRA_BITS[t]]
    assert read_values(tokens, lambda _: waiting.pop(0)).tolist() == values


def test_small_tokens_are_the_integers_themselves() -> None:
    values = np.arange(-8, 9)
    tokens, extra = to_tokens(values)
    assert sorted(tokens.tolist()) == list(range(17)) and not extra.any()
    assert to_tokens(np.array([0, 1, -1]))[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["upper31", "full_body+camera", "token32", "token1"])
def test_default_tables_serve_any_schema(name: str) -> None:
    schema = builtin_schema(name)
    tables = default_tables(schema)
    assert (tables.frequencies.sum(-1) == TOTAL).all()
    assert tables.neighbours.shape == (len(schema.dynamic),) * 2


def test_schema_sizes() -> None:
    assert len(semantic_schema("upper31", camera=False).dynamic) == 31
    assert len(semantic_schema("full_body", camera=True).dynamic) == 10 + 66 + 3
    for name in ("upper31", "upper31+camera", "full_body"):
        schema = builtin_schema(name)
        assert schema.name == name and len(schema.slots) == schema.size == 188
        assert Schema.from_json(schema.to_json()) == schema
    for bad in ("", "lower", "upper31+hands", "token0", "token", "token99999", "token32+camera"):
        with pytest.raises(ValueError):
            builtin_schema(bad)
    with pytest.raises(ValueError):
        token_schema(4, [0.1])
    with pytest.raises(ValueError):
        Schema.from_json('{"name":"x"}')


def test_arrays_round_trip_and_malformed_ones_are_refused() -> None:
    tables = default_tables(token_schema(5))
    arrays = tables.to_arrays()
    assert all(a.dtype in (np.int32, np.int64) for a in arrays.values())
    again = CodingTables.from_arrays(arrays)
    for field in dataclasses.fields(tables):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(tables, field.name))
    bad = {
        "frequencies": arrays["frequencies"] + 1,
        "hold": arrays["hold"] * 0,
        "stages": arrays["stages"] + 99,
        "thresholds": arrays["thresholds"][::-1],
        "weights": arrays["weights"] - 10_000,
        "gains": arrays["gains"] + (1 << 30),
        "start": arrays["start"][:2],
        "schema": arrays["schema"][:9],
    }
    for name, array in bad.items():
        with pytest.raises(ValueError):
            CodingTables.from_arrays(arrays | {name: array})
        with pytest.raises(ValueError):
            CodingTables.from_arrays({k: v for k, v in arrays.items() if k != name})


def test_fitted_tables_beat_the_default_on_their_kind_of_data() -> None:
    rng = np.random.default_rng(3)
    schema = token_schema(6, 0.1)

    def track() -> np.ndarray:
        slow = np.cumsum(rng.normal(size=(150, 3)) * [0.02, 0.2, 2.0], 0)
        return np.concatenate([slow, -slow], 1).astype(np.float32)  # the halves mirror each other

    fitted = fit_tables(schema, [track() for _ in range(8)])
    test = track()

    def size(tables: CodingTables) -> int:
        return len(encode_vectors(schema, tables, test, group_frames=200).groups[0].payload)

    assert size(fitted) < 0.97 * size(default_tables(schema))
    with pytest.raises(ValueError):
        fit_tables(schema, [test[:1]])
    assert fit_tables(schema, [np.zeros((3, 6))]).schema == schema  # nothing ever moves
