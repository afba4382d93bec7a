"""Motion-capture files: read, and carried over to our joints."""

import time
import tracemalloc

import numpy as np
import pytest

from hvc_jax.body.bvh import read_bvh
from hvc_jax.body.bvh_retarget import (
    find_bones,
    pelvis_places,
    read_motion,
    retarget,
    world_rotations,
)
from hvc_jax.body.params import JOINT_INDEX

_LIMB = """JOINT {side}{upper}
{{
OFFSET {x} {y} 0
CHANNELS 3 Zrotation Xrotation Yrotation
JOINT {side}{lower}
{{
OFFSET {dx} {dy} 0
CHANNELS 3 Zrotation Xrotation Yrotation
JOINT {side}{end}
{{
OFFSET {dx} {dy} 0
CHANNELS 3 Zrotation Xrotation Yrotation
End Site
{{
OFFSET 1 1 1
}}
}}
}}
}}
"""


def _limb(side, upper, lower, end, x, y, dx, dy):
    return _LIMB.format(side=side, upper=upper, lower=lower, end=end, x=x, y=y, dx=dx, dy=dy)


HEADER = (
    "HIERARCHY\nROOT hip\n{\nOFFSET 0 0 0\n"
    "CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation\n"
    + _limb("l", "Thigh", "Shin", "Foot", 10, 0, 0, -40)
    + _limb("r", "Thigh", "Shin", "Foot", -10, 0, 0, -40)
    + _limb("l", "Shldr", "ForeArm", "Hand", 20, 50, 28, 0)
    + _limb("r", "Shldr", "ForeArm", "Hand", -20, 50, -28, 0)
    + "}\n"
)
JOINTS = 13


def _write(path, rows):
    text = "\n".join(" ".join(map(str, row)) for row in rows)
    path.write_text(f"{HEADER}MOTION\nFrames: {len(rows)}\nFrame Time: 0.04\n{text}\n")
    return path


@pytest.fixture
def rest_joints():
    joints = np.zeros((55, 3))
    for side, sign in (("left", 1), ("right", -1)):
        for k, name in enumerate(("hip", "knee", "ankle")):
            joints[JOINT_INDEX[f"{side}_{name}"]] = (0.1 * sign, -0.4 * k, 0)
        for k, name in enumerate(("shoulder", "elbow", "wrist")):
            joints[JOINT_INDEX[f"{side}_{name}"]] = ((0.2 + 0.28 * k) * sign, 0.5, 0)
    return joints


def test_rest_pose_is_the_identity(tmp_path, rest_joints):
    motion = read_bvh(_write(tmp_path / "a.bvh", [[0] * (6 + 36)] * 2))
    assert motion.fps == pytest.approx(25) and len(motion.names) == JOINTS
    np.testing.assert_allclose(world_rotations(motion), np.tile(np.eye(3), (2, 13, 1, 1)))
    np.testing.assert_allclose(retarget(motion, rest_joints), np.zeros((2, 55, 3)), atol=1e-6)


def test_turns_arrive_at_the_right_joint(tmp_path, rest_joints):
    row = [0.0] * 42
    row[4] = 30  # hip, Y: the whole body turns left
    shoulder = 6 + 3 * (6 + 0)  # the seventh joint below the root is the left shoulder
    row[shoulder] = -70  # Z: the arm hangs
    pose = retarget(read_bvh(_write(tmp_path / "a.bvh", [row])), rest_joints)[0]
    np.testing.assert_allclose(pose[0], [0, np.radians(30), 0], atol=1e-6)
    np.testing.assert_allclose(
        pose[JOINT_INDEX["left_shoulder"]], [0, 0, np.radians(-70)], atol=1e-6
    )
    others = np.delete(pose, [0, JOINT_INDEX["left_shoulder"]], axis=0)
    np.testing.assert_allclose(others, 0, atol=1e-6)


def test_euler_angles_apply_in_channel_order(tmp_path):
    row = [0.0] * 42
    row[3:6] = [90, 0, 90]  # Z then X, intrinsic
    turn = read_bvh(_write(tmp_path / "a.bvh", [row])).rotations[0, 0]
    z = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    x = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    np.testing.assert_allclose(turn, z @ x, atol=1e-12)


@pytest.mark.parametrize("text", ["", "not a motion file", HEADER + "MOTION\nFrames: 3\n"])
def test_broken_files_say_which(tmp_path, text):
    path = tmp_path / "broken.bvh"
    path.write_text(text)
    with pytest.raises(ValueError, match="broken.bvh"):
        read_bvh(path)


def test_another_rest_pose_is_refused(tmp_path, rest_joints):
    path = _write(tmp_path / "a.bvh", [[0] * 42])
    path.write_text(path.read_text().replace("OFFSET 0 -40 0", "OFFSET 0 0 -40"))
    with pytest.raises(ValueError, match="T-pose"):
        retarget(read_bvh(path), rest_joints)


def _text(rows=((0,) * 42,), seconds="0.04", header=HEADER):
    text = "\n".join(" ".join(map(str, row)) for row in rows)
    return f"{header}MOTION\nFrames: {len(rows)}\nFrame Time: {seconds}\n{text}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_text(seconds="0"), "frame time of 0"),
        (_text(seconds="-0.04"), "frame time of -0.04"),
        (_text(seconds="nan"), "frame time of nan"),
        (_text([[0] * 42, [0] * 41 + ["nan"]]), "not finite in frame 1"),
        (_text([[0] * 41 + ["1e300"]]), "not finite in frame 0"),
        (_text(header=HEADER.replace("CHANNELS 6", "CHANNELS -5")), "-5 channels"),
        (_text(header=HEADER.replace("CHANNELS 6", "CHANNELS " + "9" * 400)), "channels"),
        (_text(header=HEADER.replace("Xposition", "Wposition")), "'Wposition'"),
        (_text(header=HEADER.replace("OFFSET 0 0 0", "OFFSET 0 inf 0", 1)), "length"),
        (_text([[0] * 40]), "says 1 frames of 42 numbers and holds 40"),
        ("HIERARCHY ROOT a { } MOTION Frames: 1000000000 Frame Time: 1 1", "no frames"),
        (
            "HIERARCHY ROOT a { CHANNELS 1 Xrotation " + "JOINT b { " * 1000 + "} " * 1001
            + "MOTION Frames: 1000 Frame Time: 1 " + "0 " * 1000,
            "hardly any channels",
        ),
        ("HIERARCHY ROOT a { " + "JOINT b { " * 10000 + "MOTION", "more than 4096 joints"),
        ("HIERARCHY CHANNELS 1 Xrotation MOTION Frames: 1 Frame Time: 1 1", "not a complete"),
        ("HIERARCHY } } MOTION Frames: 1 Frame Time: 1 1", "not a complete"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(tmp_path, text, message):
    path = tmp_path / "broken.bvh"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_bvh(path)
    assert "broken.bvh" in str(caught.value) and "\n" not in str(caught.value)


def test_case_of_words_and_prefixes_of_bones_do_not_matter(tmp_path, rest_joints):
    rows = [[0.0] * 6 + [float(k) for k in range(36)]]
    expected = retarget(read_bvh(_write(tmp_path / "a.bvh", rows)), rest_joints)
    text = (tmp_path / "a.bvh").read_text()
    variants = {
        "lower": text.lower(),
        "upper": text.upper(),
        "mixamo": text.replace("JOINT ", "JOINT mixamorig:").replace("ROOT ", "ROOT mixamorig1:"),
        "character": text.replace("JOINT ", "JOINT Character1_").replace("ROOT ", "ROOT rig|"),
        "marked": "\ufeff" + text,
    }
    for name, changed in variants.items():
        (tmp_path / name).write_text(changed)
        got = retarget(read_bvh(tmp_path / name), rest_joints)
        np.testing.assert_array_equal(got, expected, err_msg=name)


def test_bones_that_are_missing_are_named_with_those_that_are_there(tmp_path, rest_joints):
    path = _write(tmp_path / "a.bvh", [[0] * 42])
    path.write_text(path.read_text().replace("lThigh", "Oberschenkel"))
    with pytest.raises(ValueError, match="a.bvh.*left_hip.*Oberschenkel.*LeftUpLeg"):
        read_motion(path, rest_joints)


def _moving(rows=31):
    rows = np.random.default_rng(0).normal(0, 20, (rows, 42)).round(3)
    rows[:, 3:] = rows[:, 3:].clip(-30, 30)
    return rows


def test_what_lies_above_the_pelvis_moves_it(tmp_path, rest_joints):
    rows = _moving()
    plain = read_bvh(_write(tmp_path / "a.bvh", rows))
    np.testing.assert_allclose(pelvis_places(plain), rows[:, :3], atol=1e-9)
    head = "HIERARCHY\nROOT Armature\n{{\nOFFSET 5 0 0\nCHANNELS {}\n"
    inner = HEADER.replace("HIERARCHY\nROOT", "JOINT") + "}\n"
    kinds = {
        "0": (np.zeros((31, 0)), rows[:, :3] + [5, 0, 0]),
        "3 Zrotation Xrotation Yrotation": (
            np.tile([90, 0, 0], (31, 1)), rows[:, [1, 0, 2]] * [-1, 1, 1] + [5, 0, 0]
        ),
        "3 Xposition Yposition Zposition": (rows[:, 3:6] * 2, rows[:, :3] + 2 * rows[:, 3:6]),
    }  # fmt: skip
    for channels, (more, expected) in kinds.items():
        header = head.format(channels) + inner
        (tmp_path / "b.bvh").write_text(_text(np.column_stack([more, rows]), header=header))
        motion = read_bvh(tmp_path / "b.bvh")
        np.testing.assert_allclose(pelvis_places(motion), expected, atol=1e-9)
        if "rotation" not in channels:
            np.testing.assert_allclose(
                retarget(motion, rest_joints), retarget(plain, rest_joints), atol=1e-6
            )


def test_decimal_commas_and_commas_between_numbers(tmp_path, rest_joints):
    rows = _moving(3)
    expected = retarget(read_bvh(_write(tmp_path / "a.bvh", rows)), rest_joints)
    text = (tmp_path / "a.bvh").read_text()
    head, time, numbers = text.partition("Frame Time: 0.04")
    for changed in (
        text.replace("-40", "-40.0").replace(".", ","),
        head + time + numbers.replace(" ", ", "),
        head + time + numbers.replace(" ", ","),
        text.replace("\n", "\r\n").replace(" ", "\t"),
    ):
        (tmp_path / "b.bvh").write_text(changed)
        motion = read_bvh(tmp_path / "b.bvh")
        assert motion.fps == pytest.approx(25)
        np.testing.assert_allclose(retarget(motion, rest_joints), expected, atol=1e-6)


CONVENTIONS = {
    "rokoko": "Hips LeftThigh LeftShin LeftFoot LeftArm LeftForeArm LeftHand",
    "xsens": "Hips LeftHip LeftKnee LeftAnkle LeftShoulder LeftElbow LeftWrist",
    "smpl": "Pelvis L_Hip L_Knee L_Ankle L_Shoulder L_Elbow L_Wrist",
    "smpl of fbx": "m_avg_Pelvis m_avg_L_Hip m_avg_L_Knee m_avg_L_Ankle m_avg_L_Shoulder "
    "m_avg_L_Elbow m_avg_L_Wrist",
    "unreal": "pelvis thigh_l calf_l foot_l upperarm_l lowerarm_l hand_l",
    "biped": "Bip01_Pelvis Bip01_L_Thigh Bip01_L_Calf Bip01_L_Foot Bip01_L_UpperArm "
    "Bip01_L_Forearm Bip01_L_Hand",
    "ours": "pelvis left_hip left_knee left_ankle left_shoulder left_elbow left_wrist",
}


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_names_of_bones_in_use(tmp_path, rest_joints, convention):
    rows = _moving(2)
    expected = retarget(read_bvh(_write(tmp_path / "a.bvh", rows)), rest_joints)
    text = (tmp_path / "a.bvh").read_text()
    ours = ("hip", "lThigh", "lShin", "lFoot", "lShldr", "lForeArm", "lHand")
    for old, new in zip(ours, CONVENTIONS[convention].split(), strict=True):
        other = (
            new.replace("Left", "Right").replace("left", "right").replace("L_", "R_")
            if "_l" not in new
            else new[:-1] + "r"
        )
        text = text.replace(f" {old}\n", f" {new}\n")
        if old != "hip":
            text = text.replace(f" r{old[1:]}\n", f" {other}\n")
    (tmp_path / "b.bvh").write_text(text.replace("Bip01_", "Bip01 "))
    motion = read_bvh(tmp_path / "b.bvh")
    np.testing.assert_array_equal(retarget(motion, rest_joints), expected)
    assert "left_collar" not in find_bones(motion)


@pytest.mark.parametrize("bones", ["abdomen chest", "Spine Spine1 Spine2", "Spine1 Spine2 x Chest"])
def test_the_top_of_the_spine_is_where_the_arms_begin(tmp_path, rest_joints, bones):
    names = bones.split()
    joint = "JOINT {}\n{{\nOFFSET 0 12 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n"
    trunk = "".join(joint.format(name) for name in names)
    at = HEADER.index("JOINT lShldr")
    header = HEADER[:at] + trunk + HEADER[at:] + "}\n" * len(names)
    row = np.zeros(42 + 3 * len(names))
    row[24 : 24 + 3 * len(names) : 3] = 10.0  # each bends sideways by 10 degrees
    (tmp_path / "a.bvh").write_text(_text([row], header=header))
    pose = retarget(read_bvh(tmp_path / "a.bvh"), rest_joints)[0]
    spine = pose[[JOINT_INDEX[f"spine{k}"] for k in (1, 2, 3)]]
    np.testing.assert_allclose(spine.sum(0), [0, 0, np.radians(10 * len(names))], atol=1e-6)
    for side in ("left", "right"):
        np.testing.assert_allclose(pose[JOINT_INDEX[f"{side}_shoulder"]], 0, atol=1e-6)


def test_a_million_joints_are_refused_at_once(tmp_path):
    path = tmp_path / "m.bvh"
    joint = "  JOINT joint\n  {\n  OFFSET 0 1 0\n  CHANNELS 3 Zrotation Xrotation Yrotation\n  }\n"
    path.write_text("HIERARCHY\nROOT a\n{\n" + joint * 1_000_000 + "}\nMOTION\n")
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(ValueError, match="more than 4096 joints"):
            read_bvh(path)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 5  # under tracemalloc; .2 s without
