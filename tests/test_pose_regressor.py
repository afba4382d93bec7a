"""The body regressor: its parts, its file, and bodies from pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.models.keypoint_network import cell_centres, decode_heat
from hvc_jax.pose.estimator import (
    bodies_from_keypoints,
    clip_box,
    estimate_bodies,
    load_regressor,
    look,
    regressor_path,
    save_regressor,
)
from hvc_jax.pose.evidence import joint_confidence
from hvc_jax.pose.fit_objective import PosePrior
from hvc_jax.pose.person_mask import find_masks
from hvc_jax.pose.regressor import BodyRegressor, Lifter, normalise_points


@pytest.fixture(scope="module")
def small():
    """An untrained regressor of few channels."""
    model = BodyRegressor((8, 8, 8), 16)
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 128, 128, 3)))
    return model, params, PosePrior(np.zeros(63, np.float32), np.eye(63, dtype=np.float32))


@pytest.fixture(scope="module")
def export(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("regressor") / "small.safetensors"
    save_regressor(path, *small)
    return load_regressor(str(path))


def test_heat_decodes_to_a_fraction_of_a_cell():
    truth = jnp.array([[[0.31, -0.52], [-0.9, 0.9]]])
    distance = jnp.sum((cell_centres()[None, :, :, None] - truth[:, None, None]) ** 2, -1)
    points = jax.jit(decode_heat)(-distance / (2 * (2 / 32) ** 2))
    np.testing.assert_allclose(points, truth, atol=0.2 * 2 / 32)


def test_a_second_mode_does_not_pull_the_point():
    heat = jnp.zeros((1, 32, 32, 1)).at[0, 5, 5, 0].set(20.0).at[0, 25, 25, 0].set(19.0)
    np.testing.assert_allclose(jax.jit(decode_heat)(heat)[0, 0], cell_centres()[5, 5], atol=1e-4)


def test_normalised_points_ignore_place_and_size():
    rng = np.random.default_rng(0)
    points = jnp.asarray(rng.normal(size=(3, 17, 2)) * 0.3)
    confidence = jnp.asarray(rng.uniform(size=(3, 17)))
    one, centre, size = normalise_points(points, confidence)
    two, _, size2 = normalise_points(points * 0.5 + jnp.array([0.2, -0.1]), confidence)
    np.testing.assert_allclose(one, two, atol=1e-4)
    np.testing.assert_allclose(size2, size * 0.5, rtol=1e-4)


def test_lifter_moves_the_camera_with_the_points():
    rng = np.random.default_rng(0)
    points = jnp.asarray(rng.normal(size=(2, 17, 2)) * 0.3)
    confidence = jnp.ones((2, 17))
    lifter = Lifter(16, 1)
    params = jax.jit(lifter.init)(jax.random.key(0), points, confidence)
    lift = jax.jit(lifter.apply)
    one = lift(params, points, confidence)
    two = lift(params, points * 0.5 + jnp.array([0.2, -0.1]), confidence)
    np.testing.assert_allclose(one.rotations, two.rotations, atol=1e-4)
    np.testing.assert_allclose(two.camera[:, 0], one.camera[:, 0] * 0.5, rtol=1e-3)

    def pelvis(camera):
        return np.stack([camera[:, 0] * camera[:, 1], -camera[:, 0] * camera[:, 2]], -1)

    expected = pelvis(one.camera) * 0.5 + np.array([0.2, -0.1])
    np.testing.assert_allclose(pelvis(two.camera), expected, atol=1e-3)


def test_export_holds_what_was_saved(small, export):
    model, params, _ = small
    assert export.model == model
    same = jax.tree.map(lambda a, b: np.allclose(a, b, atol=1e-3), params, export.params)
    assert all(jax.tree.leaves(same))


def test_files_that_are_no_regressor_are_refused(tmp_path):
    from safetensors.numpy import save_file

    with pytest.raises(FileNotFoundError, match="train-regressor"):
        load_regressor(str(tmp_path / "none.safetensors"))
    save_file({"a": np.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="no body regressor"):
        load_regressor(str(tmp_path / "other.safetensors"))


def test_bodies_of_a_clip_have_every_field(export):
    frames = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3)).astype(np.uint8)
    bodies, confidence = estimate_bodies(frames, effort=0, export=export)
    assert bodies.shape == (5, 188) and bodies.dtype == np.float32
    assert np.isfinite(bodies).all()
    assert confidence.shape == (5,) and (confidence >= 0).all() and (confidence <= 1).all()
    assert (bodies[:, 185] > 0).all()


def test_a_mirrored_picture_gives_mirrored_keypoints(export):
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    points, confidence, *_ = look(frames, export)
    mirrored, mirrored_confidence, *_ = look(frames[:, :, ::-1], export)
    swap = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
    np.testing.assert_allclose(mirrored[:, swap] * [-1, 1], points, atol=2e-2)
    np.testing.assert_allclose(mirrored_confidence[:, swap], confidence, atol=2e-2)


def test_masks_are_probabilities_and_mirror_with_the_picture(export):
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    masks = find_masks(frames, export)
    assert masks.shape == (3, 64, 64) and masks.min() >= 0 and masks.max() <= 1
    np.testing.assert_allclose(find_masks(frames[:, :, ::-1], export)[:, :, ::-1], masks, atol=5e-3)


@pytest.mark.parametrize(
    ("frames", "effort"),
    [
        (np.zeros((2, 64, 32, 3), np.uint8), 1),
        (np.zeros((2, 64, 64, 3), np.float32), 1),
        (np.zeros((2, 64, 64, 3), np.uint8), 7),
    ],
)
def test_wrong_inputs_are_one_sentence(export, frames, effort):
    with pytest.raises(ValueError, match="square uint8|effort"):
        estimate_bodies(frames, effort, export)


def test_clip_box_holds_the_person_and_stays_inside():
    points = np.random.default_rng(0).uniform(-0.2, 0.3, (8, 17, 2)) + [0.6, 0]
    u, v, half = clip_box(points, np.full((8, 17), 0.9))
    assert half < 0.6 and abs(u) + half <= 1.0 + 1e-6 and abs(v) + half <= 1.0 + 1e-6
    assert clip_box(points, np.zeros((8, 17)))[2] == 1.0


@pytest.mark.skipif(not regressor_path().is_file(), reason="no regressor is shipped")
def test_shipped_regressor_lands_on_a_rendered_person():
    from hvc_jax.synth.people import render_clip

    assert regressor_path().stat().st_size < 10e6
    clip = render_clip(3, 4, size=128, framing="hips")
    points, confidence, *_ = look(clip.frames, load_regressor())
    shoulders = confidence[:, 5:7].mean()
    bodies, error = bodies_from_keypoints(points, confidence, load_regressor(), effort=0)
    assert shoulders > 0.3
    assert bodies.shape == (4, 188) and np.isfinite(error).all()


@pytest.mark.skipif(not regressor_path().is_file(), reason="no regressor is shipped")
@pytest.mark.parametrize("kind", ["black", "stripes", "noise", "face", "covered"])
def test_where_no_body_can_be_followed_nothing_is_believed_and_nothing_moves(kind):
    from hvc_jax.synth.people import render_clip

    rng = np.random.default_rng(0)
    frames = np.zeros((8, 128, 128, 3), np.uint8)
    if kind == "stripes":
        frames[:] = (np.arange(128) * 2)[:, None]
    elif kind == "noise":
        coarse = rng.integers(0, 256, (8, 8, 8, 3))
        frames = coarse.repeat(16, 1).repeat(16, 2).astype(np.uint8)
    elif kind in ("face", "covered"):
        clip = render_clip(3, 8, size=256, framing="hips").frames
        frames = clip[:, 20:100, 88:168][:, :64, :64].repeat(2, 1).repeat(2, 2)
        if kind == "covered":
            frames = clip[:, ::2, ::2].copy()
            frames[:, :80] = 128  # head, shoulders and most of the trunk
    bodies, confidence = estimate_bodies(frames, effort=0)
    assert confidence.mean() < 0.15 and confidence.max() < 0.25
    assert np.ptp(bodies, axis=0).max() == 0


def test_joints_are_trusted_where_seen_and_met():
    confidence, error = np.ones((1, 17)), np.zeros((1, 17))
    confidence[0, 9], error[0, 8] = 0.1, 0.5
    found = joint_confidence(confidence, error)[0]
    assert found.shape == (22,) and found[20] == pytest.approx(0.1)  # left wrist
    assert found[19] < 1e-3 and found[18] == 1 and found[0] == 1  # elbows, pelvis


def test_where_an_unseen_keypoint_is_said_to_be_tells_the_lifter_nothing():
    rng = np.random.default_rng(0)
    points = jnp.asarray(rng.normal(size=(2, 17, 2)) * 0.3)
    confidence = jnp.asarray(rng.uniform(0.3, 1.0, (2, 17))).at[:, 7:].set(0.05)
    lifter = Lifter(16, 1)
    lift = jax.jit(lifter.apply)
    params = jax.jit(lifter.init)(jax.random.key(0), points, confidence)
    one = lift(params, points, confidence)
    two = lift(params, points.at[:, 7:].add(3.0), confidence * (confidence > 0.1))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), one, two)


def test_every_layer_of_the_lifter_learns():
    """Blocks that begin as the identity still have to get gradients."""
    model, rng = Lifter(16, 2), np.random.default_rng(0)
    points = jnp.asarray(rng.normal(size=(8, 17, 2)) * 0.3, jnp.float32)
    confidence = jnp.ones((8, 17))
    first = model.init(jax.random.key(0), points, confidence)
    target = jnp.asarray(rng.normal(size=(8, 22, 6)), jnp.float32)

    @jax.jit
    def step(params):
        def loss(params):
            return jnp.mean((model.apply(params, points, confidence).rotations - target) ** 2)

        return jax.tree.map(lambda p, g: p - 0.1 * g, params, jax.grad(loss)(params))

    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), first, step(step(first)))
    assert min(jax.tree.leaves(moved)) > 0
