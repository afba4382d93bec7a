"""Parity with the smplx package on random files in the official formats (needs torch, smplx).

smplx adds 1e-8 to every component inside its Rodrigues formula. That moves an angle by less than
2e-8 rad, below float32 here; it shows at one place only, the vector (-1e-8, -1e-8, -1e-8), where
smplx divides by zero (last test).
"""

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
# In the order in which smplx appends them: face, feet, hands.
VERTEX_IDS = {name: 3 * i for i, name in enumerate(_FACE + _FEET + _TIPS)}
BATCH = 3


def build(kind, path, monkeypatch, betas=10, expression=10, batch=BATCH, **options):
    """Returns the smplx module of a file, in float32, hands as 45 numbers unless told."""
    monkeypatch.setattr(
        smplx.body_models, "VERTEX_IDS", dict.fromkeys(("smplh", "smplx"), VERTEX_IDS)
    )
    options = {"use_pca": False, "flat_hand_mean": True} | options
    options |= {"ext": "npz", "num_betas": betas, "batch_size": batch, "dtype": torch.float32}
    if kind == "smpl":
        struct = smplx.utils.Struct(**np.load(path))
        return smplx.SMPL(str(path), data_struct=struct, vertex_ids=VERTEX_IDS, **options)
    if kind == "smplh":
        return smplx.SMPLH(str(path), vertex_ids=VERTEX_IDS, **options)
    return smplx.SMPLX(str(path), num_expression_coeffs=expression, **options)


@jax.jit
def ours(body, values):
    rotations = rotation.axis_angle_to_matrix(values["pose"].reshape(BATCH, -1, 3))
    return lbs.forward(body, values["betas"], values["expression"], rotations, values["transl"])


@jax.jit
def our_gradients(body, values, pulls):
    def loss(values):
        return sum(jnp.sum(x * pull) for x, pull in zip(ours(body, values), pulls, strict=True))

    return jax.grad(loss)(values)


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
    return model(betas=values["betas"], **parts)


def random_values(body, turn, seed):
    """Parameters; `turn` is the size of the pose, or "pi": the root half a turn round, as cameras
    see people, a little less or more."""
    rng = np.random.default_rng(seed)
    pose = rng.normal(size=(BATCH, body.num_joints, 3)) * (0.5 if turn == "pi" else turn)
    if turn == "pi":
        axis = pose[:, :1] / np.linalg.norm(pose[:, :1], axis=-1, keepdims=True)
        pose[:, :1] = axis * (np.pi + np.array([-1e-4, 0, 1e-4])).reshape(BATCH, 1, 1)
    values = {
        # The many directions of a real file move less and less; here all move the same.
        "betas": rng.normal(size=(BATCH, body.num_betas)) / np.sqrt(body.num_betas / 10),
        "expression": rng.normal(size=(BATCH, body.num_expression))
        / np.sqrt(max(body.num_expression, 10) / 10),
        "pose": pose.reshape(BATCH, -1),
        "transl": rng.normal(size=(BATCH, 3)),
    }
    return {key: value.astype(np.float32) for key, value in values.items()}


# Kind, directions in the file, shape coefficients that smplx uses of them (SMPL-X files hold
# 10 + 10 or 300 + 100 directions).
CASES = [("smpl", 10, 10), ("smplh", 16, 10), ("smplx", 20, 10), ("smplx", 400, 300)]


@pytest.fixture(params=CASES, ids=lambda c: f"{c[0]}-{c[1]}")
def case(request, tmp_path, monkeypatch):
    kind, directions, betas = request.param
    expression = 100 if betas == 300 else 10
    np.savez(tmp_path / "model.npz", **random_model(kind, 300, directions))
    body = assets.load_body(str(tmp_path / "model.npz"), betas, expression)
    yield body, build(kind, tmp_path / "model.npz", monkeypatch, betas, expression), kind
    assets.load_body.cache_clear()


def test_vertices_joints_and_gradients(case):
    body, model, kind = case
    rng = np.random.default_rng(3)
    for seed, turn in enumerate((0.0, 0.5, 0.5, "pi")):
        values = random_values(body, turn, seed)
        tensors = {k: torch.tensor(v, requires_grad=True) for k, v in values.items()}
        out = theirs(model, kind, tensors)
        expected = out.vertices, out.joints[:, : body.num_joints]
        got = ours(body, values)
        for mine, other, what in zip(got, expected, ("vertices", "joints"), strict=True):
            error = np.abs(np.asarray(mine) - other.detach().numpy()).max()
            assert error < 1e-6, f"{what} {error} m at {turn}"
        pulls = [rng.normal(size=x.shape).astype(np.float32) for x in got]
        sum(torch.sum(x * torch.tensor(p)) for x, p in zip(expected, pulls, strict=True)).backward()
        gradients = our_gradients(body, values, pulls)
        for key, tensor in tensors.items():
            if tensor.grad is None:  # the expression of bodies without one
                assert kind != "smplx" and gradients[key].size == 0, key
                continue
            expected_slope = tensor.grad.numpy()
            error = np.linalg.norm(gradients[key] - expected_slope)
            assert error < 1e-4 * np.linalg.norm(expected_slope), f"{key} at {turn}"
        picked = got[0][:, np.array(tuple(VERTEX_IDS.values()))]
        count = body.num_joints + len(VERTEX_IDS)
        extra = out.joints.detach().numpy()[:, body.num_joints : count]
        np.testing.assert_allclose(picked, extra, atol=1e-6)


def test_where_the_1e_8_of_smplx_shows():
    from smplx.lbs import batch_rodrigues

    vector = np.full((1, 3), -1e-8, np.float32)
    assert np.isnan(batch_rodrigues(torch.tensor(vector)).numpy()).any()
    np.testing.assert_allclose(rotation.axis_angle_to_matrix(vector)[0], np.eye(3), atol=2e-8)
    rng = np.random.default_rng(5)
    for angle in (0.0, 1e-7, 1e-4, 0.1, 3.0, np.pi):
        axis = rng.normal(size=(64, 3))
        vectors = (axis / np.linalg.norm(axis, axis=1, keepdims=True) * angle).astype(np.float32)
        expected = batch_rodrigues(torch.tensor(vectors)).numpy()
        np.testing.assert_allclose(rotation.axis_angle_to_matrix(vectors), expected, atol=5e-7)
