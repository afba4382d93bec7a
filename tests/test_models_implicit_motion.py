"""Attention finds what moved, and nothing in `align` looks anything up by position."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core
from ml_collections import FrozenConfigDict

from hvc_jax.models.motion.attention import (
    OCTAVES,
    CrossAttention,
    attend,
    from_windows,
    halo_windows,
    positional_code,
    windows,
)
from hvc_jax.models.motion.implicit import ImplicitMotion
from hvc_jax.models.motion.matching import MatchingEncoder
from hvc_jax.models.motion.token_decoder import ModulatedConv, TokenDecoder
from hvc_jax.models.reference import Pyramid
from hvc_jax.models.registry import make_model
from hvc_jax.ops.warp import identity_grid
from hvc_jax.training.config import load_config

WIDTHS, SIDE = (8, 12, 16), 64


def config(**fields) -> FrozenConfigDict:
    motion = load_config("configs/implicit.py:size=tiny").model.motion
    return FrozenConfigDict(motion.to_dict() | {"side": 64} | fields)


def pyramid(batch: int = 1, side: int = SIDE) -> Pyramid:
    rng = np.random.default_rng(0)
    sizes = ((1, 3), *zip((4, 8, 16), WIDTHS, strict=True))
    return Pyramid(
        *(jnp.asarray(rng.random((batch, side // n, side // n, c)), jnp.float32) for n, c in sizes)
    )


def shapes(**fields):
    """A motion model, shapes of its parameters and of a token; nothing is compiled."""
    motion = ImplicitMotion(config(**fields), WIDTHS)
    size = len(ImplicitMotion.latent_schema(motion.config).dynamic)
    token = jax.ShapeDtypeStruct((1, size), jnp.float32)
    init = lambda f, t: motion.init(jax.random.key(0), f, t, t, method="align")  # noqa: E731
    return motion, jax.eval_shape(init, pyramid(), token), token


def primitives(jaxpr: core.Jaxpr) -> set[str]:
    found = set()
    for equation in jaxpr.eqns:
        found.add(equation.primitive.name)
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program):
            if _is_program(value):
                found |= primitives(getattr(value, "jaxpr", value))
    return found


def _is_program(value) -> bool:
    return isinstance(value, core.Jaxpr | core.ClosedJaxpr)


@pytest.mark.parametrize("fields", [{}, {"map_side": 0}, {"window": 4}])
def test_align_has_no_sampling_and_gives_a_pyramid(fields):
    motion, params, token = shapes(**fields)
    run = lambda p, f, a, b: motion.apply(p, f, a, b, method="align")  # noqa: E731
    program = jax.make_jaxpr(run)(params, pyramid(), token, token)
    used = primitives(program.jaxpr)
    assert {"dot_general", "conv_general_dilated", "exp"} <= used
    sampling = {"gather", "dynamic_slice", "dynamic_gather", "scatter", "take", "argmax", "sort"}
    assert not used & sampling
    aligned, aux = jax.eval_shape(run, params, pyramid(), token, token)
    assert jax.tree.map(jnp.shape, aligned) == jax.tree.map(jnp.shape, pyramid())
    assert [aux[f"attended_{i}"].shape[1] for i in range(4)] == [2, 4, 8, 16]


def test_the_test_of_sampling_sees_a_warp():
    from hvc_jax.ops.warp import warp

    picture = jnp.zeros((1, 8, 8, 3))
    program = jax.make_jaxpr(jax.jit(warp))(picture, identity_grid(8, 8)[None])
    assert "gather" in primitives(program.jaxpr)


def test_attention_is_the_softmax_of_products_with_null_keys():
    rng = np.random.default_rng(1)
    query, key = (rng.normal(size=(1, 2, 3, 4)).astype(np.float32) for _ in range(2))
    values = rng.normal(size=(1, 2, 3, 5)).astype(np.float32)
    null = rng.normal(size=(1, 2, 3, 2)).astype(np.float32)
    dropped = np.zeros((1, 2, 3, 1), np.float32)
    dropped[0, 0, 1] = 1
    found = attend(query, key, values, null, dropped=dropped)
    grid = np.asarray(identity_grid(2, 3))
    for i, j in np.ndindex(2, 3):
        weights = np.exp((query[0, i, j] * key[0]).sum(-1)) * (1 - dropped[0, ..., 0])
        nulls = np.exp(null[0, i, j])
        total = weights.sum() + nulls.sum()
        mean = (weights[..., None] * values[0]).sum((0, 1)) / total
        np.testing.assert_allclose(found.values[0, i, j], mean, rtol=1e-4, atol=1e-5)
        look = (weights[..., None] * grid).sum((0, 1)) / weights.sum()
        np.testing.assert_allclose(found.look[0, i, j], look, atol=1e-4)
        np.testing.assert_allclose(found.found[0, i, j, 0], weights.sum() / total, rtol=1e-4)
        np.testing.assert_allclose(found.null[0, i, j], nulls / total, rtol=1e-4)


def test_a_translation_by_whole_cells_is_found_with_features_that_name_what_they_show():
    rng = np.random.default_rng(2)
    scene = rng.normal(size=(1, 8, 12, 24)).astype(np.float32)
    key, target = scene[:, :, 2:10], scene[:, :, :8]  # the target shows what lay two cells left
    values = rng.random((1, 8, 8, 3)).astype(np.float32)
    found = attend(6 * target, key, values)
    np.testing.assert_allclose(found.values[0, :, 2:], values[0, :, :-2], atol=1e-3)
    look = np.asarray(identity_grid(8, 8))[:, :-2]
    np.testing.assert_allclose(found.look[0, :, 2:], look, atol=1e-3)
    np.testing.assert_allclose(found.found, 1, atol=1e-6)


def attention_and_inputs(side, window=0, dropout=0.0):
    rng = np.random.default_rng(3)
    attention = CrossAttention(match=8, nulls=2, dropout=dropout, window=window)
    motion, content = (rng.normal(size=(1, side, side, 6)).astype(np.float32) for _ in range(2))
    values = rng.random((1, side, side, 3)).astype(np.float32)
    params = attention.init(jax.random.key(0), motion, content, values)
    return attention, params, (motion, content, values)


@pytest.mark.parametrize("side", [8, 16])
def test_an_untrained_attention_looks_at_the_same_cell(side):
    attention, params, inputs = attention_and_inputs(side, dropout=0.5)
    found = attention.apply(params, *inputs)
    assert np.abs(found.look[0] - identity_grid(side, side)).max() < 1 / side  # half a cell
    assert np.abs(found.values - inputs[2]).mean() < 0.06
    hidden = attention.apply(params, *inputs, rngs={"noise": jax.random.key(1)})
    wrong = np.abs(hidden.values - inputs[2]).max(-1) > 0.15
    assert 0.25 < wrong.mean() < 0.75  # half of the cells cannot be looked at


def test_a_turn_of_all_waves_looks_elsewhere():
    attention, params, inputs = attention_and_inputs(16)
    shift = np.array([2, -3])  # cells right and down
    waves = np.pi * 2.0 ** (np.arange(OCTAVES) - 1)
    angles = (2 / 16 * shift[:, None] * waves).reshape(-1)
    inner = params["params"]
    turn = inner["turn"] | {"Conv_0": inner["turn"]["Conv_0"] | {"bias": jnp.asarray(angles)}}
    found = attention.apply({"params": inner | {"turn": turn}}, *inputs)
    expected = np.asarray(identity_grid(16, 16)) + 2 / 16 * shift
    np.testing.assert_allclose(found.look[0, 4:, :-4], expected[4:, :-4], atol=1 / 16)


def test_products_of_positional_codes_depend_on_the_distance_alone():
    code = np.concatenate(positional_code(8, 8), -1)
    products = np.einsum("ijc,klc->ijkl", code, code)
    for shift in ((0, 0), (1, 0), (2, 3)):
        rows, columns = 8 - shift[0], 8 - shift[1]
        same = [products[i, j, i + shift[0], j + shift[1]] for i, j in np.ndindex(rows, columns)]
        np.testing.assert_allclose(same, same[0], atol=1e-4)
    assert products[3, 3].argmax() == 27


def test_windows_come_back_and_halos_are_what_lies_around():
    x = np.random.default_rng(4).normal(size=(2, 8, 12, 3)).astype(np.float32)
    np.testing.assert_array_equal(from_windows(windows(x, 4), 2, 8, 12), x)
    np.testing.assert_array_equal(windows(x, 4)[1], x[0, :4, 4:8])
    wide = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    around = [wide[b, i : i + 8, j : j + 8] for b in (0, 1) for i in (0, 4) for j in (0, 4, 8)]
    np.testing.assert_array_equal(halo_windows(x, 4), around)


def test_attention_in_windows_is_attention_everywhere_that_sees_no_farther():
    rng = np.random.default_rng(5)
    query, key = (rng.normal(size=(1, 8, 8, 4)).astype(np.float32) for _ in range(2))
    values = rng.random((1, 8, 8, 3)).astype(np.float32)
    null = rng.normal(size=(1, 8, 8, 1)).astype(np.float32)
    dropped = (rng.random((1, 8, 8, 1)) < 0.2).astype(np.float32)
    local = attend(query, key, values, null, window=4, dropped=dropped)
    for i, j in ((0, 0), (1, 6), (5, 2), (7, 7)):
        rows = slice(max(i // 4 * 4 - 2, 0), i // 4 * 4 + 6)
        columns = slice(max(j // 4 * 4 - 2, 0), j // 4 * 4 + 6)
        weights = np.exp((query[0, i, j] * key[0]).sum(-1)) * (1 - dropped[0, ..., 0])
        weights = weights[rows, columns]
        total = weights.sum() + np.exp(null[0, i, j]).sum()
        mean = (weights[..., None] * values[0, rows, columns]).sum((0, 1)) / total
        np.testing.assert_allclose(local.values[0, i, j], mean, rtol=1e-4)
        grid = np.asarray(identity_grid(8, 8))[rows, columns]
        look = (weights[..., None] * grid).sum((0, 1)) / weights.sum()
        np.testing.assert_allclose(local.look[0, i, j], look, atol=1e-4)


def test_a_frame_is_matched_with_its_key_picture():
    scene = np.random.default_rng(6).random((1, 64, 80, 3)).astype(np.float32)
    key, target = scene[:, :, 16:], scene[:, :, :64]  # two cells of 8x8 pixels to the left
    encoder = MatchingEncoder(size=2, cells=4, width=16, side=64)
    params = encoder.init(jax.random.key(0), target, key)["params"]
    params = {"params": params | {"log_sharpness": jnp.float32(5)}}
    grid = np.asarray(identity_grid(8, 8))
    token, look = encoder.apply(params, target, target)
    assert token.shape == (1, 32)
    np.testing.assert_allclose(look[0], grid, atol=0.02)
    _, look = encoder.apply(params, target, key)
    np.testing.assert_allclose(look[0, 1:-1, 4:-2], grid[1:-1, 2:-4], atol=0.05)


def test_the_key_frame_of_relative_tokens_is_zero():
    loaded = load_config("configs/implicit.py:size=tiny")
    model = make_model(loaded.model)
    picture, body = jnp.zeros((1, 64, 64, 3)), jnp.zeros((1, 188))
    latent = jax.eval_shape(
        lambda: model.init(jax.random.key(0), picture, picture, body, method="analyse")
    )
    size = latent["params"]["log_step"].shape[0]
    found = model.apply(
        {"params": {"log_step": np.zeros(size)}}, picture, body, method="analyse_key"
    )
    np.testing.assert_array_equal(found, np.zeros((1, size)))


def test_a_modulated_convolution_keeps_the_variance_whatever_the_style():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2, 32, 32, 16)).astype(np.float32)
    style = rng.normal(size=(2, 8)).astype(np.float32)
    conv = ModulatedConv(24)
    params = conv.init(jax.random.key(0), x, style)
    one, other = (np.asarray(conv.apply(params, x, s)) for s in (style, 5 * style))
    assert not np.allclose(one, other, atol=0.1)
    assert one.std() == pytest.approx(other.std(), rel=0.15)


def test_a_map_acts_where_its_cell_lies():
    decoder = TokenDecoder((8, 8, 8, 8), style=4, map_side=4)
    token = jnp.zeros((1, 32))
    params = decoder.init(jax.random.key(0), token, 2, 2)
    # Without the style, which sees all of the token.
    inner = params["params"]
    params = {"params": inner | {"Dense_0": jax.tree.map(jnp.zeros_like, inner["Dense_0"])}}
    corner = token.at[0, 0].set(5.0)
    change = jnp.abs(
        decoder.apply(params, corner, 2, 2)[2] - decoder.apply(params, token, 2, 2)[2]
    ).sum(-1)[0]
    # Coarser scales reach farther.
    assert change[:4, :4].mean() > 5 * change[4:, 4:].mean()


@pytest.mark.parametrize("past", [1, 4])
def test_every_parameter_has_numbers(past: int) -> None:
    """However far the prior looks back; checkpoints hold no empty arrays."""
    loaded = load_config("configs/implicit.py:size=tiny", [f"--config.model.past={past}"])
    pictures = jnp.zeros((1, 64, 64, 3))
    batch = {"key": pictures, "target": pictures, "previous": pictures[:, None].repeat(past, 1)}
    bodies = jnp.zeros((1, 188))
    batch |= {"key_body": bodies, "target_body": bodies}
    batch["previous_body"] = bodies[:, None].repeat(past, 1)
    model = make_model(loaded.model)
    found = jax.eval_shape(lambda b: model.init(jax.random.key(0), b, train=False), batch)
    assert min(leaf.size for leaf in jax.tree.leaves(found)) > 0
