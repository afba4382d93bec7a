"""Parity with the smplx package on random files in the official formats (needs torch, smplx)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from body_files import random_model

from hvc_jax.body import assets, lbs
from hvc_jax.ops import rotation

pytestmark = pytest.mark.smplx
torch = pytest.importorskip("torch", reason="pip install '.[smplx]'")
smplx = pytest.importorskip("smplx", reason="pip install '.[smplx]'")

_TIPS = [s + f for s in "lr" for f in ("thumb", "index", "middle", "ring", "pinky")]
_FEET = [s + f for s in "LR" for f in ("BigToe", "SmallToe", "Heel")]
_FACE = ["nose", "reye", "leye", "rear", "lear"]
VERTEX_IDS = {name: i for i, name in enumerate(_TIPS + _FEET + _FACE)}


def build(kind, path, monkeypatch, flat=True):
    """Returns the smplx module of a file, in float32, hands as 45 numbers."""
    monkeypatch.setattr(
        smplx.body_models, "VERTEX_IDS", dict.fromkeys(("smplh", "smplx"), VERTEX_IDS)
    )
    options = {"ext": "npz", "num_betas": 10, "batch_size": 3, "dtype": torch.float32}
    if kind == "smpl":
        struct = smplx.utils.Struct(**np.load(path))
        return smplx.SMPL(str(path), data_struct=struct, vertex_ids=VERTEX_IDS, **options)
    options |= {"use_pca": False, "flat_hand_mean": flat}
    if kind == "smplh":
        return smplx.SMPLH(str(path), vertex_ids=VERTEX_IDS, **options)
    return smplx.SMPLX(str(path), num_expression_coeffs=10, **options)


def ours(body, values):
    rotations = rotation.axis_angle_to_matrix(values["pose"].reshape(3, -1, 3))
    return lbs.forward(body, values["betas"], values["expression"], rotations, values["transl"])


def theirs(model, kind, values):
    pose = values["pose"]
    parts = {"global_orient": pose[:, :3], "body_pose": pose[:, 3:66], "transl": values["transl"]}
    if kind == "smpl":
        parts["body_pose"] = pose[:, 3:]
    if kind == "smplh":
        parts |= {"left_hand_pose": pose[:, 66:111], "right_hand_pose": pose[:, 111:]}
    if kind == "smplx":
        names = ("jaw_pose", "leye_pose", "reye_pose")
        parts |= {n: pose[:, 66 + 3 * k : 69 + 3 * k] for k, n in enumerate(names)}
        parts |= {"left_hand_pose": pose[:, 75:120], "right_hand_pose": pose[:, 120:]}
        parts["expression"] = values["expression"]
    out = model(betas=values["betas"], **parts)
    return out.vertices, out.joints


def random_values(joints, expression, scale, seed):
    rng = np.random.default_rng(seed)
    return {
        "betas": rng.normal(size=(3, 10)).astype(np.float32),
        "expression": rng.normal(size=(3, expression)).astype(np.float32),
        "pose": (scale * rng.normal(size=(3, 3 * joints))).astype(np.float32),
        "transl": rng.normal(size=(3, 3)).astype(np.float32),
    }


CASES = [("smpl", 10), ("smplh", 16), ("smplx", 20), ("smplx", 400)]


@pytest.mark.parametrize(("kind", "directions"), CASES)
@pytest.mark.parametrize("scale", [0.0, 0.5])
def test_vertices_and_joints(tmp_path, monkeypatch, kind, directions, scale):
    path = tmp_path / "model.npz"
    np.savez(path, **random_model(kind, 300, directions))
    body = assets.load_body(str(path))
    model = build(kind, path, monkeypatch)
    values = random_values(body.num_joints, body.exprdirs.shape[0], scale, 1)
    with torch.no_grad():
        expected = theirs(model, kind, {k: torch.tensor(v) for k, v in values.items()})
    got = jax.jit(ours)(body, {k: jnp.asarray(v) for k, v in values.items()})
    np.testing.assert_allclose(got[0], expected[0].numpy(), atol=2e-6)
    np.testing.assert_allclose(got[1], expected[1].numpy()[:, : body.num_joints], atol=2e-6)
    assert np.abs(np.asarray(got[0]) - expected[0].numpy()).mean() < 3e-7
    assets.load_body.cache_clear()


@pytest.mark.parametrize(("kind", "directions"), CASES[:3])
def test_gradients(tmp_path, monkeypatch, kind, directions):
    path = tmp_path / "model.npz"
    np.savez(path, **random_model(kind, 300, directions))
    body = assets.load_body(str(path))
    model = build(kind, path, monkeypatch)
    values = random_values(body.num_joints, body.exprdirs.shape[0], 0.5, 2)
    rng = np.random.default_rng(3)
    pull = rng.normal(size=(3, body.num_vertices, 3)).astype(np.float32)
    tensors = {k: torch.tensor(v, requires_grad=True) for k, v in values.items()}
    (theirs(model, kind, tensors)[0] * torch.tensor(pull)).sum().backward()
    gradients = jax.jit(jax.grad(lambda v: jnp.sum(ours(body, v)[0] * pull)))(
        {k: jnp.asarray(v) for k, v in values.items()}
    )
    for key, tensor in tensors.items():
        if tensor.grad is None:
            continue
        expected = tensor.grad.numpy()
        error = np.linalg.norm(gradients[key] - expected) / np.linalg.norm(expected)
        assert error < 1e-4, (key, error)
    assets.load_body.cache_clear()


def test_hands_from_components_and_landmarks(tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    np.savez(path, **random_model("smplx", 300, 20))
    body = assets.load_body(str(path))
    monkeypatch.setattr(smplx.body_models, "VERTEX_IDS", {"smplx": VERTEX_IDS})
    model = smplx.SMPLX(str(path), num_pca_comps=6, flat_hand_mean=False, ext="npz")
    coefficients = np.random.default_rng(4).normal(size=(2, 1, 6)).astype(np.float32)
    out = model(
        left_hand_pose=torch.tensor(coefficients[0]),
        right_hand_pose=torch.tensor(coefficients[1]),
        return_full_pose=True,
    )
    pose = np.zeros((1, 55, 3), np.float32)
    pose[:, 25:40] = lbs.hand_pose(body, jnp.asarray(coefficients[0]), "left")
    pose[:, 40:] = lbs.hand_pose(body, jnp.asarray(coefficients[1]), "right")
    np.testing.assert_allclose(pose.reshape(1, -1), out.full_pose.detach().numpy(), atol=1e-6)
    vertices, _ = lbs.forward(
        body, jnp.zeros((1, 10)), jnp.zeros((1, 10)), rotation.axis_angle_to_matrix(pose)
    )
    np.testing.assert_allclose(vertices, out.vertices.detach().numpy(), atol=2e-6)
    points = out.joints.detach().numpy()[:, 55 + len(VERTEX_IDS) :]
    np.testing.assert_allclose(lbs.landmarks(body, vertices), points, atol=2e-6)
    assets.load_body.cache_clear()
