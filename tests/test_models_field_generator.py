"""The generator of displacement fields: what it starts as, what it can and cannot change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.configs.field import get_config
from hvc_jax.models.count import multiply_accumulates
from hvc_jax.models.field_generator import (
    BLOCK,
    DETAILS,
    FieldGenerator,
    Sources,
    blend,
    blur,
    details,
    statistics,
)
from hvc_jax.models.registry import make_model
from hvc_jax.ops.compile import fast_jit

SIDE = 32


@pytest.fixture(scope="module")
def model() -> FieldGenerator:
    return make_model(get_config("size=tiny").model)


def batch(count: int = 2, seed: int = 0) -> dict[str, jax.Array]:
    draw = np.random.default_rng(seed)
    return {
        "sources": jnp.asarray(draw.random((count, SIDE, SIDE, 13), np.float32)),
        "qp": jnp.asarray(draw.integers(30, 50, count), jnp.float32),
    }


@pytest.fixture(scope="module")
def params(model: FieldGenerator) -> dict:
    return jax.jit(lambda b: model.init(jax.random.key(0), b, train=False))(batch())["params"]


def frames(model: FieldGenerator, params: dict, data: dict) -> np.ndarray:
    run = fast_jit(lambda p, b: model.apply({"params": p}, b, train=False)["frame"])
    return np.asarray(run(params, data))


def test_untrained_shows_nearly_the_blend_of_the_stream(model: FieldGenerator, params: dict):
    data = batch()
    outputs = model.apply({"params": params}, data, train=False)
    past, future = data["sources"][..., :3], data["sources"][..., 3:6]
    share = data["sources"][..., 12:]
    np.testing.assert_allclose(
        outputs["aux"]["warped"], share * past + (1 - share) * future, atol=1e-6
    )
    # The pictures that are not displaced start with e^-2 each, against one of the other two.
    still = np.exp(-2.0) / (1 + 2 * np.exp(-2.0))
    pictures = [data["sources"][..., i : i + 3] for i in range(0, 12, 3)]
    inside = jnp.clip(share, 0.01, 0.99)
    wanted = (1 - 2 * still) * (inside * past + (1 - inside) * future)
    np.testing.assert_allclose(
        outputs["frame"], wanted + still * (pictures[2] + pictures[3]), atol=1e-5
    )


def test_equal_sources_give_that_picture_before_training(model: FieldGenerator, params: dict):
    data = batch()
    same = jnp.concatenate([jnp.tile(data["sources"][..., :3], 4), data["sources"][..., 12:]], -1)
    made = frames(model, params, data | {"sources": same})
    np.testing.assert_allclose(made, same[..., :3], atol=1e-6)


def acting_parameters(params: dict, seed: int) -> dict:
    draw = np.random.default_rng(seed)
    return jax.tree.map(lambda x: x + draw.normal(0, 0.05, x.shape).astype(x.dtype), params)


def test_every_parameter_gets_a_gradient_once_the_head_acts(model: FieldGenerator, params: dict):
    data = batch()
    target = jnp.asarray(np.random.default_rng(1).random((2, SIDE, SIDE, 3), np.float32))

    def loss(p: dict) -> jax.Array:
        return jnp.square(model.apply({"params": p}, data, train=True)["frame"] - target).mean()

    acting = acting_parameters(params, 2)
    gradients = fast_jit(jax.grad(loss))(acting)
    still = [jax.tree_util.keystr(k) for k, g in jax.tree_util.tree_leaves_with_path(gradients)
             if not float(jnp.abs(g).max()) > 0]  # fmt: skip
    assert not still


def test_the_quantisation_parameter_matters(model: FieldGenerator, params: dict):
    acting = acting_parameters(params, 3)
    data = batch()
    fine, coarse = (frames(model, acting, data | {"qp": jnp.full(2, q)}) for q in (22.0, 52.0))
    assert np.abs(fine - coarse).max() > 1e-3


def test_bands_and_what_is_left_sum_to_the_picture():
    picture = batch()["sources"][..., :3]
    bands, rest = details(picture), picture
    for level in range(DETAILS):
        rest = blur(rest, 2**level)
    np.testing.assert_allclose(sum(bands) + rest, picture, atol=1e-5)
    flat = jnp.full((1, 16, 16, 3), 0.3)
    np.testing.assert_allclose(blur(flat, 4), flat, atol=1e-6)


def test_blur_is_the_filter_one_two_one():
    impulse = jnp.zeros((1, 9, 9, 1)).at[0, 4, 4, 0].set(16.0)
    for distance in (1, 2):
        wanted = np.zeros((9, 9))
        taps = np.array([1, 2, 1])
        at = 4 + distance * np.array([-1, 0, 1])
        wanted[np.ix_(at, at)] = np.outer(taps, taps)
        np.testing.assert_allclose(blur(impulse, distance)[0, ..., 0], wanted, atol=1e-6)


def test_statistics_know_nothing_of_where_in_a_block_something_is():
    data = batch(1)
    sources = Sources(data["sources"][..., :12], data["sources"][..., 12:], data["qp"])
    turned = jax.tree.map(lambda x: x[:, ::-1] if x.ndim == 4 else x, sources)
    seen, other = (statistics(s, details(blend(s))) for s in (sources, turned))
    assert seen.shape == (1, SIDE // BLOCK, SIDE // BLOCK, 14 + DETAILS)
    np.testing.assert_allclose(seen[:, ::-1], other, atol=1e-4)


def test_shipped_size_keeps_the_budget_of_a_frame():
    model = make_model(get_config("size=small").model)
    data = {"sources": jnp.zeros((1, 256, 256, 13)), "qp": jnp.zeros(1)}
    shapes = jax.eval_shape(lambda b: model.init(jax.random.key(0), b, train=False), data)
    run = lambda v, b: model.apply(v, b, train=False)  # noqa: E731
    assert sum(multiply_accumulates(run, shapes, data).values()) < 0.3e9


def test_frames_of_a_batch_do_not_depend_on_each_other(model: FieldGenerator, params: dict):
    data = batch(3)
    alone = {name: array[1:2] for name, array in data.items()}
    np.testing.assert_allclose(
        frames(model, params, data)[1:2], frames(model, params, alone), atol=1e-5
    )


def test_sources_are_named_as_the_trainer_gives_them(model: FieldGenerator, params: dict):
    data = batch()
    sources = Sources(data["sources"][..., :12], data["sources"][..., 12:], data["qp"])
    made = model.apply({"params": params}, sources, method="frames")
    np.testing.assert_allclose(made, frames(model, params, data), atol=1e-5)
