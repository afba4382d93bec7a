"""Parameter files of others: each source's picture equals the one its own convention gives."""

import jax.numpy as jnp
import numpy as np
import pytest

from hvc_jax.body import assets, camera, files, lbs, parameter_files, params
from hvc_jax.body.parameter_cameras import PELVIS, View
from hvc_jax.ops import rotation

RNG = np.random.default_rng(0)


def uncentred(pose):
    """Vertices [T, V, 3] of the open body as a SMPL-X package would return them."""
    body = assets.load_body()
    zeros = jnp.zeros((len(pose), 10))
    matrices = rotation.axis_angle_to_matrix(jnp.asarray(pose))
    return np.asarray(lbs.forward(body, zeros, zeros, matrices)[0])


def picture(vectors):
    state = params.unpack(jnp.asarray(vectors))
    vertices, _ = lbs.posed_vertices(assets.load_body(), state)
    return np.asarray(camera.project(vertices, state.camera))


@pytest.mark.parametrize("matrices", [False, True])
def test_estimator_file_projects_as_its_own_camera_does(tmp_path, matrices):
    pose = RNG.normal(0, 0.3, (2, 55, 3)).astype(np.float32)
    pose[:, 0] += [np.pi - 0.2, 0, 0]  # cameras look at people upside down: y points down
    cam = np.array([[0.8, 0.1, 0.2], [0.7, -0.1, 0.3]], np.float32)
    parts = {"global_orient": pose[:, :1], "body_pose": pose[:, 1:22], "jaw_pose": pose[:, 22:23]}
    parts |= {"leye_pose": pose[:, 23:24], "reye_pose": pose[:, 24:25]}
    parts |= {"left_hand_pose": pose[:, 25:40], "right_hand_pose": pose[:, 40:]}
    if matrices:
        parts = {
            k: np.asarray(rotation.axis_angle_to_matrix(jnp.asarray(v))) for k, v in parts.items()
        }
    else:
        parts = {k: v.reshape(2, -1) for k, v in parts.items()}
    np.savez(tmp_path / "e.npz", **parts, pred_cam=cam)
    rest = np.asarray(assets.load_body().J_template[0])
    got = picture(parameter_files.load_parameters(tmp_path / "e.npz", pelvis=rest).bodies)
    vertices = uncentred(pose)
    expected = cam[:, None, :1] * (vertices[..., :2] + cam[:, None, 1:])
    np.testing.assert_allclose(got[..., :2], expected, atol=1e-5)
    order = vertices[..., 2] - (vertices[..., 2] - got[..., 2]).mean(-1, keepdims=True)
    np.testing.assert_allclose(got[..., 2], order, atol=1e-5)


def _estimate(**fields):
    """Fields of an estimator's file of two upright bodies, with a camera."""
    orient = np.tile(np.array([[np.pi, 0, 0]], np.float32), (2, 1))
    return {"global_orient": orient, "body_pose": np.zeros((2, 69), np.float32)} | fields


def _pelvis_on_screen(path, view):
    vectors = parameter_files.load_parameters(path, view=view).bodies
    return vectors[:, 185:186] * vectors[:, 186:] * [1, -1], vectors[:, 185]


@pytest.mark.parametrize(("fit", "side"), [("crop", 240), ("pad", 320)])
def test_cameras_of_wide_pictures_point_where_their_own_do(tmp_path, fit, side):
    view, pelvis = View(320, 240, fit), np.array(PELVIS["smpl"])
    # VIBE's: over the whole picture, sx and sy apart.
    cam = np.array([[0.6, 0.8, 0.3, 0.1], [0.6, 0.8, -0.2, 0.2]], np.float32)
    np.savez(tmp_path / "v.npz", **_estimate(orig_cam=cam))
    u = cam[:, 0] * (pelvis[0] + cam[:, 2])
    v = cam[:, 1] * (pelvis[1] + cam[:, 3])
    pixel = np.stack([(u + 1) * 160, (v + 1) * 120], -1)
    at, scale = _pelvis_on_screen(tmp_path / "v.npz", view)
    np.testing.assert_allclose(at, (pixel - [160, 120]) * 2 / side, atol=1e-5)
    np.testing.assert_allclose(scale * side / 2, 0.6 * 160, rtol=1e-5)  # pixels a metre
    # A crop's, with the crop: 200 pixels wide, off the picture's middle.
    cam = np.array([[0.9, 0.1, 0.2], [0.7, -0.3, 0.1]], np.float32)
    crop = np.array([[140.0, 130, 200, 200], [180.0, 90, 200, 200]], np.float32)
    np.savez(tmp_path / "c.npz", **_estimate(pred_cam=cam, bboxes=crop))
    pixel = crop[:, :2] + 100 * cam[:, :1] * (pelvis[:2] + cam[:, 1:])
    at, scale = _pelvis_on_screen(tmp_path / "c.npz", view)
    np.testing.assert_allclose(at, (pixel - [160, 120]) * 2 / side, atol=1e-5)
    np.testing.assert_allclose(scale * side / 2, 100 * cam[:, 0], rtol=1e-5)
    # A perspective one, by its matrix and by its focal length.
    transl = np.array([[0.3, 0.2, 5.0], [-0.4, 0.1, 6.0]], np.float32)
    matrix = np.array([[500.0, 0, 150], [0, 500, 110], [0, 0, 1]], np.float32)
    place = transl + pelvis
    pixel = 500 * place[:, :2] / place[:, 2:] + [150, 110]
    lenses = ({"K": matrix}, {"focal_length": np.float32(500), "princpt": np.array([150.0, 110])})
    for lens in lenses:
        np.savez(tmp_path / "k.npz", **_estimate(transl=transl, **lens))
        at, scale = _pelvis_on_screen(tmp_path / "k.npz", view)
        np.testing.assert_allclose(at, (2 * pixel + 1 - [320, 240]) / side, atol=1e-5)
        np.testing.assert_allclose(scale, 2 * 500 / place[:, 2] / side, rtol=1e-5)


def test_files_of_hvc_fit_come_back_as_they_are(tmp_path):
    vectors = RNG.normal(size=(3, 188)).astype(np.float32)
    np.save(tmp_path / "b.npy", vectors)
    np.savez(tmp_path / "b.npz", bodies=vectors, confidence=np.ones(3))
    for name in ("b.npy", "b.npz"):
        found = parameter_files.load_parameters(tmp_path / name)
        np.testing.assert_array_equal(found.bodies, vectors)
    np.save(tmp_path / "nan.npy", vectors * np.nan)
    with pytest.raises(files.BodyFileError, match="not finite"):
        parameter_files.load_parameters(tmp_path / "nan.npy")


def test_smpl_pose_rows_are_those_of_a_camera(tmp_path):
    pose = np.zeros((2, 72), np.float32)
    pose[:, 0], pose[:, 48] = np.pi, 0.7  # upright for a camera; left shoulder
    np.savez(tmp_path / "p.npz", pose=pose, pred_cam=np.tile([0.8, 0, 0.2], (2, 1)))
    state = params.unpack(parameter_files.load_parameters(tmp_path / "p.npz").bodies)
    np.testing.assert_allclose(state.global_orient, 0, atol=1e-5)
    assert state.body_pose[0, 15, 0] == np.float32(0.7)


def test_amass_stands_up(tmp_path):
    pose = np.zeros((3, 156), np.float32)
    pose[:, 0] = np.pi / 2  # upright in a world whose z is up, facing -y
    pose[:, 3 * 22] = 0.3  # first hand joint
    np.savez(tmp_path / "a.npz", poses=pose, betas=np.ones(16), trans=np.zeros((3, 3)))
    vectors = parameter_files.load_parameters(tmp_path / "a.npz").bodies
    state = params.unpack(vectors)
    np.testing.assert_allclose(state.global_orient, 0, atol=1e-6)
    assert state.betas.max() == 0
    assert vectors[0, params.VECTOR_INDEX["left_index1_x"]] == np.float32(0.3)
    kept = parameter_files.load_parameters(tmp_path / "a.npz", keep_shape=True).bodies
    np.testing.assert_array_equal(params.unpack(kept).betas, 1)


def test_amass_smplx_layout(tmp_path):
    fields = {"root_orient": (4, 3), "pose_body": (4, 63), "pose_hand": (4, 90)}
    fields |= {"pose_jaw": (4, 3), "pose_eye": (4, 6)}
    values = {k: RNG.normal(0, 0.2, s).astype(np.float32) for k, s in fields.items()}
    np.savez(tmp_path / "x.npz", **values, surface_model_type=np.array("smplx"))
    state = params.unpack(parameter_files.load_parameters(tmp_path / "x.npz").bodies)
    np.testing.assert_array_equal(state.body_pose[:, 21].reshape(4, 3), values["pose_jaw"])
    np.testing.assert_array_equal(state.body_pose[:, 24:].reshape(4, 90), values["pose_hand"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"betas": np.zeros(10)}, "none of 'poses'"),
        ({"poses": np.zeros((4, 100))}, "'poses' has shape"),
        (
            {"global_orient": np.zeros((4, 3)), "body_pose": np.zeros((4, 60))},
            "'body_pose' has shape",
        ),
        (
            {"global_orient": np.zeros((4, 3)), "body_pose": np.zeros((4, 63)), "cam": np.zeros(3)},
            "'cam' has shape",
        ),
        (_estimate(pred_cam_t=np.ones((2, 3))), "focal length"),
        (_estimate(transl=-np.ones((2, 3)), focal_l=np.ones(2)), "behind the camera"),
        ({"bodies": np.zeros((4, 100))}, "hvc fit"),
    ],
)
def test_wrong_files_name_the_field(tmp_path, fields, message):
    np.savez(tmp_path / "p.npz", **fields)
    with pytest.raises(files.BodyFileError, match=message):
        parameter_files.load_parameters(tmp_path / "p.npz", view=View(64, 64))
