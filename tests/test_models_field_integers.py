"""The search over integers: the model's cost falls, until no single change of a level pays."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_models_field import field_problem

from hvc_jax.models.motion import field_fit, field_integers

LMBDA = 2.0

_linearise = jax.jit(field_fit.linearise)
_improve = jax.jit(field_integers.improve, static_argnames="passes")


def _cost(problem, model, levels, costs, change) -> float:
    """Error + LMBDA * bits of `levels + change` on the quadratic model."""
    push = field_fit.apply(problem, model.moments, change)
    error = model.error.sum() + ((2 * model.slope + push) * change).sum()
    return float(error + LMBDA * field_integers.bits_of(levels + change, costs).sum())


@pytest.fixture(scope="module")
def case():
    """A problem, levels with their model and costs, and the search of so many passes."""
    problem, levels = field_problem(two=True)
    levels = jnp.asarray(np.rint(3 * levels))
    costs = jnp.stack([jnp.full(levels.shape, bits) for bits in (0.2, 4.0, 2.0)])
    model, segments = _linearise(problem, levels), jnp.zeros(len(levels), int)
    allowed = jnp.ones(levels.shape, bool).at[0].set(False)
    inputs = problem, model, levels, costs, LMBDA, allowed, segments
    return (problem, model, levels, costs), allowed, partial(_improve, *inputs)


def test_bits_are_those_of_zero_of_one_and_of_doublings() -> None:
    levels, costs = jnp.array([[[0.0, 1.0, -1.0, 4.0]]]), jnp.array([0.5, 3.0, 2.0])
    bits = field_integers.bits_of(levels, costs[:, None, None, None] * jnp.ones((3, 1, 1, 4)))
    np.testing.assert_allclose(bits[0, 0], [0.5, 3, 3, 7], rtol=1e-6)


def test_the_cost_falls_with_every_pass_until_no_single_change_pays(case) -> None:
    (problem, model, levels, costs), allowed, search = case
    found = [search(jnp.zeros(1), passes=n) for n in (0, 1, 2, 4, 8, 16, 400)]
    cost = [_cost(problem, model, levels, costs, each - levels) for each in found]
    assert all(b <= a + 1e-3 * abs(a) for a, b in zip(cost, cost[1:], strict=False)), cost
    assert cost[-1] < 0.7 * cost[0]
    last = found[-1]
    np.testing.assert_array_equal(last, np.rint(last))
    assert not (np.asarray(last)[0] * np.asarray(levels)[0] < 0).any()
    # Where a level may change, it costs as much to change it alone; overshooting is held back by a
    # twentieth of the diagonal, which may be lost.
    curve = field_fit.diagonal(problem, model.moments, *levels.shape[1:])
    for place in np.argwhere(np.asarray(allowed)):
        for step in (1.0, -1.0, -float(last[tuple(place)])):
            change = (last - levels).at[tuple(place)].add(step)
            loss = _cost(problem, model, levels, costs, change) - cost[-1]
            assert loss >= -0.05 * step**2 * float(curve[tuple(place)]) - 1e-3 * abs(cost[-1])


def test_levels_that_may_not_differ_from_zero_only_go_there(case) -> None:
    (_, _, levels, _), _, search = case
    found = np.asarray(search(jnp.zeros(1), passes=60))[0]
    assert ((found == np.asarray(levels)[0]) | (found == 0)).all()


def test_much_damping_leaves_all_as_it_is(case) -> None:
    (_, _, levels, _), _, search = case
    np.testing.assert_array_equal(search(jnp.full(1, 1e9), passes=60), levels)


def test_segments_that_got_worse_go_back(case) -> None:
    (problem, model, levels, costs), *_ = case
    planes, frames = jnp.arange(len(levels)) % 2, jnp.array([0, 0, 1])
    trial = levels + 1.0, model._replace(error=model.error + jnp.array([0.0, 1e6, -1e6]))
    parts = jnp.float32(LMBDA), frames, planes, 2
    (kept, kept_model), fell = field_integers.better(trial, (levels, model), costs, *parts)
    np.testing.assert_array_equal(fell, [False, True])
    np.testing.assert_array_equal(kept, levels + (planes == 1)[:, None, None])
    np.testing.assert_array_equal(kept_model.error[:2], model.error[:2])
    np.testing.assert_array_equal(kept_model.error[2], trial[1].error[2])
