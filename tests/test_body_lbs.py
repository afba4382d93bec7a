"""Skinning layer: identities, a slow reference, loading, batch shapes, bfloat16."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from body_files import random_model
from test_ops_rotation import rodrigues

from hvc_jax.body import assets, camera, lbs, params, skinning
from hvc_jax.ops import rotation


def slow_forward(body, betas, expression, pose, transl):
    """SMPL in float64, one joint and one vertex at a time (Loper et al. 2015, eqs. 2 to 9)."""
    get = lambda x: np.asarray(x, np.float64)  # noqa: E731
    v = get(body.v_template) + np.einsum("s,svc->vc", betas, get(body.shapedirs))
    v = v + np.einsum("s,svc->vc", expression, get(body.exprdirs))
    joints = get(body.J_regressor) @ v
    local = np.stack([rodrigues(p) for p in pose])
    if len(body.posedirs):
        v = v + np.einsum("p,pvc->vc", (local[1:] - np.eye(3)).ravel(), get(body.posedirs))
    world = []
    for j, parent in enumerate(body.parents):
        matrix = np.eye(4)
        matrix[:3, :3] = local[j]
        matrix[:3, 3] = joints[j] - (joints[parent] if parent >= 0 else 0)
        world.append(matrix if parent < 0 else world[parent] @ matrix)
    world = np.stack(world)
    moved = world.copy()
    moved[:, :3, 3] -= np.einsum("jab,jb->ja", world[:, :3, :3], joints)
    blend = np.einsum("vj,jab->vab", get(body.lbs_weights), moved)
    homogeneous = np.concatenate([v, np.ones((len(v), 1))], -1)
    return np.einsum("vab,vb->va", blend, homogeneous)[:, :3] + transl, world[:, :3, 3] + transl


@pytest.mark.parametrize("kind", ["smpl", "smplh", "smplx", "open"])
def test_equals_the_slow_reference(tmp_path, kind):
    if kind == "open":
        body = assets.load_body()
    else:
        np.savez(tmp_path / f"{kind}.npz", **random_model(kind, vertices=80))
        body = assets.load_body(str(tmp_path / f"{kind}.npz"))
    rng = np.random.default_rng(0)
    betas, expression = rng.normal(size=10), rng.normal(size=body.exprdirs.shape[0])
    pose, transl = rng.normal(0, 0.7, (body.num_joints, 3)), rng.normal(size=3)
    expected = slow_forward(body, betas, expression, pose, transl)
    real = lambda x: jnp.asarray(x, jnp.float32)  # noqa: E731
    got = jax.jit(lbs.forward)(
        body, real(betas), real(expression), rotation.axis_angle_to_matrix(real(pose)), real(transl)
    )
    np.testing.assert_allclose(got[0], expected[0], atol=3e-6)
    np.testing.assert_allclose(got[1], expected[1], atol=3e-6)


@pytest.fixture(scope="module")
def body():
    return assets.load_body()


@pytest.fixture(scope="module")
def posed(body):
    return jax.jit(lambda v: lbs.posed_vertices(body, params.unpack(v)))


def test_zero_pose_is_the_template(body, posed):
    vertices, joints = posed(jnp.zeros(188))
    np.testing.assert_allclose(vertices + body.J_template[0], body.v_template, atol=1e-6)
    np.testing.assert_allclose(joints[0], 0, atol=1e-7)


def test_open_body_frame_and_proportions(body):
    joints = np.asarray(body.J_template - body.J_template[0])
    at = {name: joints[i] for name, i in params.JOINT_INDEX.items()}
    assert at["head"][1] > 0.5 and at["left_ankle"][1] < -0.7, "y is up"
    assert at["left_wrist"][0] > 0.6 and at["right_wrist"][0] < -0.6, "x to the person's left"
    assert at["left_foot"][2] > at["left_ankle"][2] + 0.05, "toes and face point to +z"
    assert abs(at["left_wrist"][1] - at["left_shoulder"][1]) < 0.02, "arms out: a T-pose"
    np.testing.assert_allclose(np.asarray(body.lbs_weights).sum(1), 1, atol=1e-5)
    edges = np.sort(np.asarray(body.faces)[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all(), "a closed surface"


def test_turning_the_pelvis_turns_everything(posed):
    rng = np.random.default_rng(1)
    vector = rng.normal(0, 0.3, 188).astype(np.float32)
    turned = vector.copy()
    vector[20:23] = 0
    turned[20:23] = [0.3, -1.0, 0.4]
    matrix = rodrigues(turned[20:23])
    for plain, moved in zip(posed(jnp.asarray(vector)), posed(jnp.asarray(turned)), strict=True):
        np.testing.assert_allclose(moved, np.asarray(plain) @ matrix.T, atol=2e-6)


def test_mirrored_vector_gives_the_mirrored_body(body, posed):
    rng = np.random.default_rng(2)
    vector = rng.normal(0, 0.4, 188).astype(np.float32)
    with np.load(assets.open_body_path()) as file:
        twin = file["mirror"]
    plain, mirrored = posed(jnp.asarray(vector))[0], posed(jnp.asarray(params.mirror(vector)))[0]
    np.testing.assert_allclose(
        np.asarray(mirrored)[twin], np.asarray(plain) * [-1, 1, 1], atol=2e-3
    )


def test_batch_dimensions_vmap_and_grad(body, posed):
    vector = jnp.asarray(np.random.default_rng(3).normal(0, 0.3, (2, 3, 188)), jnp.float32)
    together = posed(vector)[0]
    assert together.shape == (2, 3, body.num_vertices, 3)
    np.testing.assert_allclose(together[1, 2], posed(vector[1, 2])[0], atol=1e-6)
    gradient = jax.jit(jax.grad(lambda v: jnp.sum(posed(v)[0] ** 2)))(jnp.zeros(188))
    assert np.isfinite(gradient).all()


@pytest.fixture
def small(tmp_path):
    """A random SMPL body with pose correctives, 60 vertices."""
    np.savez(tmp_path / "m.npz", **random_model("smpl", vertices=60))
    yield assets.load_body(str(tmp_path / "m.npz"))
    assets.load_body.cache_clear()


def test_groups_of_a_large_batch_equal_the_whole_in_both_derivatives(small, monkeypatch):
    rng = np.random.default_rng(6)
    real = lambda *shape: jnp.asarray(rng.normal(0, 0.3, shape), jnp.float32)  # noqa: E731
    betas, pose, push, pull = real(10), real(7, 24, 3), real(7, 24, 3), real(60, 3)

    def loss(pose):
        matrices = rotation.axis_angle_to_matrix(pose)
        vertices = lbs.forward(small, betas, jnp.zeros((1, 0)), matrices)[0]
        return jnp.einsum("bvc,vc->", vertices, pull)

    value, gradient = jax.jit(jax.value_and_grad(loss))(pose)
    monkeypatch.setattr(skinning, "_CPU_VERTICES", 4 * 60)  # four frames, then three
    again = jax.jit(lambda p: jax.value_and_grad(loss)(p))(pose)
    np.testing.assert_allclose(again[0], value, rtol=1e-5)
    np.testing.assert_allclose(again[1], gradient, atol=1e-5)
    slope = jax.jit(lambda p, d: jax.jvp(loss, (p,), (d,))[1])(pose, push)
    np.testing.assert_allclose(slope, jnp.sum(gradient * push), rtol=1e-4)


def test_leading_dimensions_broadcast(small):
    rng = np.random.default_rng(7)
    real = lambda *shape: jnp.asarray(rng.normal(0, 0.3, shape), jnp.float32)  # noqa: E731
    betas, expression, pose = real(2, 1, 10), real(3, 0), real(1, 1, 3, 24, 3)
    matrices, transl = rotation.axis_angle_to_matrix(pose), real(3)
    run = jax.jit(lbs.forward)
    together = run(small, betas, expression, matrices, transl)
    assert together[0].shape == (1, 2, 3, 60, 3) and together[1].shape == (1, 2, 3, 24, 3)
    one = run(small, betas[1, 0], expression[2], matrices[0, 0, 2], transl)
    for all_, single in zip(together, one, strict=True):
        np.testing.assert_allclose(all_[0, 1, 2], single, atol=1e-6)


def test_bfloat16_error_is_below_two_centimetres(body):
    low = jax.tree.map(lambda x: x.astype(jnp.bfloat16) if x.dtype == jnp.float32 else x, body)
    rng = np.random.default_rng(4)
    pose = rotation.axis_angle_to_matrix(jnp.asarray(rng.normal(0, 0.3, (55, 3)), jnp.float32))
    zeros = jnp.zeros(10)
    run = jax.jit(lbs.forward)
    exact = run(body, zeros, zeros, pose)[0]
    rough = run(
        low, zeros.astype(jnp.bfloat16), zeros.astype(jnp.bfloat16), pose.astype(jnp.bfloat16)
    )[0]
    assert rough.dtype == jnp.bfloat16
    error = np.abs(np.asarray(rough, np.float32) - np.asarray(exact))
    assert error.max() < 0.02 and error.mean() < 0.004, (error.max(), error.mean())


def test_too_many_coefficients_are_refused(body):
    with pytest.raises(ValueError, match="has 10 shape and 10 expression directions, got 11"):
        lbs.shaped(body, jnp.zeros(11), jnp.zeros(10))


def test_smpl_files_take_body_vectors(tmp_path):
    np.savez(tmp_path / "m.npz", **random_model("smplh", vertices=80))
    body = assets.load_body(str(tmp_path / "m.npz"))
    vector = jnp.asarray(np.random.default_rng(5).normal(0, 0.3, 188), jnp.float32)
    vertices, joints = lbs.posed_vertices(body, params.unpack(vector))
    assert vertices.shape == (80, 3) and joints.shape == (52, 3)
    pose = vector[20:185].reshape(55, 3)
    rotations = rotation.axis_angle_to_matrix(jnp.concatenate([pose[:22], pose[25:]]))
    expected, pelvis = lbs.forward(body, vector[:10], jnp.zeros(0), rotations)
    np.testing.assert_allclose(vertices, expected - pelvis[0], atol=1e-6)


def test_projection_follows_the_documented_frame():
    points = jnp.array([[[0.0, 0.0, 0.0], [0.5, 0.25, 1.0]]])
    picture = camera.project(points, jnp.array([[0.8, 0.1, -0.2]]))
    np.testing.assert_allclose(picture[0, 0], [0.08, 0.16, 0.0], atol=1e-6)
    np.testing.assert_allclose(picture[0, 1], [0.48, -0.04, -1.0], atol=1e-6)
