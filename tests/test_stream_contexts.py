"""What contexts make of frames that repeat."""

import numpy as np
from stream_cases import waving

from hvc_jax.stream.schema import semantic_schema, token_schema
from hvc_jax.stream.tables import default_tables
from hvc_jax.stream.vectors import encode_vectors


def test_a_still_clip_costs_next_to_nothing() -> None:
    schema = semantic_schema("full_body")
    vectors = np.repeat(waving(schema, 1), 1000, 0)
    coded = encode_vectors(schema, default_tables(schema), vectors, group_frames=1000)
    assert sum(len(group.payload) for group in coded.groups) <= 1000 * 0.4 / 8


def test_repeated_frames_cost_less_than_a_tenth_of_moving_ones() -> None:
    """A clip shown at twice its frame rate: every frame comes twice."""
    rng = np.random.default_rng(0)
    schema = token_schema(16)
    once = np.cumsum(rng.normal(size=(100, 16)) * 0.1, 0).astype(np.float32)
    tables = default_tables(schema)
    sizes = [
        sum(len(g.payload) for g in encode_vectors(schema, tables, v).groups)
        for v in (once, np.repeat(once, 2, 0))
    ]
    assert sizes[1] < 1.1 * sizes[0]
