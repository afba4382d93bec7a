import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hvc_jax.ops.norm import clip_by_global_norm, global_norm

RNG = np.random.default_rng(0)
TREE = {
    "kernel": jnp.asarray(RNG.normal(size=(3, 3, 7, 33)), jnp.float32),
    "bias": jnp.asarray(RNG.normal(size=5), jnp.float32),
    "scalar": jnp.float32(-2.5),
    "none": jnp.zeros((0, 4)),
}


def test_norm_is_that_of_all_numbers() -> None:
    whole = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(TREE)]).astype(np.float64)
    assert float(jax.jit(global_norm)(TREE)) == pytest.approx(np.sqrt((whole**2).sum()), rel=1e-6)
    assert float(global_norm({"zero": jnp.zeros(40)})) == 0


@pytest.mark.parametrize("limit", [0.5, 1e3])
def test_clipping_is_that_of_optax(limit: float) -> None:
    ours, theirs = clip_by_global_norm(limit), optax.clip_by_global_norm(limit)
    got, _ = ours.update(TREE, ours.init(TREE))
    want, _ = theirs.update(TREE, theirs.init(TREE))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), got, want)
    zero = jax.tree.map(jnp.zeros_like, TREE)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(ours.update(zero, ours.init(zero))[0]))
