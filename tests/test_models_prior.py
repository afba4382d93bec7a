"""The factorised prior is a probability, learns one, and stays finite far out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hvc_jax.models.prior import FactorizedPrior

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
