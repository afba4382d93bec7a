import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.models.discriminator import Discriminator


def test_shapes_of_scores_and_features(key: jax.Array) -> None:
    model = Discriminator(width=4, depth=3)
    pictures = jax.random.uniform(key, (2, 32, 16, 6))
    variables = model.init(key, pictures)
    scores, features = model.apply(variables, pictures)
    assert scores.shape == (2, 4, 2, 1)
    assert [f.shape for f in features] == [(2, 16, 8, 4), (2, 8, 4, 8), (2, 4, 2, 16)]
    assert set(variables) == {"params"}  # no running statistics to carry or to synchronise


def test_weight_normalisation_makes_the_scale_of_kernels_irrelevant(key: jax.Array) -> None:
    model = Discriminator(width=4, depth=1)
    pictures = jax.random.uniform(key, (1, 8, 8, 3))
    params = model.init(key, pictures)["params"]
    scaled = jax.tree.map(jnp.copy, params)
    scaled["conv_0"]["kernel"] = 5.0 * scaled["conv_0"]["kernel"]
    one, _ = model.apply({"params": params}, pictures)
    other, _ = model.apply({"params": scaled}, pictures)
    np.testing.assert_allclose(one, other, rtol=1e-4)


def test_learns_to_tell_noise_from_grey(key: jax.Array) -> None:
    model = Discriminator(width=4, depth=2)
    real, fake = jnp.full((2, 16, 16, 3), 0.5), jax.random.uniform(key, (2, 16, 16, 3))
    params = model.init(key, real)["params"]

    @jax.jit
    def loss(params: dict) -> jax.Array:
        (r, _), (f, _) = (model.apply({"params": params}, x) for x in (real, fake))
        return jax.nn.relu(1 - r).mean() + jax.nn.relu(1 + f).mean()

    before, slope = loss(params), jax.jit(jax.grad(loss))
    for _ in range(20):
        params = jax.tree.map(lambda p, g: p - 0.05 * g, params, slope(params))
    assert loss(params) < 0.5 * before
