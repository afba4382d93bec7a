"""The contexts against a slow reader written from the format specification alone."""

import numpy as np
import pytest
from stream_cases import waving

from hvc_jax.bitstream.payloads import MotionCoder
from hvc_jax.bitstream.schema import builtin_schema, semantic_schema, token_schema
from hvc_jax.bitstream.streams import encode_vectors
from hvc_jax.entropy.coder import SymbolDecoder
from hvc_jax.entropy.tables import PREDICTORS, CodingTables, default_tables, fit_tables
from hvc_jax.entropy.tokens import EXTRA_BITS, from_tokens


def slow_decode(
    tables: CodingTables, quantiser: int, key: list[int], payload: bytes, count: int
) -> list[list[int]]:
    """SPEC.md section 4, one number at a time, in Python integers."""
    decoder, slots = SymbolDecoder(payload), range(len(tables.stages))
    frequencies, thresholds = tables.frequencies, tables.thresholds.tolist()
    gains, favourites = tables.gains.tolist(), tables.favourites.tolist()
    last, d = list(key), [[0] * 8 for _ in slots]
    start = [int(tables.start[i]) * 64 // quantiser for i in slots]
    m = [[start[i]] * 10 for i in slots]
    fresh, held, out = True, [0, 0], []

    def flag_of(context: int) -> int:
        row = np.ones(59)
        row[:2] = tables.hold[context]
        return int(decoder.symbols(row[None])[0])

    choice = [decoder.bits(3) for _ in slots] if flag_of(0) else [0 for _ in slots]
    for _ in range(count):
        flag = flag_of(3 if fresh else sum(held))
        if not flag:
            r, p, sign, bins, scale, e = ([0] * len(slots) for _ in range(6))
            guesses = [[sum(g[j] * d[i][j] for j in range(8)) for g in gains] for i in slots]
            for i in slots:
                if fresh:
                    scale[i] = int(tables.spread[i]) * 64 // quantiser * 4096
                else:
                    u = [m[i][k] * (16 - (k == favourites[i])) + 1024 for k in range(6)]
                    u = [1024 if k == choice[i] - 1 else each for k, each in enumerate(u)]
                    t = [2**42 // (32 * each // min(u)) ** 6 for each in u]
                    e[i] = sum(a * b for a, b in zip(t, guesses[i], strict=True)) // sum(t)
                    p[i] = (e[i] + 128) >> 8
                    phase = e[i] - 256 * p[i]
                    p[i] = min(max(last[i] + p[i], -(2**31) + 1), 2**31 - 1) - last[i]
                    bins[i], sign[i] = min(abs(phase) >> 5, 3), -1 if phase < 0 else 1
                    scale[i] = int(tables.floor[i]) + sum(
                        int(tables.weights[k, i]) * m[i][6 + k] for k in range(4)
                    )
            for stage in range(max(tables.stages) + 1):
                here = [i for i in slots if tables.stages[i] == stage]
                tokens = []
                for i in here:
                    s = scale[i]
                    if not fresh:
                        s += 4096 * sum(
                            int(tables.neighbours[j, i]) * min(abs(r[j]), 4095)
                            for j in slots
                            if tables.stages[j] < stage
                        )
                    row = frequencies[sum(x < s for x in thresholds), bins[i]]
                    tokens.append(int(decoder.symbols(row[None])[0]))
                for i, token in zip(here, tokens, strict=True):
                    value = int(from_tokens(np.array(token), decoder.bits(EXTRA_BITS[token])))
                    r[i] = value * (sign[i] or 1)
            for i in slots:
                new = last[i] + p[i] + r[i]
                if fresh:
                    d[i], m[i] = [0] * 8, [start[i]] * 10
                else:
                    x = new - last[i]
                    misses = [16 * min(abs(g - 256 * x), 256 * 4095) for g in guesses[i]]
                    misses += [16 * min(abs(e[i] - 256 * x), 256 * 4095)] * 4
                    shifts = [4] * 6 + [1, 3, 5, 7]
                    m[i] = [
                        v + ((miss - v) >> k)
                        for v, miss, k in zip(m[i], misses, shifts, strict=True)
                    ]
                    d[i] = [x, *d[i][:7]]
                last[i] = new
        fresh, held = False, [held[1], flag]
        out.append(list(last))
    return out


def fitted(name: str) -> CodingTables:
    schema = builtin_schema(name)
    rng = np.random.default_rng(5)
    return fit_tables(schema, [np.cumsum(rng.normal(size=(60, schema.size)) * 0.1, 0)])


@pytest.mark.parametrize("quantiser", [64, 40, 200])
@pytest.mark.parametrize("name", ["upper31", "token7"])
@pytest.mark.parametrize("fit", [False, True])
def test_streams_read_as_the_specification_says(fit: bool, name: str, quantiser: int) -> None:
    schema = builtin_schema(name)
    tables = fitted(name) if fit else default_tables(schema)
    vectors = waving(schema, 24)
    vectors[9] = vectors[8]  # holds still
    vectors[12, schema.dynamic[0].index] = 900.0  # far out, needs extra bits
    coded = encode_vectors(schema, tables, vectors, quantiser=quantiser, group_frames=99)
    index = [slot.index for slot in schema.dynamic]
    steps = np.array([slot.step for slot in schema.dynamic]) * quantiser / 64
    levels = np.rint(vectors[:, index] / steps).astype(int)
    payload = coded.groups[0].payload
    slow = slow_decode(tables, quantiser, levels[0].tolist(), payload, len(vectors))
    assert slow == levels.tolist()
    coder = MotionCoder(tables, quantiser)
    coder.restart(levels[0])
    payload = coder.encode(levels, np.arange(levels.shape[1]) % (PREDICTORS + 1))
    slow = slow_decode(tables, quantiser, levels[0].tolist(), payload, len(vectors))
    assert slow == levels.tolist()


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
