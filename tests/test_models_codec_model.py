"""The one wiring: identities at the start, gradients everywhere, any size, both variants."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from hvc_jax.body import params as body_params
from hvc_jax.models.codec_model import CodecModel, latent_schema

VARIANTS = ("semantic", "keypoint", "implicit")
PAST = 4


def _config(variant):
    return importlib.import_module(f"hvc_jax.configs.{variant}").get_config("size=tiny").model


def _batch(size=64, count=2):
    rng = np.random.default_rng(0)
    body = np.zeros((count, body_params.BODY_VECTOR_SIZE), np.float32)
    body[:, body_params.CAMERA.start] = 0.9
    names = body_params.VECTOR_NAMES
    moved = body.copy()
    moved[:, names.index("left_shoulder_z")] = -0.8
    return {
        "key": jnp.asarray(rng.random((count, size, size, 3)), jnp.float32),
        "target": jnp.asarray(rng.random((count, size, size, 3)), jnp.float32),
        "previous": jnp.asarray(rng.random((count, PAST, size, size, 3)), jnp.float32),
        "key_body": jnp.asarray(body),
        "target_body": jnp.asarray(moved),
        "previous_body": jnp.asarray(
            body[:, None] + rng.normal(0, 0.1, (count, PAST, 188)), jnp.float32
        ),
    }


def _acting(params):
    """One step away from the zero-initialised heads, behind which nothing else acts yet."""
    draw = np.random.default_rng(5)
    return jax.tree.map(lambda x: x + draw.normal(0, 0.02, x.shape).astype(x.dtype), params)


@pytest.fixture(scope="module", params=VARIANTS)
def built(request):
    model = CodecModel(FrozenConfigDict(_config(request.param)))
    batch = _batch()
    rngs = {"params": jax.random.key(0), "noise": jax.random.key(1)}
    params = jax.jit(lambda: model.init(rngs, batch, train=True))()["params"]
    run = jax.jit(lambda p, b: model.apply({"params": p}, b, train=False))
    return request.param, model, params, batch, run


def test_an_untrained_decoder_holds_the_key_frame(built):
    variant, _, params, batch, run = built
    key, limit = batch["key"], 0.01
    if variant == "implicit":  # of noise, untrained attention finds means over some cells
        key, limit = jax.image.resize(key[:, ::16, ::16], key.shape, "linear"), 0.12
    same = batch | {"key": key, "target_body": batch["key_body"], "target": key}
    outputs = run(params, same)
    # The mask starts at sigmoid(5): 99.3 % of the key picture's contrast.
    assert jnp.abs(outputs["frame"] - key).max() < limit
    assert outputs["frame"].dtype == jnp.float32
    # Bits by what is sent add up to all of them.
    groups = outputs["group_bits"]
    assert ("camera" in groups) == (variant == "semantic")
    np.testing.assert_allclose(sum(groups.values()), outputs["bits"], rtol=1e-5)


def test_gradients_are_finite_and_reach_rate_and_distortion(built):
    variant, model, params, batch, _ = built

    def loss(p):
        out = model.apply({"params": p}, batch, train=True, rngs={"noise": jax.random.key(3)})
        return jnp.abs(out["frame"] - batch["target"]).mean() + 1e-3 * out["bits"].mean()

    params = _acting(params)
    grads = jax.jit(jax.grad(loss))(params)
    flat = jax.tree_util.tree_leaves_with_path(grads)
    assert all(jnp.all(jnp.isfinite(g)) for _, g in flat)
    dead = [jax.tree_util.keystr(path) for path, g in flat if not jnp.any(g)]
    assert not dead, f"{variant}: no gradient reaches {dead}"


def test_bits_count_only_what_is_sent(built):
    variant, model, params, batch, run = built
    schema = latent_schema(model.config.motion)
    unsent = sorted(set(range(schema.size)) - {slot.index for slot in schema.dynamic})
    if variant != "semantic":
        assert not unsent
        return
    changed = batch["target_body"].at[:, unsent].add(1.0)
    sent, other = (run(params, b)["bits"] for b in (batch, batch | {"target_body": changed}))
    np.testing.assert_array_equal(sent, other)


def test_one_key_serves_a_batch_of_frames_and_other_sizes(built):
    _, model, params, *_ = built
    batch = _batch(size=96, count=3)

    def decode(p):
        seen = batch["target"], batch["key"], batch["target_body"]
        latent = model.apply({"params": p}, *seen, method="analyse")
        features = model.apply({"params": p}, batch["key"], method="reference")
        return model.apply({"params": p}, features, latent, latent, method="synthesise")[0]

    frames = jax.jit(decode)(params)
    assert frames.shape == (3, 96, 96, 3) and jnp.all(jnp.isfinite(frames))


@pytest.mark.parametrize("built", ["keypoint"], indirect=True)
def test_strength_mixes_the_moved_pixels_and_what_is_made_of_them(built):
    _, model, params, batch, run = built
    params = _acting(params)
    whole = run(params, batch)
    mixed = CodecModel(FrozenConfigDict(model.config.to_dict() | {"strength": 0.5}))
    half = jax.jit(lambda p, b: mixed.apply({"params": p}, b, train=False))(params, batch)
    between = (whole["frame"] + whole["aux"]["warped"]) / 2
    np.testing.assert_allclose(half["frame"], between, atol=1e-5)
