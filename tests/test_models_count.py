import flax.linen as nn
import jax
import jax.numpy as jnp

from hvc_jax.models.count import group, multiply_accumulates, parameter_counts


class Inner(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dense(5)(nn.Conv(4, (3, 3), strides=2)(x))


class Outer(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = Inner(name="first")(x)
        return nn.Conv(10, (1, 1), feature_group_count=5, name="last")(x)


def test_convolutions_and_products_by_module() -> None:
    x = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32)
    model = Outer()
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    counts = multiply_accumulates(model.apply, variables, x)
    positions = 2 * 4 * 4
    assert counts == {
        "first/Conv_0": positions * 4 * 9 * 3,
        "first/Dense_0": positions * 5 * 4,
        "last": positions * 10 * 1,
    }
    assert group(counts, 1)["first"] == positions * (4 * 27 + 20)
    sizes = parameter_counts(variables["params"])
    assert sizes["first/Conv_0/kernel"] == 108 and sum(sizes.values()) == 108 + 4 + 25 + 10 + 10


def test_loops_branches_and_compiled_parts() -> None:
    square = jnp.ones((3, 3))

    def looped(x: jax.Array) -> jax.Array:
        body = jax.jit(lambda carry, _: (carry @ square, None))
        x, _ = jax.lax.scan(body, x, length=7)
        return jax.lax.cond(x.sum() > 0, lambda y: y @ square @ square, lambda y: y @ square, x)

    counts = multiply_accumulates(looped, jax.ShapeDtypeStruct((2, 3), jnp.float32))
    assert sum(counts.values()) == (7 + 2) * 2 * 3 * 3


def test_recomputed_parts_count() -> None:
    square = jnp.ones((3, 3))
    function = jax.checkpoint(lambda x: x @ square)
    counts = multiply_accumulates(function, jax.ShapeDtypeStruct((2, 3), jnp.float32))
    assert sum(counts.values()) == 18
