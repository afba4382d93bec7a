"""Learning coding tables from parameter tracks; runs when a model is exported, never in a codec.

Predictors are learned in `predictors.py`; the scale of residuals is a non-negative combination of
running means fitted under a Laplace model, min sum log(F w) + |r| / (F w), by the multiplicative
update known from Itakura-Saito matrix factorisation (Fevotte, Bertin and Durrieu, 2009); table
frequencies are smoothed counts. Floats are fine here: the result is rounded to integers and frozen.
Imports no jax.
"""

import dataclasses

import numpy as np

from hvc_jax.stream import tables as t
from hvc_jax.stream.contexts import Followed, MotionContexts, capped, folded
from hvc_jax.stream.predictors import favourites, learned_gains
from hvc_jax.stream.slots import Schema
from hvc_jax.stream.tokens import EXTRA_BITS, NUM_CLASSES, NUM_TOKENS, to_tokens

QUANTISERS = (32, 64, 128)
"""Tables are learned at these scales of the steps together, so that one set serves a rate sweep."""

_ONE = 64
_MAX_FRAMES = 9_000  # more hardly change a table, and fitting stays within seconds
_UNIT = 1 << t.FRACTION_BITS


@dataclasses.dataclass(frozen=True)
class Samples:
    """What one track holds at one quantiser."""

    quantiser: int  # scale of the steps
    levels: np.ndarray  # [1 + n, D] int64 in coding order of slots, frames that hold still left out


def fit_tables(schema: Schema, tracks: list[np.ndarray], *, shared: bool = False) -> t.CodingTables:
    """Returns tables for `schema` learned from `tracks`.

    `tracks`: each [T, size] float vectors of consecutive frames, at least two frames in all;
    `shared`: whether all slots share one set of weights (for generic tables). Raises ValueError:
    when there is nothing to learn from.
    """
    tracks = [np.asarray(track, np.float64) for track in tracks if len(track) > 1]
    if not tracks or not schema.dynamic:
        raise ValueError("fitting tables needs at least one track of two frames")
    # The same share of every track, so that a long one does not decide alone.
    share = min(1.0, _MAX_FRAMES / sum(len(track) for track in tracks))
    used = [track[: max(2, round(len(track) * share))] for track in tracks]
    samples = [_samples(schema, track, quantiser) for quantiser in QUANTISERS for track in used]
    samples = [sample for sample in samples if len(sample.levels) > 1]
    base = _blank(schema) if shared else t.default_tables(schema)
    tables = dataclasses.replace(base, spread=_spread(schema, used))
    if not samples:
        return tables  # nothing ever moves
    levels = [sample.levels for sample in samples]
    gains = learned_gains(levels)
    best = np.zeros(len(schema.dynamic), np.int64)
    best[_order(base)] = favourites(levels, gains)
    best = np.full_like(best, np.bincount(best).argmax()) if shared else best
    tables = dataclasses.replace(tables, gains=gains, favourites=best)
    tables = dataclasses.replace(tables, start=_start(samples, tables, shared))
    tables = _scales(samples, tables, shared)
    return _frequencies(samples, tables)


def fit_generic(schema: Schema, tracks: list[np.ndarray]) -> dict[str, object]:
    """Returns the content of `default_tables.json`: one set of contexts for every slot."""
    tables = fit_tables(schema, tracks, shared=True)
    samples = [_samples(schema, track, q) for q in QUANTISERS for track in tracks]
    *_, sibling, everyone = _common_weights(*_features(samples, tables)[:2])
    return {
        "frequencies": tables.frequencies.tolist(),
        "thresholds": tables.thresholds.tolist(),
        "hold": tables.hold.tolist(),
        "gains": tables.gains.tolist(),
        "favourite": int(tables.favourites[0]),
        "weights": tables.weights[:, 0].tolist(),
        "floor": int(tables.floor[0]),
        "start": int(tables.start[0]),
        "spread": int(_blank(schema).spread[0]),
        "sibling": round(sibling * (1 << t.WEIGHT_BITS)),
        "everyone": round(everyone * (1 << t.WEIGHT_BITS)),
    }


def _samples(schema: Schema, track: np.ndarray, quantiser: int) -> Samples:
    order = np.argsort(t.stage_of_slots([slot.name for slot in schema.dynamic]), kind="stable")
    slots = [schema.dynamic[i] for i in order]
    steps = np.array([slot.step for slot in slots]) * quantiser / _ONE
    levels = np.rint(track[:, [slot.index for slot in slots]] / steps).astype(np.int64)
    moves = (np.diff(levels, axis=0) != 0).any(1)  # frames that hold leave no trace
    return Samples(quantiser, levels[np.concatenate([[True], moves])])


def _follow(samples: list[Samples], tables: t.CodingTables) -> Followed:
    """Returns residuals, phases and running means of all samples, one after the other."""
    contexts = {q: MotionContexts(tables, q, _ONE) for q in {s.quantiser for s in samples}}
    parts = []
    for sample in samples:
        context = contexts[sample.quantiser]
        parts.append(context.follow(context.fresh(sample.levels[0]), sample.levels[1:]))
    return Followed(
        np.concatenate([part.residuals for part in parts]),
        np.concatenate([part.phases for part in parts]),
        np.concatenate([part.means for part in parts], axis=1),
    )


def _start(samples: list[Samples], tables: t.CodingTables, shared: bool) -> np.ndarray:
    """Returns running means [D] to start with: the mean residual at quantiser 1."""
    middle = [sample for sample in samples if sample.quantiser == _ONE] or samples
    mean = np.zeros(len(tables.stages))
    mean[_order(tables)] = capped(_follow(middle, tables).residuals).mean(0)
    mean = np.full_like(mean, mean.mean()) if shared else mean
    return np.rint(mean * _UNIT).astype(np.int64)


def _order(tables: t.CodingTables) -> np.ndarray:
    return np.argsort(tables.stages, kind="stable")


def _scales(samples: list[Samples], tables: t.CodingTables, shared: bool) -> t.CodingTables:
    """Returns the tables with weights, floor and neighbours of the scale fitted."""
    base, magnitude, earlier, average = _features(samples, tables)
    common = _common_weights(base, magnitude)
    means, count = base[1:-2], magnitude.shape[1]
    fitted = np.repeat(common[:, None], count, 1)
    neighbours = sum(m * w for m, w in zip(average, common[-2:], strict=True))
    if not shared:
        for slot in range(count):
            others = np.flatnonzero(earlier[:, slot])
            features = np.concatenate([base[: 1 + len(means), :, slot], magnitude[:, others].T])
            start = np.concatenate([common[: 1 + len(means)], neighbours[others, slot]])
            weights = _laplace_weights(features, magnitude[:, slot], start + 1e-3, 25)
            fitted[: 1 + len(means), slot] = weights[: 1 + len(means)]
            neighbours[others, slot] = weights[1 + len(means) :]
    back = np.argsort(_order(tables))
    fitted, neighbours = fitted[:, back], neighbours[back][:, back]
    one = 1 << t.WEIGHT_BITS
    whole = lambda x: np.rint(np.clip(x, 0, 1 << 12)).astype(np.int64)  # noqa: E731
    return dataclasses.replace(
        tables,
        weights=whole(fitted[1 : 1 + len(means)] * one),
        floor=np.maximum(whole(fitted[0] * 0.02 * one), 1) << t.FRACTION_BITS,
        neighbours=whole(neighbours * one),
        thresholds=_thresholds(),
    )


def _features(
    samples: list[Samples], tables: t.CodingTables
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
    """Returns what scales are made of, all samples together, slots in coding order.

    Returns base [P, n, D]: a constant, the running means, mean magnitude of siblings and of
    everyone coded earlier in the frame; magnitude [n, D] of residuals; earlier [D, D] bool, whether
    the row's slot is coded before the column's; the two averaging matrices [D, D].
    """
    order = _order(tables)
    names, stages = [tables.schema.dynamic[i].name for i in order], tables.stages[order]
    earlier = stages[:, None] < stages[None, :]
    siblings = t.sibling_matrix(names) & earlier
    followed = _follow(samples, tables)
    magnitude = np.minimum(capped(followed.residuals), 300).astype(float)
    means = followed.means / _UNIT
    average = [m / np.maximum(m.sum(0), 1) for m in (siblings, earlier)]
    around = np.stack([magnitude @ m for m in average])
    base = np.concatenate([np.full((1, *magnitude.shape), 0.02), means, around])
    return base, magnitude, earlier, average


def _common_weights(base: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
    """Returns the weights [P] that serve all slots best."""
    flat = base.reshape(len(base), -1)
    pick = slice(None, None, max(1, flat.shape[1] // 150_000))
    return _laplace_weights(flat[:, pick], magnitude.reshape(-1)[pick], np.full(len(base), 0.2))


def _laplace_weights(
    features: np.ndarray, magnitude: np.ndarray, start: np.ndarray, rounds: int = 40
) -> np.ndarray:
    """Returns w [P] >= 0 minimising sum log(w F) + m / (w F) for F [P, n], m [n]."""
    features = features + 1e-4
    w = start.copy()
    for _ in range(rounds):
        scale = np.maximum(w @ features, 1e-4)  # weights of what never moves run to zero
        w *= np.sqrt((features @ (magnitude / scale**2) + 1e-9) / (features @ (1 / scale) + 1e-9))
    return w


def _thresholds() -> np.ndarray:
    edges = np.geomspace(0.008, 60.0, t.SCALES - 1)
    return np.rint(edges * (1 << (t.FRACTION_BITS + t.WEIGHT_BITS))).astype(np.int64)


def _frequencies(samples: list[Samples], tables: t.CodingTables) -> t.CodingTables:
    """Returns the tables with token frequencies counted in the contexts that they define."""
    followed = _follow(samples, tables)
    contexts = MotionContexts(tables, _ONE, _ONE)
    scale = contexts.scale(followed.means) + contexts.around(capped(followed.residuals))
    fold, sign = folded(followed.phases)
    tokens, _ = to_tokens(followed.residuals * sign)
    counts = np.zeros((t.SCALES * t.PHASES, NUM_TOKENS))
    np.add.at(counts, (contexts.rows(scale, fold), tokens), 1)
    counts = counts.reshape(t.SCALES, t.PHASES, NUM_TOKENS)
    # Contexts that were hardly seen keep what is known from before.
    pmf = counts + 100 * tables.frequencies / t.TOTAL
    return dataclasses.replace(tables, frequencies=t.pmf_to_frequencies(pmf))


def _laplace_rows() -> np.ndarray:
    """Returns token probabilities [SCALES, tokens] of Laplace residuals at each table's scale."""
    edges = np.geomspace(0.008, 60.0, t.SCALES - 1)
    ratio = edges[1] / edges[0]
    rows = []
    for scale in [edges[0] / ratio, *edges]:
        mean = scale * np.sqrt(ratio)
        width = np.array([1 << EXTRA_BITS[max(2 * k - 1, 0)] for k in range(NUM_CLASSES)], float)
        begin = np.concatenate([[0], np.cumsum(width)[:-1]]) - 0.5
        tail = np.exp(-np.maximum(begin, 0) / max(mean, 0.02))
        mass = tail - np.concatenate([tail[1:], [0.0]])
        rows.append([mass[0], *(m / 2 for m in mass[1:] for _ in (0, 1))])
    return np.maximum(np.array(rows), 1e-12)


def _spread(schema: Schema, tracks: list[np.ndarray]) -> np.ndarray:
    index = np.array([slot.index for slot in schema.slots])
    steps = np.array([slot.step for slot in schema.slots])
    size = np.mean([np.abs(track[:, index] / steps).mean(0) for track in tracks], axis=0)
    return np.clip(np.rint(size * (1 << t.WEIGHT_BITS)), 16, 1 << 18).astype(np.int64)


def _blank(schema: Schema) -> t.CodingTables:
    """Returns tables to start from where there are none: no prediction, Laplace shapes."""
    names = [slot.name for slot in schema.dynamic]
    count = len(names)
    rows = t.pmf_to_frequencies(_laplace_rows())
    hold = np.array([[0.997, 0.003], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]])
    return t.CodingTables(
        schema=schema,
        frequencies=np.repeat(rows[:, None], t.PHASES, 1),
        thresholds=_thresholds(),
        hold=t.pmf_to_frequencies(hold),
        stages=t.stage_of_slots(names),
        gains=np.zeros((t.PREDICTORS, t.LAGS)),
        favourites=np.zeros(count),
        weights=np.full((len(t.MEAN_SHIFTS), count), 64),
        floor=np.full(count, 1 << 14),
        neighbours=np.zeros((count, count)),
        start=np.full(count, _UNIT // 2),
        spread=np.full(len(schema.slots), 4 << t.WEIGHT_BITS),
    )
