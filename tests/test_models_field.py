"""Displacement fields: splines, identity, the quadratic model against the real error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.models.motion import field, field_fit
from hvc_jax.ops import bicubic
from hvc_jax.stream.field_layout import planes, segments

_linearise, _errors, _apply = map(jax.jit, (field_fit.linearise, field_fit.errors, field_fit.apply))


@pytest.mark.parametrize(("length", "points"), [(32, 4), (64, 16), (30, 1), (48, 5)])
def test_splines_are_a_partition_of_unity(length: int, points: int) -> None:
    matrix = field.spline_matrix(length, points)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-12)
    assert matrix.min() >= 0


def test_a_coefficient_displaces_by_its_own_value_on_every_grid() -> None:
    for points in (4, 8, 16):
        spread = field.axis_matrix(256, points)
        np.testing.assert_allclose(np.sqrt(np.mean(spread**2, 0)), 1, atol=1e-3)
    np.testing.assert_allclose(field.axis_matrix(256, 8)[:, 0], 1, atol=1e-12)


def _pictures(count: int, side: int = 32) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    waves = [np.sin(x / 3 + k) + np.cos(y / 4 - k) + np.sin((x + y) / 5) for k in range(count)]
    return (128 + 30 * np.stack(waves)[..., None] * [1, 0.8, 0.6]).astype(np.float32)


def test_no_displacement_shows_the_key_pictures() -> None:
    keys = _pictures(2)
    prepared = bicubic.prepare(jnp.asarray(keys))
    references = field.References(jnp.array([0, 0]), jnp.array([1, 1]), jnp.array([30.0, -30.0]))
    points = jnp.zeros((2, 5, 4, 4))
    made = field.warp_blend(prepared, references, field.dense(points, 32, 32), two=True)
    np.testing.assert_allclose(made, keys, atol=1e-3)


def field_problem(two: bool) -> tuple[field_fit.Problem, np.ndarray]:
    past, future = np.zeros(3, int), np.full(3, 1 if two else -1)
    parts = segments(past, future)
    outputs = 5 if two else 2
    synthesis = field.synthesis_matrix(parts, 0.5)[:, :outputs]
    keys = _pictures(2)
    problem = field_fit.Problem(
        bicubic.prepare(jnp.asarray(keys)),
        jnp.asarray(np.roll(keys[:1], 1, 2).repeat(3, 0)),
        jnp.ones((3, 32, 32)),
        field.References(jnp.zeros(3, int), jnp.ones(3, int), jnp.array([1.0, 0.0, -1.0])),
        jnp.zeros((3, outputs, 4, 4)),
        jnp.asarray(synthesis),
        jnp.float32(1.0),
    )
    levels = np.random.default_rng(0).normal(0, 0.5, (len(planes(parts)), 4, 4))
    return problem, levels.astype(np.float32)


@pytest.mark.parametrize("two", [False, True])
def test_the_gradient_is_that_of_the_real_error(two: bool) -> None:
    problem, levels = field_problem(two)
    model = _linearise(problem, jnp.asarray(levels))
    np.testing.assert_allclose(model.error, _errors(problem, levels), rtol=1e-4)
    rng = np.random.default_rng(1)
    for _ in range(4):
        way = rng.normal(0, 1, levels.shape).astype(np.float32)
        h = 1e-2
        ahead = _errors(problem, levels + h * way).sum()
        back = _errors(problem, levels - h * way).sum()
        np.testing.assert_allclose(
            2 * np.vdot(model.slope, way), (ahead - back) / (2 * h), rtol=0.02, atol=1.0
        )


def test_the_matrix_is_symmetric_and_has_its_diagonal() -> None:
    problem, levels = field_problem(True)
    moments = _linearise(problem, jnp.asarray(levels)).moments
    rng = np.random.default_rng(2)
    a, b = (jnp.asarray(rng.normal(0, 1, levels.shape), jnp.float32) for _ in range(2))
    left = np.vdot(a, _apply(problem, moments, b))
    np.testing.assert_allclose(left, np.vdot(b, _apply(problem, moments, a)), rtol=1e-3)
    diagonal = field_fit.diagonal(problem, moments, 4, 4)
    for place in [(0, 0, 0), (3, 1, 2), (len(levels) - 1, 3, 0)]:
        unit = jnp.zeros(levels.shape).at[place].set(1.0)
        applied = _apply(problem, moments, unit)
        np.testing.assert_allclose(applied[place], diagonal[place], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("astray", [1e3, np.nan])
def test_a_descent_ends_at_the_best_levels_of_each_segment(astray: float) -> None:
    """The last trial has one bad segment: of that the levels before are kept, of the other it."""
    problem, levels = field_problem(False)
    planes_of = np.arange(len(levels)) % 2  # as if the planes were of two segments
    frames_of = jnp.array([0, 0, 1])
    penalty, rarity = jnp.ones((len(levels), 1, 1)), jnp.full(levels.shape, 40.0)
    trial = np.where(planes_of[:, None, None] == 1, astray, 0.5 * levels).astype(np.float32)
    best = _linearise(problem, jnp.asarray(levels))
    rate = field_fit.log_rate(levels, penalty, rarity)
    cost = field_fit.segment_costs(best.error, rate, frames_of, planes_of, 2)
    cost = cost.at[0].set(np.inf)
    state = field_fit.Descent(jnp.asarray(levels), best, cost, jnp.ones(2), jnp.asarray(trial))
    kept = field_fit.settle(problem, state, frames_of, jnp.asarray(planes_of), penalty, rarity)
    first = planes_of == 0
    np.testing.assert_array_equal(kept[~first], levels[~first])
    if not np.isnan(astray):  # frames see the planes of all segments here, and NaN is in all
        np.testing.assert_array_equal(kept[first], trial[first])
