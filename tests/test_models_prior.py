"""Priors are probabilities, learn one, stay finite far out, and agree with the real coder."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hvc_jax.models.prior import AdaptivePrior, FactorizedPrior, frames_before

PRIOR = FactorizedPrior(dimensions=3)


def _init():
    return PRIOR.init(jax.random.key(0), jnp.zeros((1, 3)))


def test_probabilities_of_all_integers_sum_to_one():
    grid = jnp.broadcast_to(jnp.arange(-3000.0, 3001.0)[:, None], (6001, 3))
    total = jnp.sum(2.0 ** -PRIOR.apply(_init(), grid), axis=0)
    np.testing.assert_allclose(total, 1.0, atol=2e-3)


def test_bits_and_gradients_are_finite_far_out():
    x = jnp.array([[-1e5, 0.0, 1e5]])
    bits, grad = jax.value_and_grad(lambda v: PRIOR.apply(_init(), v).sum())(x)
    assert jnp.isfinite(bits) and jnp.all(jnp.isfinite(grad))


def test_leading_dimensions_broadcast():
    x = jax.random.normal(jax.random.key(1), (2, 4, 3))
    together = PRIOR.apply(_init(), x)
    np.testing.assert_allclose(together[1, 2], PRIOR.apply(_init(), x[1, 2]), rtol=1e-5)


def test_training_approaches_the_entropy_of_the_source():
    symbols = jnp.round(2.0 * jax.random.laplace(jax.random.key(2), (4000, 3)))
    _, counts = np.unique(np.asarray(symbols), return_counts=True)
    entropy = -np.sum(counts / counts.sum() * np.log2(counts / counts.sum()))
    params, optimizer = _init(), optax.adam(2e-2)

    @jax.jit
    def step(params, state):
        loss, grads = jax.value_and_grad(lambda p: PRIOR.apply(p, symbols).mean())(params)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, loss

    state = optimizer.init(params)
    for _ in range(300):
        params, state, loss = step(params, state)
    assert entropy - 0.01 < loss < entropy + 0.15


def test_the_adaptive_prior_is_a_probability_whatever_came_before():
    """The second number is coded after the first, so that only both together are one."""
    prior = AdaptivePrior(("head_x", "head_y"))
    rng = np.random.default_rng(0)
    past = jnp.asarray(rng.normal(0, 2, (4, 1, 2)), jnp.float32)
    params = prior.init(jax.random.key(0), past[0], past)
    params = jax.tree.map(lambda x: x + 0.2 * rng.normal(size=x.shape), params)
    line = jnp.arange(-150.0, 151.0)
    grid = jnp.stack(jnp.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    bits = prior.apply(params, grid, jnp.broadcast_to(past, (4, *grid.shape)))
    np.testing.assert_allclose(jnp.sum(2.0 ** -bits.sum(-1)), 1.0, atol=5e-3)
    by_first = bits.reshape(len(line), len(line), 2)
    assert jnp.ptp(by_first[..., 0], axis=1).max() < 1e-4 < jnp.ptp(by_first[..., 1], axis=0).max()
    bits, grad = jax.value_and_grad(lambda x: prior.apply(params, x, past).sum())(past[0] + 1e5)
    assert jnp.isfinite(bits) and jnp.all(jnp.isfinite(grad))


def test_frames_before_are_the_latest_first():
    track = jnp.arange(5.0)[:, None]
    found = frames_before(track, jnp.array([-1.0]), 3)[..., 0]
    np.testing.assert_array_equal(found, [[-1, 0, 1, 2, 3], [-1, -1, 0, 1, 2], [-1, -1, -1, 0, 1]])
