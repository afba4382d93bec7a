"""Parameters as estimators really write them: cameras, nested people, gaps, rates, hands."""

import io
import json
import pickle

import numpy as np
import pytest
from body_files import random_model
from scipy.spatial.transform import Rotation

from hvc_jax.body import assets
from hvc_jax.body.files import BodyFileError
from hvc_jax.body.parameter_cameras import PELVIS, View
from hvc_jax.body.parameter_files import describe, load_parameters
from hvc_jax.body.params import BODY_VECTOR_SIZE, CAMERA, VECTOR_INDEX, unpack

T = 6
RNG = np.random.default_rng(3)
POSE = RNG.normal(0, 0.3, (T, 24, 3))
POSE[:, 0] += [np.pi, 0, 0]
PELVIS_SMPL = np.array(PELVIS["smpl"])
WIDE = View(320, 240)


def _matrices(vectors):
    return Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(*vectors.shape, 3)


def _expected():
    """[T, 22, 3]: the body's joints with the root turned upright."""
    out = POSE[:, :22].copy()
    turn = Rotation.from_rotvec([np.pi, 0, 0])
    out[:, 0] = (turn * Rotation.from_rotvec(POSE[:, 0])).as_rotvec()
    return out


def _check_pose(found, rows=slice(None)):
    state = unpack(found.bodies)
    got = np.concatenate([state.global_orient[:, None], state.body_pose[:, :21]], 1)
    np.testing.assert_allclose(got, _expected()[rows], atol=1e-5)


def _split(root="global_orient", body="body_pose", joints=23):
    return {root: POSE[:, :1], body: POSE[:, 1 : 1 + joints]}


def _save(path, fields, kind):
    path = path.with_suffix(f".{kind}")
    if kind == "npz":
        np.savez(path, **fields)
    elif kind == "npy":
        np.save(path, fields)
    elif kind == "json":
        listed = {k: np.asarray(v).tolist() for k, v in fields.items()}
        path.write_text(json.dumps(listed))
    else:
        path.write_bytes(pickle.dumps(fields))
    return path


@pytest.mark.parametrize("kind", ["npz", "npy", "json", "pkl"])
@pytest.mark.parametrize("joints", [21, 23])
def test_joints_as_vectors_and_matrices_in_every_kind_of_file(tmp_path, kind, joints):
    camera = {"orig_cam": np.tile([0.8, 0.8, 0, 0.2], (T, 1))}
    split = _split(joints=joints)
    shapes = [
        split,
        {k: v.reshape(T, -1) for k, v in split.items()},
        {k: _matrices(v) for k, v in split.items()},
        {"pose": POSE},
        {"pose": POSE.reshape(T, 72)},
        {"pose": _matrices(POSE)},
        {"pred_rotmat": _matrices(POSE)},
        {"smpl_thetas": POSE.reshape(T, 72)},
        # ROMP has both: the parts are what its authors render.
        split | {"poses": POSE.reshape(T, 72)},
    ]
    for k, fields in enumerate(shapes):
        path = _save(tmp_path / f"{k}", fields | camera, kind)
        _check_pose(load_parameters(path, view=WIDE))


def test_a_single_body(tmp_path):
    camera = {"pred_cam": np.array([0.9, 0, 0.2])}
    for fields in (
        {k: _matrices(v)[0] for k, v in _split().items()},
        {k: _matrices(v)[:1] for k, v in _split().items()},
        {"global_orient": _matrices(POSE)[0, 0], "body_pose": _matrices(POSE)[0, 1:]},
        {"global_orient": POSE[0, 0], "body_pose": POSE[0, 1:].ravel()},
        {"pose": POSE[0].ravel()},
    ):
        np.savez(tmp_path / "one.npz", **fields, **camera)
        _check_pose(load_parameters(tmp_path / "one.npz"), slice(1))
    # Three axis-angle vectors are no matrix.
    np.savez(
        tmp_path / "three.npz", global_orient=POSE[:3, 0], body_pose=POSE[:3, 1:22].reshape(3, 63)
    )
    _check_pose(load_parameters(tmp_path / "three.npz"), slice(3))


def _pixels_of_pelvis(found, view):
    """Where the pelvis is drawn, in pixels of the estimator's picture, and pixels a metre."""
    scale, x, y = found.bodies[:, CAMERA].T
    at = np.stack([scale * x, -scale * y], -1)
    return at * view.side / 2 + np.array([view.width, view.height]) / 2, scale * view.side / 2


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_cameras_draw_the_pelvis_where_their_own_formula_does(tmp_path, fit):
    view = View(320, 240, fit)
    s, tx, ty = np.full(T, 0.6), np.linspace(-0.2, 0.4, T), np.full(T, 0.1)
    cam, x, y = np.stack([s, tx, ty], -1), PELVIS_SMPL[0], PELVIS_SMPL[1]
    at = np.stack([x + tx, y + ty], -1)
    centre, side = np.stack([100 + 5 * np.arange(T), np.full(T, 120.0)], -1), np.full(T, 90.0)
    in_crop = centre + 0.5 * side[:, None] * s[:, None] * at
    crop_scale = 0.5 * side * s
    transl = np.stack([tx, ty, np.full(T, 4.0)], -1)
    point = transl + PELVIS_SMPL
    matrix = np.array([[400.0, 0, 150], [0, 400, 130], [0, 0, 1]])
    seen = 400 * point[:, :2] / point[:, 2:]
    romp = np.array([160, 120]) + 160 * (s[:, None] * [x, y] + cam[:, 1:])
    boxes = np.column_stack([centre, side, side])
    lens, far = np.array(400.0), 400 / point[:, 2]
    off = {"img_focal": lens, "img_center": np.array([150.0, 130.0])}
    cases = {
        "romp": ({"cam": cam, "cam_trans": transl}, romp, 160 * s),
        "romp without its other fields": (
            {"cam": cam, "poses": POSE.reshape(T, 72)}, romp, 160 * s
        ),
        "vibe": ({"pred_cam": cam, "bboxes": boxes}, in_crop, crop_scale),
        "hmr2": (
            {"pred_cam": cam, "box_center": centre, "box_size": side, "pred_cam_t": 9 * transl,
             "focal_length": np.full((T, 2), 5000.0), "img_size": np.tile([320, 240], (T, 1))},
            in_crop, crop_scale,
        ),
        "gvhmr's crop": (
            {"pred_cam": cam, "bbx_xys": np.column_stack([centre, side])}, in_crop, crop_scale
        ),
        "centre of the lens": (
            {"transl": transl, "focal_length": lens, "camera_center": np.array([150.0, 130.0])},
            seen + [150.5, 130.5], far,
        ),
        "cliff": ({"pred_cam": cam, "center": centre, "scale": side / 200}, in_crop, crop_scale),
        "frankmocap": (
            {"pred_camera": cam, "bbox_top_left": centre - side[:, None] / 2,
             "bbox_scale_ratio": 224 / side}, in_crop, crop_scale,
        ),
        "gvhmr": ({"transl": transl, "K_fullimg": np.tile(matrix, (T, 1, 1))},
                  seen + [150.5, 130.5], far),
        "full": ({"pred_cam": cam, "pred_cam_t_full": transl, "scaled_focal_length": lens},
                 seen + [160, 120], far),
        "tram": ({"pred_cam": cam, "pred_trans": transl[:, None], **off},
                 seen + [150.5, 130.5], far),
        "wham": ({"trans": transl, "pose_world": POSE.reshape(T, 72), "trans_world": transl},
                 seen + [160, 120], far),
        "twice the size": (
            {"pred_cam": cam, "box_center": 2 * centre, "box_size": 2 * side,
             "img_size": np.array([640, 480])}, in_crop, crop_scale,
        ),
    }  # fmt: skip
    for name, (fields, pixel, scale) in cases.items():
        np.savez(tmp_path / "c.npz", **_split(), **fields)
        got, size = _pixels_of_pelvis(load_parameters(tmp_path / "c.npz", view=view), view)
        np.testing.assert_allclose(got, pixel, atol=2e-3, err_msg=name)
        np.testing.assert_allclose(size, scale, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weak_cam": np.ones((T, 3))}, "'weak_cam' is of no known convention"),
        ({"K_crop": np.ones((3, 3)), "transl": np.ones((T, 3))}, "'K_crop'"),
        ({"cam": np.ones((T, 3))}, "field 'cam' is of no known convention"),
        ({"pred_trans": np.ones((T, 1, 3)), "pred_cam": np.ones((T, 3))}, "img_focal"),
        ({"img_size": np.array([100, 100]), "pred_cam": np.ones((T, 3))}, "another clip"),
        ({"weak_perspective": np.ones((T, 3))}, "'weak_perspective'"),
        ({"fps": np.array(0.0)}, "'fps' says 0"),
        ({"transl": [[0, 0, 4.0]] * T, "K": np.diag([1.2, 1.7, 1])}, "'K'.*1.4.* pixels"),
        ({"transl": [[0, 0, 4.0]] * T, "focal_length": np.array(35.0)}, "35 pixels"),
        ({"transl": [[0, 0, 4000.0]] * T, "focal_length": np.array(400.0)}, "millimetres"),
        (
            {"pred_cam": np.ones((T, 3)), "bboxes": np.tile([55.0, 75, 145, 165], (T, 1))},
            "no square crops",
        ),
        ({"mocap_framerate": np.array(np.nan)}, "'mocap_framerate' says nan"),
        ({"Rh": np.zeros((T, 3)), "Th": np.zeros((T, 3))}, "EasyMocap"),
        (
            {"root_orient": POSE[:, 0], "cam_R": np.zeros((T, 3, 3)), "cam_t": np.zeros((T, 3))},
            "SLAHMR",
        ),
    ],
)
def test_unknown_cameras_are_refused_by_name(tmp_path, fields, message):
    np.savez(tmp_path / "c.npz", **_split(), **fields)
    with pytest.raises(BodyFileError, match=message):
        load_parameters(tmp_path / "c.npz", view=WIDE)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"global_orient": np.ones((T, 1, 6)), "body_pose": np.ones((T, 23, 6))}, "six numbers"),
        ({"global_orient": np.ones((T, 4)), "body_pose": np.ones((T, 21, 4))}, "quaternions"),
        ({"pred_pose": np.ones((T, 24, 6))}, "'pred_pose'.*six numbers"),
        ({"pose": np.ones((T, 24, 4, 4))}, "4x4 matrices"),
        ({"pose": np.degrees(POSE).reshape(T, 72)}, "'pose'.*degrees"),
        ({"global_orient": POSE[:, 0], "body_pose": np.degrees(POSE[:, 1:])}, "degrees"),
        ({"poses": POSE.reshape(T, 72), "cam_poses": np.ones((T, 4, 4))}, "3DPW"),
        ({"pose": POSE.reshape(T, 72), "frame_ids": np.arange(T + 3)}, "'frame_ids' numbers 9"),
        ({"pose": POSE.reshape(T, 72), "frame_ids": np.arange(T) - 3}, "no frame numbers"),
    ],
)
def test_rotations_and_numbers_that_are_not_understood_are_refused(tmp_path, fields, message):
    np.savez(tmp_path / "a.npz", **fields)
    with pytest.raises(BodyFileError, match=message):
        load_parameters(tmp_path / "a.npz", view=WIDE, frames=20)


def test_what_is_assumed_is_said(tmp_path):
    np.savez(tmp_path / "a.npz", **_split())
    assert "no camera" in load_parameters(tmp_path / "a.npz", view=WIDE).notes[0]
    np.savez(tmp_path / "b.npz", **_split(), pred_cam=np.ones((T, 3)))
    assert (
        "where the crop of pred_cam was" in load_parameters(tmp_path / "b.npz", view=WIDE).notes[0]
    )
    np.savez(tmp_path / "c.npz", **_split(), orig_cam=np.ones((T, 4)))
    assert not load_parameters(tmp_path / "c.npz", view=WIDE).notes


CAMERA_FIELDS = {"orig_cam": np.tile([0.8, 0.8, 0, 0.2], (T, 1))}


def test_rows_belong_to_the_frames_that_they_name(tmp_path):
    ids = np.array([2, 3, 4, 7, 8, 11])
    np.savez(tmp_path / "v.npz", pose=POSE.reshape(T, 72), frame_ids=ids, **CAMERA_FIELDS)
    found = load_parameters(tmp_path / "v.npz", view=WIDE, frames=14)
    assert np.flatnonzero(found.confidence).tolist() == ids.tolist()
    assert len(found.bodies) == 14
    for k, frame in enumerate(ids):
        _check_pose(found._replace(bodies=found.bodies[[frame]]), slice(k, k + 1))
    np.testing.assert_array_equal(found.bodies[0], found.bodies[2])  # held before and after
    np.testing.assert_array_equal(found.bodies[13], found.bodies[11])
    middle = Rotation.from_rotvec(unpack(found.bodies[5]).global_orient)  # a third of the way
    ends = [Rotation.from_rotvec(unpack(found.bodies[t]).global_orient) for t in (4, 7)]
    assert (ends[0].inv() * middle).magnitude() == pytest.approx(
        (ends[0].inv() * ends[1]).magnitude() / 3, rel=1e-4
    )
    late = load_parameters(tmp_path / "v.npz", view=WIDE, frames=14, start=5)
    np.testing.assert_array_equal(late.bodies, found.bodies[5:])
    with pytest.raises(BodyFileError, match="frame_ids name frame 11, the clip has 10"):
        load_parameters(tmp_path / "v.npz", view=WIDE, frames=10)
    assert "6 of 12" in load_parameters(tmp_path / "v.npz", view=WIDE).notes[-1]


def test_masks_say_which_rows_and_frames_count(tmp_path):
    fields = {"pose": POSE.reshape(T, 72), **CAMERA_FIELDS}
    kept = [2, 3, 4, 7, 8, 11]
    np.savez(tmp_path / "m.npz", frame_mask=np.isin(np.arange(14), kept), **fields)
    found = load_parameters(tmp_path / "m.npz", view=WIDE, frames=14)
    assert np.flatnonzero(found.confidence).tolist() == kept
    _check_pose(found._replace(bodies=found.bodies[kept]))
    np.savez(tmp_path / "v.npz", valid=np.array([1, 1, 0, 1, 0, 1], bool), **fields)
    found = load_parameters(tmp_path / "v.npz", view=WIDE)
    assert np.flatnonzero(found.confidence).tolist() == [0, 1, 3, 5]
    lost = POSE.reshape(T, 72).copy()
    lost[4] = 0
    np.savez(tmp_path / "z.npz", pose=lost, **CAMERA_FIELDS)
    assert load_parameters(tmp_path / "z.npz", view=WIDE).confidence.tolist() == [1, 1, 1, 1, 0, 1]


def test_numbers_that_stand_for_single_bodies_are_frames(tmp_path):
    for spelt in (int, str):
        frames = {
            spelt(t): {"pose": POSE[k].reshape(1, 72), "orig_cam": CAMERA_FIELDS["orig_cam"][:1]}
            for k, t in enumerate((2, 3, 4, 7, 8, 11))
        }
        (tmp_path / "f.pkl").write_bytes(pickle.dumps(frames))
        found = load_parameters(tmp_path / "f.pkl", view=WIDE, frames=14)
        kept = np.flatnonzero(found.confidence)
        assert kept.tolist() == [2, 3, 4, 7, 8, 11]
        _check_pose(found._replace(bodies=found.bodies[kept]))


def test_prompthmr_and_folders_of_tram(tmp_path):
    transl = np.stack([np.linspace(-0.2, 0.4, T), np.full(T, 0.1), np.full(T, 4.0)], -1)
    whole = np.concatenate([POSE[:, :22].reshape(T, 66), np.zeros((T, 99))], 1)
    camera = {"img_focal": 500.0, "img_center": np.array([160.0, 120.0])}
    cam = {"pose": whole, "trans": transl, "shape": np.zeros((T, 10))}
    person = {"frames": np.arange(T) + 2, "smplx_cam": cam, "smplx_world": {"pose": whole * 0}}
    (tmp_path / "p.pkl").write_bytes(pickle.dumps({"camera": camera, "people": {"4": person}}))
    found = load_parameters(tmp_path / "p.pkl", view=WIDE, frames=12)
    kept = np.flatnonzero(found.confidence)
    assert kept.tolist() == [2, 3, 4, 5, 6, 7]
    _check_pose(found._replace(bodies=found.bodies[kept]))
    point = transl + np.array(PELVIS["smplx"])
    pixel, scale = _pixels_of_pelvis(found._replace(bodies=found.bodies[kept]), WIDE)
    np.testing.assert_allclose(pixel, 500 * point[:, :2] / point[:, 2:] + [160.5, 120.5], atol=1e-2)
    np.testing.assert_allclose(scale, 500 / point[:, 2], rtol=1e-5)
    (tmp_path / "hps").mkdir()
    np.save(tmp_path / "camera.npy", camera)
    for track, rows in ((0, T), (1, 2)):
        fields = {"pred_rotmat": _matrices(POSE[:rows]), "pred_trans": transl[:rows, None]}
        np.save(tmp_path / "hps" / f"hps_track_{track}.npy", fields | {"frame": np.arange(rows)})
    _check_pose(load_parameters(tmp_path / "hps", view=WIDE, frames=T))
    found = load_parameters(tmp_path / "hps", view=WIDE, frames=T, person=1)
    assert np.flatnonzero(found.confidence).tolist() == [0, 1]


def test_rows_are_told_by_the_names_of_pictures_and_from_one(tmp_path):
    names = np.array([f"out/{t:06d}.png" for t in (1, 2, 3, 5, 6, 7)])
    np.savez(tmp_path / "n.npz", pose=POSE.reshape(T, 72), imgname=names, **CAMERA_FIELDS)
    for frames, kept in ((8, [1, 2, 3, 5, 6, 7]), (7, [0, 1, 2, 4, 5, 6])):
        found = load_parameters(tmp_path / "n.npz", view=WIDE, frames=frames)
        assert np.flatnonzero(found.confidence).tolist() == kept


@pytest.mark.parametrize("field", ["frames", "img_names", "image", "filenames", "frame_ids"])
def test_names_of_pictures_in_any_field_say_the_frame(tmp_path, field):
    names = np.array([f"{t:06d}.jpg" for t in (2, 3, 4, 7, 8, 11)])
    np.savez(tmp_path / "n.npz", pose=POSE.reshape(T, 72), **CAMERA_FIELDS, **{field: names})
    found = load_parameters(tmp_path / "n.npz", view=WIDE, frames=14)
    assert np.flatnonzero(found.confidence).tolist() == [2, 3, 4, 7, 8, 11]
    numbers = np.arange(T)
    np.savez(
        tmp_path / "n.npz",
        pose=POSE.reshape(T, 72),
        frame_id=numbers,
        imgname=names,
        **CAMERA_FIELDS,
    )
    assert load_parameters(tmp_path / "n.npz", view=WIDE, frames=T).confidence.all()


def test_other_files_in_a_folder_of_frames(tmp_path):
    for k, t in enumerate((2, 3, 4, 7, 8, 11)):
        np.savez(tmp_path / f"frame_{t:05d}.npz", pose=POSE[k].ravel(), orig_cam=[0.8, 0.8, 0, 0])
    (tmp_path / "settings.json").write_text('{"fps": 25}')
    found = load_parameters(tmp_path, view=WIDE, frames=14)
    assert np.flatnonzero(found.confidence).tolist() == [2, 3, 4, 7, 8, 11]
    (tmp_path / "z.json").write_text("{")
    with pytest.raises(BodyFileError, match="z.json.*take it out"):
        load_parameters(tmp_path, view=WIDE, frames=14)


def test_people_of_a_frame_in_rows(tmp_path):
    results = {}
    for t in range(T):
        both = np.stack([POSE[t].ravel(), np.zeros(72)])[:: 1 if t % 2 else -1]
        cam = np.tile([0.6, 0, 0], (2, 1))
        ids = np.array([7, 9])[:: 1 if t % 2 else -1]
        results[f"{t:06d}.jpg"] = {"smpl_thetas": both, "cam": cam, "track_ids": ids}
    np.savez(tmp_path / "r.npz", results=results)
    _check_pose(load_parameters(tmp_path / "r.npz", view=WIDE, frames=T, person=7))


def test_rows_that_are_not_finite_are_gaps(tmp_path):
    for name, value in (("pose", np.nan), ("orig_cam", np.inf), ("pose", 1e30), ("orig_cam", 0)):
        fields = {"pose": POSE.reshape(T, 72).copy(), "orig_cam": CAMERA_FIELDS["orig_cam"].copy()}
        fields[name][3, 0] = value
        np.savez(tmp_path / "n.npz", **fields)
        found = load_parameters(tmp_path / "n.npz", view=WIDE)
        assert np.flatnonzero(found.confidence == 0).tolist() == [3]
        assert np.isfinite(found.bodies).all()
    np.savez(tmp_path / "n.npz", pose=np.full((T, 72), np.nan))
    with pytest.raises(BodyFileError, match="no frame has finite"):
        load_parameters(tmp_path / "n.npz", view=WIDE)


@pytest.mark.parametrize("name", ["mocap_framerate", "mocap_frame_rate"])
def test_motion_capture_comes_at_the_rate_of_the_clip(tmp_path, name):
    turn = np.linspace(0, 1, 121)  # a turn about the vertical in a second, at 120/s
    poses = np.zeros((121, 156))
    root = Rotation.from_rotvec([0.5 * np.pi, 0, 0])
    poses[:, :3] = (Rotation.from_rotvec(np.outer(turn, [0, 0, 1])) * root).as_rotvec()
    np.savez(tmp_path / "a.npz", poses=poses, trans=np.zeros((121, 3)), **{name: 120.0})
    found = load_parameters(tmp_path / "a.npz", view=WIDE, fps=25.0)
    assert len(found.bodies) == 26 and "120 frames/s" in found.notes[-1]
    np.testing.assert_allclose(
        unpack(found.bodies).global_orient, np.outer(np.arange(26) / 25, [0, 1, 0]), atol=1e-5
    )
    assert len(load_parameters(tmp_path / "a.npz", fps=120.0).bodies) == 121
    assert "120 frames/s" in describe(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("name", "value", "clip", "rows"),
    [
        ("frameRate", 120.0, 25.0, 26), ("mocap_fps", 120, 30.0, 31), ("fps", "120", 25.0, 26),
        ("mocap_frame_time", 1 / 120, 25.0, 26), ("mocap_framerate", [120.0], 29.97, 30),
        ("mocap_framerate", 120.0, 119.88, 120),
    ],
)  # fmt: skip
def test_rates_in_every_spelling(tmp_path, name, value, clip, rows):
    fields = {"poses": np.zeros((121, 156)), "trans": np.zeros((121, 3)), name: np.array(value)}
    np.savez(tmp_path / "a.npz", **fields)
    assert len(load_parameters(tmp_path / "a.npz", fps=clip).bodies) == rows


def _joined(*indices):
    return {"pose": POSE.reshape(T, 72)[list(indices)], "orig_cam": np.ones((len(indices), 4)),
            "frame_ids": np.array(indices)}  # fmt: skip


def test_people_in_a_file(tmp_path):
    path = tmp_path / "vibe.pkl"
    path.write_bytes(pickle.dumps({1: _joined(0, 1), 4: _joined(1, 2, 3, 4)}))
    found = load_parameters(path, view=WIDE, frames=T)
    assert np.flatnonzero(found.confidence).tolist() == [1, 2, 3, 4]
    assert "2 people (1, 4): 4 is taken" in found.notes[0]
    found = load_parameters(path, view=WIDE, frames=T, person=1)
    assert np.flatnonzero(found.confidence).tolist() == [0, 1]
    with pytest.raises(BodyFileError, match="no person 2; it has 1, 4"):
        load_parameters(path, view=WIDE, person=2)


def test_parameters_beside_their_camera_or_one_of_two_sets(tmp_path):
    inner = {k: v.reshape(T, -1) for k, v in _split(joints=21).items()}
    transl = np.tile([0.5, 0.3, 4.0], (T, 1))
    matrix = np.array([[400.0, 0, 127.5], [0, 400, 127.5], [0, 0, 1]])
    world = {k: v * 0 for k, v in inner.items()} | {"transl": transl * 0}
    trees = [
        {"smpl_params_global": world, "smpl_params_incam": inner | {"transl": transl},
         "K_fullimg": np.tile(matrix, (T, 1, 1))},
        {"pred_smpl_params": inner, "pred_cam_t_full": transl, "scaled_focal_length": 400.0},
        [{"results": {"smplx_params": inner | {"transl": transl}, "K": matrix}}],
    ]  # fmt: skip
    for tree in trees:
        (tmp_path / "t.pkl").write_bytes(pickle.dumps(tree))
        found = load_parameters(tmp_path / "t.pkl", view=View(256, 256))
        _check_pose(found)
        np.testing.assert_allclose(found.bodies[0, CAMERA], [0.776, 0.498, -0.077], atol=1e-3)


def test_a_record_a_frame(tmp_path):
    """ROMP on videos, PHALP, lists, and folders of SMPLer-X and others."""
    single = [{k: v[t] for k, v in _split().items()} for t in range(T)]
    romp = {f"{t:06d}.jpg": single[t] | {"cam": np.array([0.6, 0, 0]), "cam_trans": np.zeros(3)}
            for t in range(T) if t != 2}  # fmt: skip
    np.savez(tmp_path / "romp.npz", results=romp)
    phalp = {
        f"out/{t + 1:06d}.jpg": {
            "tid": [5, 9], "time": t, "camera": [np.array([0, 0, 40.0])] * 2,
            "smpl": [{k: _matrices(v) for k, v in single[t].items()}, single[0]],
        }
        for t in range(T)
    }  # fmt: skip
    (tmp_path / "phalp.pkl").write_bytes(pickle.dumps(phalp))
    listed = [single[t] | {"frame_id": t, "pred_cam": [0.9, 0, 0]} for t in range(T) if t != 2]
    (tmp_path / "listed.pkl").write_bytes(pickle.dumps(listed))
    (tmp_path / "out" / "smplx").mkdir(parents=True)
    (tmp_path / "out" / "meta").mkdir()
    for t in range(T):
        if t == 2:
            continue
        fields = {"transl": np.array([[0, 0, 4.0]]), "global_orient": POSE[t, :1]}
        np.savez(
            tmp_path / "out" / "smplx" / f"{t + 1:05d}_0.npz", body_pose=POSE[t, 1:22], **fields
        )
        meta = {"focal": [400.0, 400.0], "princpt": [159.5, 119.5], "img_path": "a"}
        (tmp_path / "out" / "meta" / f"{t + 1:05d}_0.json").write_text(json.dumps(meta))
    kept = [0, 1, 3, 4, 5]
    for name in ("romp.npz", "listed.pkl", "out/smplx"):
        found = load_parameters(tmp_path / name, view=WIDE, frames=T)
        assert np.flatnonzero(found.confidence).tolist() == kept, name
        _check_pose(found._replace(bodies=found.bodies[kept]), kept)
    found = load_parameters(tmp_path / "phalp.pkl", view=WIDE, frames=T, person=5)
    _check_pose(found)
    assert found.bodies[0, VECTOR_INDEX["camera_scale"]] == pytest.approx(
        2 * 5000 / (40 + PELVIS_SMPL[2]) / 240, rel=1e-5
    )


def test_hands_relative_to_the_mean_pose(tmp_path):
    model = random_model("smplx", vertices=60)
    np.savez(tmp_path / "model.npz", **model)
    body = assets.load_body(str(tmp_path / "model.npz"))
    hands = RNG.normal(0, 0.2, (T, 2, 45))
    fields = _split(joints=21) | {"jaw_pose": np.zeros((T, 3)), "pred_cam": np.ones((T, 3))}

    def save(name, values):
        pair = {"left_hand_pose": values[:, 0], "right_hand_pose": values[:, 1]}
        np.savez(tmp_path / name, **pair, **fields)

    save("h.npz", hands)
    plain = load_parameters(tmp_path / "h.npz", view=WIDE)
    assert any("relative to the mean pose" in note for note in plain.notes)
    full = load_parameters(tmp_path / "h.npz", view=WIDE, body=body)
    assert not any("mean pose" in note for note in full.notes)
    mean = np.stack([model["hands_meanl"], model["hands_meanr"]])
    got = unpack(full.bodies).body_pose[:, 24:].reshape(T, 2, 45)
    np.testing.assert_allclose(got, hands + mean, atol=1e-5)
    # Principal components need the model; matrices are whole rotations.
    np.savez(
        tmp_path / "p.npz",
        left_hand_pose=hands[:, 0, :12],
        right_hand_pose=hands[:, 1, :12],
        **fields,
    )
    with pytest.raises(BodyFileError, match="'left_hand_pose' has shape.*--body"):
        load_parameters(tmp_path / "p.npz", view=WIDE)
    got = unpack(load_parameters(tmp_path / "p.npz", view=WIDE, body=body).bodies)
    left = hands[:, 0, :12] @ model["hands_componentsl"][:12] + model["hands_meanl"]
    np.testing.assert_allclose(got.body_pose[:, 24:39].reshape(T, 45), left, atol=1e-5)
    rotations = _matrices(hands.reshape(T, 2, 15, 3))
    np.savez(
        tmp_path / "m.npz",
        left_hand_pose=rotations[:, 0],
        right_hand_pose=rotations[:, 1],
        **fields,
    )
    got = unpack(load_parameters(tmp_path / "m.npz", view=WIDE, body=body).bodies)
    np.testing.assert_allclose(got.body_pose[:, 24:].reshape(T, 2, 45), hands, atol=1e-5)


def test_pixie(tmp_path):
    body = {"global_pose": _matrices(POSE[:1, :1]), "body_pose": _matrices(POSE[:1, 1:22]),
            "jaw_pose": _matrices(np.zeros((1, 1, 3))), "body_cam": np.array([[0.9, 0, 0.3]]),
            "bbox": np.array([[100.0, 60, 180, 180]]), "shape": np.zeros((1, 200))}  # fmt: skip
    (tmp_path / "a_param.pkl").write_bytes(pickle.dumps(body))
    found = load_parameters(tmp_path / "a_param.pkl", view=WIDE)
    _check_pose(found, slice(1))
    pixel, _ = _pixels_of_pelvis(found, WIDE)
    rest = np.array(PELVIS["smplx"])[:2]
    np.testing.assert_allclose(
        pixel[0], [140, 120] + 0.5 * 1.1 * 120 * 0.9 * (rest + [0, 0.3]), atol=1e-3
    )


def test_bvh_drives_a_body(tmp_path):
    from test_body_bvh import HEADER

    rows = np.zeros((31, 42))
    rows[:, 1] = np.linspace(0, 40, 31)  # half a leg up
    rows[:, 4] = np.linspace(0, 60, 31)
    text = "\n".join(" ".join(map(str, row)) for row in rows)
    path = tmp_path / "walk.bvh"
    path.write_text(f"{HEADER}MOTION\nFrames: 31\nFrame Time: 0.0333333\n{text}\n")
    found = load_parameters(path, view=WIDE, fps=15.0)
    assert found.bodies.shape == (16, BODY_VECTOR_SIZE) and len(found.notes) == 2
    turn = unpack(found.bodies).global_orient
    np.testing.assert_allclose(turn[:, 1], np.radians(np.linspace(0, 60, 16)), atol=1e-4)
    rise = found.bodies[:, VECTOR_INDEX["camera_y"]]
    assert rise[0] == 0 and 0.3 < rise[-1] < 0.6 and (np.diff(rise) > 0).all()
    assert describe(path).startswith("BVH motion, 13 joints, 30 frames/s, 31 frames")
    path.write_text("HIERARCHY")
    with pytest.raises(BodyFileError, match="walk.bvh is not a complete BVH"):
        load_parameters(path)


def test_confidence_of_hvc_fit_comes_along(tmp_path):
    np.savez(tmp_path / "b.npz", bodies=np.zeros((3, 188), np.float32), confidence=[1, 0, 0.5])
    assert load_parameters(tmp_path / "b.npz").confidence.tolist() == [1, 0, 0.5]


@pytest.mark.parametrize(
    "name", ["a.txt", "a.json", "a.pkl", "a.npy", "a.npz", "a.pt", "missing.npz"]
)
def test_other_files_name_the_kinds_that_are_read(tmp_path, name):
    content = {"a.json": b'{"people": []}', "a.pkl": pickle.dumps({"verts": [1]})}.get(name, b"x")
    if name == "a.npy":
        file = io.BytesIO()
        np.save(file, {"verts": 1})
        content = file.getvalue()
    if name != "missing.npz":
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BodyFileError, match=name) as caught:
        load_parameters(tmp_path / name, view=WIDE)
    assert "\n" not in str(caught.value)


def test_a_file_of_unknown_fields_says_what_it_has(tmp_path):
    fields = {f"verts_{k}": np.zeros(2) for k in range(8)} | {"x" * 500: np.zeros(2)}
    np.savez(tmp_path / "other.npz", **fields)
    with pytest.raises(BodyFileError, match="present, but 'verts_0', 'verts_1', ") as caught:
        load_parameters(tmp_path / "other.npz")
    assert len(str(caught.value)) < 1000 and "..." in str(caught.value)
