import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from hvc_jax.training import losses

CONFIG = ConfigDict(
    {
        "lmbda": 3.0,
        "l1": 1.0,
        "perceptual": 0.5,
        "perceptual_weights": "vgg16",
        "perceptual_scales": 2,
        "perceptual_window": 0,
        "warped": 0.25,
        "warped_perceptual": 0.125,
        "attended": 0.5,
        "adversarial_start": 10,
        "adversarial_ramp": 4,
    }
)


def features(pictures: jax.Array) -> list[jax.Array]:
    """Two layers of very different magnitude."""
    return [100 * pictures[..., :1], 0.01 * losses.halve(pictures)]


def pictures(seed: int, batch: int = 2) -> jax.Array:
    return jax.random.uniform(jax.random.key(seed), (batch, 8, 8, 3))


def test_halve_is_the_mean_of_blocks() -> None:
    x = np.arange(2 * 5 * 4 * 1, dtype=np.float32).reshape(2, 5, 4, 1)
    slow = [
        [[x[b, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean() for j in (0, 1)] for i in (0, 1)]
        for b in (0, 1)
    ]
    np.testing.assert_allclose(losses.halve(x)[..., 0], slow)


def test_a_perfect_picture_costs_its_rate() -> None:
    target = pictures(0)
    outputs = {"frame": target, "bits": jnp.array([10.0, 30.0]), "aux": {"warped": target}}
    rate, distortion, terms = losses.rate_distortion(CONFIG, outputs, target, features)
    assert terms["bits/latent"] == 20 and distortion == 0
    np.testing.assert_allclose(rate, 20 / 65536, rtol=1e-6)


def test_distortion_is_the_weighted_sum_of_the_named_terms() -> None:
    outputs = {"frame": pictures(1), "bits": jnp.ones(2), "aux": {"warped": pictures(2)}}
    rate, distortion, terms = losses.rate_distortion(CONFIG, outputs, pictures(0), features)
    expected = (
        terms["loss/l1"]
        + 0.25 * terms["loss/warped"]
        + 0.5 * terms["loss/perceptual"]
        + 0.125 * terms["loss/warped_perceptual"]
    )
    np.testing.assert_allclose(distortion, expected, rtol=1e-6)
    assert rate == terms["loss/rate"]


def test_terms_without_a_network_or_a_warp_are_left_out() -> None:
    outputs = {"frame": pictures(1), "bits": jnp.ones(2)}
    _, _, terms = losses.rate_distortion(CONFIG, outputs, pictures(0), None)
    assert set(terms) == {"loss/rate", "loss/l1", "bits/latent"}


def test_perceptual_batching_equals_one_by_one() -> None:
    target, one, other = pictures(0), pictures(1), pictures(2)
    together = losses.perceptual_distances(features, [one, other], target, 2)
    for prediction, distance in zip((one, other), together, strict=True):
        alone = 0.0
        x, y = prediction, target
        for _ in range(2):
            alone += losses.feature_distance(features(x), features(y)) / 2
            x, y = losses.halve(x), losses.halve(y)
        np.testing.assert_allclose(distance, alone, rtol=1e-5)


def test_layers_count_alike_whatever_their_magnitude() -> None:
    target, frame = pictures(0), pictures(1)
    one = losses.feature_distance([frame], [target])
    many = losses.feature_distance([1e-3 * frame, 1e3 * frame], [1e-3 * target, 1e3 * target])
    np.testing.assert_allclose(one, many, rtol=1e-2)


def test_windows_are_parts_of_the_pictures_at_one_place() -> None:
    height, width = 8, 8
    places = jnp.arange(height * width, dtype=jnp.float32).reshape(1, height, width, 1)
    rows = jnp.concatenate([places, places + 1000])
    cut, again = losses.cut_windows([rows, 2 * rows], 4, jax.random.key(3))
    assert cut.shape == (2, 4, 4, 1)
    np.testing.assert_array_equal(again, 2 * cut)
    for example in (0, 1):
        row, column = divmod(int(cut[example, 0, 0, 0]) % 1000, width)
        expected = rows[example, row : row + 4, column : column + 4]
        np.testing.assert_array_equal(cut[example], expected)
    (whole,) = losses.cut_windows([rows], 100, jax.random.key(0))
    np.testing.assert_array_equal(whole, rows)


def test_squared_distance_sums_layers_and_channels() -> None:
    x, y = pictures(0), pictures(1)
    expected = 2 * np.mean(np.sum((np.asarray(x) - np.asarray(y)) ** 2, -1))
    np.testing.assert_allclose(losses.squared_distance([x, x], [y, y]), expected, rtol=1e-5)


def test_no_gradient_reaches_the_target() -> None:
    def distance(target: jax.Array) -> jax.Array:
        return losses.perceptual_distances(features, [pictures(1)], target, 1)[0]

    assert not jnp.any(jax.grad(distance)(pictures(0)))


def test_hinge_limits() -> None:
    assert losses.hinge_discriminator(jnp.full(3, 5.0), jnp.full(3, -5.0)) == 0
    assert losses.hinge_discriminator(jnp.zeros(3), jnp.zeros(3)) == 1
    assert losses.hinge_generator(jnp.full(3, 2.0)) == -2


@pytest.mark.parametrize(("step", "share"), [(0, 0.0), (10, 0.0), (12, 0.5), (14, 1.0), (99, 1.0)])
def test_adversarial_ramp(step: int, share: float) -> None:
    assert losses.adversarial_ramp(CONFIG, jnp.array(step)) == share


def test_attention_is_judged_by_the_colours_that_it_moves() -> None:
    target = pictures(0)
    halves = losses.halve(target)
    outputs = {"frame": target, "bits": jnp.ones(2)}
    aux = {"attended_0": losses.halve(halves), "attended_1": halves + 0.25}
    _, distortion, terms = losses.rate_distortion(CONFIG, outputs | {"aux": aux}, target, None)
    np.testing.assert_allclose(terms["loss/attended"], 0.125, rtol=1e-5)
    np.testing.assert_allclose(distortion, 0.0625, rtol=1e-5)


def test_where_attention_looks_is_compared_where_the_teacher_is_trusted() -> None:
    rng = np.random.default_rng(3)
    flow = rng.uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)
    flow[..., 2] = 1
    flow[:, :4, :, 2] = 0
    pooled = flow[..., :2].reshape(2, 4, 2, 4, 2, 2).mean((2, 4))
    right = {"look_0": jnp.asarray(pooled), "look_1": jnp.asarray(flow[..., :2])}
    wrong = right | {"look_1": right["look_1"].at[:, :4].add(5.0)}
    for aux in (right, wrong):
        np.testing.assert_allclose(losses.flow_distance(aux, flow), 0, atol=1e-5)
    off = right | {"look_1": right["look_1"].at[:, 4:].add(0.2)}
    # Only that half of the finer of two scales is trusted, and so counts as the whole.
    np.testing.assert_allclose(losses.flow_distance(off, flow), 0.1, rtol=1e-3)


def test_the_weight_of_the_rate_grows_from_nothing_to_one() -> None:
    steps = jnp.array([0, 5, 10, 1000])
    np.testing.assert_allclose(losses.rate_weight(10.0, steps), [0, 0.5, 1, 1])
    np.testing.assert_allclose(losses.rate_weight(0.0, steps), 1)
