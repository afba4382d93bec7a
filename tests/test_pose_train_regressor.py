"""Training of the body regressor: labels, views, losses, a few steps of both halves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.body.assets import load_body
from hvc_jax.body.landmarks import COCO_MIRROR, landmarks_of
from hvc_jax.models.keypoint_network import Keypoints, cell_centres
from hvc_jax.pose.pseudo_labels import (
    LiteNetwork,
    PseudoLabels,
    load_labels,
    person_box,
    save_labels,
    square_crop,
)
from hvc_jax.pose.regressor import BodyRegressor
from hvc_jax.pose.train.augment import Labelled, augment
from hvc_jax.pose.train.lifter import pose_prior, train_lifter
from hvc_jax.pose.train.pose_sampler import mirror_rotations, sample_bodies
from hvc_jax.pose.train.regressor import (
    background_bank,
    draw,
    keypoint_loss,
    pool_of_clips,
    train_keypoints,
)


@pytest.fixture(scope="module")
def poses():
    return np.random.default_rng(0).normal(size=(50, 22, 3)).astype(np.float32) * 0.2


@pytest.fixture
def label_file(tmp_path):
    rng = np.random.default_rng(0)
    labels = PseudoLabels(
        np.arange(4, dtype=np.int32),
        rng.integers(0, 256, (4, 64, 64, 3)).astype(np.uint8),
        rng.uniform(-0.8, 0.8, (4, 17, 2)).astype(np.float32),
        rng.uniform(size=(4, 17)).astype(np.float32),
        np.zeros((4, 64, 64), np.uint8),
    )
    save_labels(tmp_path / "a.npz", labels)
    return tmp_path / "a.npz", labels


def test_labels_come_back_as_they_were(label_file):
    path, labels = label_file
    for one, two in zip(load_labels(path), labels, strict=True):
        np.testing.assert_array_equal(one, two)
    pool = pool_of_clips([path])
    assert pool.weight.sum() == pytest.approx(1)


def test_missing_labels_and_networks_are_named(tmp_path):
    with pytest.raises(ValueError, match="train-regressor"):
        pool_of_clips([])
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        LiteNetwork(tmp_path / "nowhere.tflite")


def test_square_crop_of_everything_is_the_picture():
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    np.testing.assert_array_equal(square_crop(picture, np.array([0, 0, 1.0]), 32), picture)
    shifted = square_crop(picture, np.array([0.5, 0, 1.0]), 32)
    np.testing.assert_array_equal(shifted[:, :24], picture[:, 8:])
    assert not shifted[:, 25:].any()


def test_person_box_surrounds_the_confident_points():
    points = np.random.default_rng(0).uniform(-0.3, 0.3, (17, 2)) + [0.4, 0.2]
    u, v, half = person_box(points, np.ones(17))
    assert (np.abs(points - [u, v]) <= half).all()
    np.testing.assert_array_equal(person_box(points, np.zeros(17)), [0, 0, 1])


def test_labels_move_with_the_picture():
    """A bright dot at a keypoint is found where the moved label says it is."""
    size, spot = 96, np.array([0.21, -0.13])
    line = (np.arange(size) + 0.5) / size * 2 - 1
    v, u = np.meshgrid(line, line, indexing="ij")
    dot = np.exp(-((u - spot[0]) ** 2 + (v - spot[1]) ** 2) / (2 * 0.04**2))
    pictures = np.repeat(dot[None, :, :, None], 3, -1).astype(np.float32)
    batch = Labelled(
        jnp.asarray(pictures),
        jnp.ones((1, size, size)),
        jnp.asarray(np.tile(spot, (1, 17, 1)), jnp.float32),
        jnp.ones((1, 17)),
    )
    view_of = jax.jit(augment)
    found = 0
    for seed in range(12):
        view = view_of(jax.random.key(seed), batch, jnp.zeros((1, 128, 128, 3)))
        if float(view.confidence[0, 0]) < 0.9:
            continue  # out of the picture, or covered
        bright = np.asarray(view.pictures[0]).sum(-1)
        bright = np.clip(bright - np.quantile(bright, 0.97), 0, None) ** 2
        line = (np.arange(128) + 0.5) / 128 * 2 - 1
        at = np.array([(bright.sum(0) * line).sum(), (bright.sum(1) * line).sum()]) / bright.sum()
        if np.abs(at - np.asarray(view.points[0, 0])).max() < 0.08:
            found += 1
        else:
            found -= 2
    assert found >= 3


def test_loss_is_least_at_the_label():
    points = jnp.asarray(np.random.default_rng(0).uniform(-0.8, 0.8, (1, 17, 2)))
    label = Labelled(None, jnp.zeros((1, 128, 128)), points, jnp.full((1, 17), 0.8))

    def loss_at(where):
        distance = jnp.sum((cell_centres()[None, :, :, None] - where[:, None, None]) ** 2, -1)
        heat = -distance / (2 * (2 / 32) ** 2)
        found = Keypoints(where, None, heat, jnp.full((1, 17), 4.0), jnp.full((1, 32, 32), -4.0))
        return float(keypoint_loss(found, label)[0])

    assert loss_at(points) < loss_at(points + 0.1) < loss_at(points + 0.3)


def test_batches_are_pure_in_seed_and_step(label_file):
    path, _ = label_file
    pool = pool_of_clips([path])
    for (one, _), (two, _), _ in zip(
        draw([pool, pool], [3, 1], 4, 5), draw([pool, pool], [3, 1], 4, 5), range(3), strict=False
    ):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)
        assert one.pictures.shape == (4, 64, 64, 3)


def test_both_halves_train(label_file, poses):
    path, _ = label_file
    model = BodyRegressor((8, 8, 8), 16)
    losses = []
    train_keypoints(
        [pool_of_clips([path])],
        [1.0],
        2,
        batch_size=2,
        model=model,
        report=lambda step, parts, _: losses.append(parts),
        report_every=1,
    )
    assert len(losses) == 2 and all(np.isfinite(v) for parts in losses for v in parts.values())
    landmarks = landmarks_of(load_body())
    seen = []
    train_lifter(
        poses,
        landmarks,
        4,
        batch_size=8,
        model=model,
        report=lambda step, losses, _: seen.append((step, losses)),
        report_every=2,
    )
    assert [step for step, _ in seen] == [2, 4]
    assert all(np.isfinite(v) for _, losses in seen for v in losses.values())


def test_sampled_bodies_are_seen_where_they_are(poses):
    landmarks = landmarks_of(load_body())
    sample = jax.jit(sample_bodies, static_argnums=3)
    bodies = sample(jax.random.key(0), jnp.asarray(poses), landmarks, 64)
    det = np.linalg.det(np.asarray(bodies.rotations))
    np.testing.assert_allclose(det, 1, atol=1e-4)
    seen = np.asarray(bodies.confidence) > 0.2
    assert (np.abs(np.asarray(bodies.exact))[seen] < 1).all()
    assert 0.3 < seen.mean() < 0.95
    assert np.isfinite(np.asarray(bodies.points)).all()


def test_mirroring_twice_is_nothing():
    turn = jnp.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0])
    np.testing.assert_array_equal(mirror_rotations(mirror_rotations(turn)), turn)
    np.testing.assert_array_equal(COCO_MIRROR[COCO_MIRROR], np.arange(17))


def test_prior_whitens_its_own_poses(poses):
    prior = pose_prior(poses, count=400)
    assert prior["mean"].shape == (63,) and prior["whiten"].shape == (63, 63)
    assert np.isfinite(prior["whiten"]).all()


def test_backgrounds_hold_no_person(label_file):
    path, _ = label_file
    bank = background_bank(pool_of_clips([path]), 6)
    assert bank.shape == (6, 128, 128, 3) and bank.dtype == np.uint8
