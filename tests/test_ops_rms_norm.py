"""RMS normalisation: the definition, flax's layer, gradients, types."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.models.layers import RMSNorm
from hvc_jax.ops.rms_norm import rms_norm
from hvc_jax.training.precision import layers_in


def case(*shape, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(0.3, 2.0, shape).astype(np.float32)
    return x, rng.normal(1.0, 0.5, shape[-1:]).astype(np.float32)


@pytest.mark.parametrize("shape", [(2, 5, 7, 12), (3, 1, 9, 4), (2, 6, 8), (5, 3)])
def test_value_and_gradients_are_those_of_the_definition(shape):
    x, scale = case(*shape)
    weight = np.random.default_rng(1).normal(size=shape)

    def value(x, scale):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * scale

    np.testing.assert_allclose(rms_norm(x, scale), value(x.astype(np.float64), scale), rtol=2e-6)
    grads = jax.grad(lambda *a: (rms_norm(*a) * weight).sum(), argnums=(0, 1))(x, scale)
    wide, step, rng = (
        (x.astype(np.float64), scale.astype(np.float64)),
        1e-5,
        np.random.default_rng(2),
    )
    for i in range(2):
        for _ in range(5):  # along random directions
            way = rng.normal(size=wide[i].shape)
            ends = []
            for sign in (1, -1):
                moved = list(wide)
                moved[i] = wide[i] + sign * step * way
                ends.append((value(*moved) * weight).sum())
            slope = (ends[0] - ends[1]) / (2 * step)
            found = (np.asarray(grads[i], np.float64) * way).sum()
            assert found == pytest.approx(slope, rel=2e-5, abs=2e-4)


def test_scale_gradient_of_zero_and_of_ones():
    # All channels alike: normalised to the scale whatever their size, so x has no gradient.
    x = np.full((1, 2, 3, 4), 5.0, np.float32)
    grads = jax.grad(lambda x, s: rms_norm(x, s).sum(), argnums=(0, 1))(x, np.ones(4, np.float32))
    np.testing.assert_allclose(grads[0], 0, atol=1e-6)
    np.testing.assert_allclose(grads[1], 6, rtol=1e-6)
    grads = jax.grad(lambda x, s: rms_norm(x, s).sum(), argnums=(0, 1))(
        0 * x, np.ones(4, np.float32)
    )
    assert np.isfinite(grads[0]).all() and not grads[1].any()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_layer_is_that_of_flax(dtype):
    x, scale = case(2, 4, 4, 8)

    class Net(nn.Module):
        layer: type

        @nn.compact
        def __call__(self, x):
            return self.layer(name="norm")(x)

    params = {"params": {"norm": {"scale": jnp.asarray(scale)}}}
    results = []
    for layer in (RMSNorm, nn.RMSNorm):
        with layers_in(dtype):
            results.append(Net(layer).apply(params, x))
    assert results[0].dtype == results[1].dtype == jnp.dtype(dtype)
    same = {"float32": 1e-6, "bfloat16": 4e-3}[dtype]
    np.testing.assert_allclose(*(np.asarray(r, np.float32) for r in results), rtol=same)
    fresh = [Net(layer).init(jax.random.key(0), x) for layer in (RMSNorm, nn.RMSNorm)]
    assert jax.tree.structure(fresh[0]) == jax.tree.structure(fresh[1])


def test_bfloat16_gradient_keeps_the_type_of_the_pictures():
    x, scale = case(2, 3, 3, 4)
    to_x, to_scale = jax.grad(lambda *a: rms_norm(*a).sum(), argnums=(0, 1))(
        jnp.asarray(x, jnp.bfloat16), scale
    )
    assert to_x.dtype == jnp.bfloat16 and to_scale.dtype == jnp.float32
