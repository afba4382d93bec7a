"""The studio's controls, inverse kinematics, folder, timeline and clock."""

import socket
from pathlib import Path

import numpy as np
import pytest

from hvc_jax.body.assets import load_body, open_body_path
from hvc_jax.body.params import EXPRESSION_NAMES, JOINT_INDEX, PARENTS, POSE, VECTOR_INDEX
from hvc_jax.body.poses import pose_vector
from hvc_jax.stream.operations import Operation, apply, parse_assignment, parse_operation
from hvc_jax.stream.schema import semantic_schema, token_schema
from hvc_jax.stream.units import Unit, UnitType
from hvc_jax.studio import ik
from hvc_jax.studio.controls import SECTIONS, controls, groups
from hvc_jax.studio.folder import Folder
from hvc_jax.studio.timeline import bits_of_frames, draw_bars, draw_motion
from hvc_jax.studio.web import free_port, is_loopback
from hvc_jax.studio.worker import Clock, Worker


def test_every_number_that_is_sent_has_a_control() -> None:
    schema = semantic_schema("full_body")
    found = {control.slot: control for control in controls(schema)}
    shape = {f"betas_{i}" for i in range(10)}
    assert set(found) == {slot.name for slot in schema.dynamic} | shape
    assert {slot for slot, control in found.items() if control.constant} == shape
    assert found["betas_0"].label == "Shape 0 tall" and found["betas_3"].label == "Shape 3"
    assert (found["head_y"].label, found["head_y"].unit) == ("Head yaw", "deg")
    assert found["left_elbow_x"].section == "Arms" and found["right_knee_z"].section == "Legs"
    assert found["expression_0"].label == "Smile" and found["expression_8"].label == "Eyes closed"
    assert {control.section for control in found.values()} == set(SECTIONS) - {"Other"}
    assert "left_shoulder" in groups(found.values())
    assert {control.section for control in controls(token_schema(3))} == {"Other"}


def test_expressions_are_named_as_in_the_open_body() -> None:
    with np.load(open_body_path()) as body:
        assert tuple(body["expression_names"]) == EXPRESSION_NAMES


@pytest.mark.parametrize(
    ("line", "operation"),
    [
        ("add head_y 20deg 3:9 ease 2", parse_assignment("head_y+=20deg", 3, 9, 2)),
        ("set smile 1", parse_assignment("smile=1")),
        ("scale left_elbow .5 4:", parse_assignment("left_elbow*=0.5", 4)),
        ("freeze head,neck :7", Operation("freeze", ("head", "neck"), 0.0, 0, 7)),
        ("copy * 5 6:9", Operation("copy", ("*",), 5.0, 6, 9)),
    ],
)
def test_lines_are_operations(line: str, operation: Operation) -> None:
    assert parse_operation(line) == operation


@pytest.mark.parametrize(
    "line",
    ["", "add", "add head_y", "add head_y x", "add head_y 1 2:3 4", "spin head 1", "copy head 1.5"]
    + ["freeze head 3", "retarget * a.hvc", "add head_y 1 ease", "copy head -1", "add head_y 1m"],
)
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"edit|copy|frames"):
        parse_operation(line)


def test_copy_repeats_one_frame() -> None:
    schema = semantic_schema()
    values = np.random.default_rng(0).normal(size=(9, len(schema.dynamic)))
    after = apply(parse_operation("copy head 2 5:8"), schema, values, values)
    at = [i for i, slot in enumerate(schema.dynamic) if slot.name.startswith("head_")]
    rest = np.delete(np.arange(len(schema.dynamic)), at)
    np.testing.assert_array_equal(after[5:8][:, at], np.repeat(values[2:3, at], 3, 0))
    np.testing.assert_array_equal(after[:, rest], values[:, rest])
    np.testing.assert_array_equal(after[:5], values[:5])


@pytest.mark.parametrize("joint", ["left_wrist", "right_elbow"])
def test_a_dragged_joint_goes_where_it_can(joint: str) -> None:
    body, start = load_body(), pose_vector("standing")
    slots = ik.movable(semantic_schema(), joint, PARENTS)
    assert slots and not any(name.startswith("pelvis") for name in slots)
    joints = np.asarray(ik.joint_positions(body, start))
    place = joints[JOINT_INDEX[joint]]
    same = ik.solve(body, start, joint, place, slots)
    np.testing.assert_allclose(same, start, atol=2e-3)
    target = place + np.array([0.02, 0.12, 0.08])
    if joint.endswith("elbow"):  # the shoulder alone moves it, on a sphere
        shoulder = joints[PARENTS[JOINT_INDEX[joint]]]
        arm = np.linalg.norm(place - shoulder)
        target = shoulder + arm * (target - shoulder) / np.linalg.norm(target - shoulder)
    moved = ik.solve(body, start, joint, target, slots)
    reached = np.asarray(ik.joint_positions(body, moved))[JOINT_INDEX[joint]]
    assert np.linalg.norm(reached - target) < 0.25 * np.linalg.norm(place - target)
    others = np.ones(188, bool)
    others[[VECTOR_INDEX[name] for name in slots]] = False
    np.testing.assert_array_equal(moved[others], start[others])
    far = ik.solve(body, start, joint, place + np.array([0, 9.0, 0]), slots)
    angles = np.linalg.norm(far[POSE].reshape(-1, 3), axis=-1)
    assert (angles <= ik.limits()[POSE].reshape(-1, 3)[:, 0] + 1e-5).all()


def test_a_joint_that_nothing_moves_says_so() -> None:
    assert ik.movable(semantic_schema(), "left_ankle", PARENTS) == []
    with pytest.raises(ValueError, match="left ankle"):
        ik.solve(load_body(), pose_vector("standing"), "left_ankle", np.zeros(3), [])


def test_nothing_outside_the_folder_is_named(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.hvc").write_bytes(b"x")
    (inside / "link.hvc").symlink_to(tmp_path / "secret.hvc")
    folder = Folder(inside)
    for name in ("../secret.hvc", "/etc/passwd", "..", "", "a/b.hvc", "link.hvc", "a\0.hvc", ".a"):
        with pytest.raises(ValueError):
            folder.file(name)
    assert folder.target("out", ".mp4") == inside / "out.mp4"
    with pytest.raises(ValueError, match="give one of"):
        folder.receive("a.exe", [b"x"])
    assert folder.receive("../../../evil.hvc", [b"x"]) == inside / "evil.hvc"
    assert folder.receive("evil.hvc", [b"y", b"z"]) == inside / "evil 1.hvc"
    assert (inside / "evil 1.hvc").read_bytes() == b"yz"
    with pytest.raises(ValueError, match="no folder"):
        Folder(tmp_path / "none")


def test_bits_belong_to_frames() -> None:
    units = [
        Unit(UnitType.KEY, 0, b"", 0, 100),
        Unit(UnitType.STATIC, 0, b"", 0, 10),
        Unit(UnitType.MOTION, 0, bytes([(4 - 1) << 1]), 0, 8),
        Unit(UnitType.MOTION, 4, bytes([(2 - 1) << 1]), 0, 6),
        Unit(UnitType.META, 0, b"{}", 0, 50),
    ]
    bits, keys = bits_of_frames(units, 6)
    np.testing.assert_array_equal(bits, [880 + 16, 16, 16, 16, 24, 24])
    assert keys == [0]
    now = draw_bars(bits, keys, 3, held=[5], span=(2, 4))
    other = draw_bars(bits, keys, 4, held=[5], span=(2, 4))
    assert now.shape == other.shape and (now != other).any()


def test_still_motion_is_white() -> None:
    line = (2 * np.arange(8) + 1) / 8 - 1
    still = np.stack(np.meshgrid(line, line), -1)
    assert (draw_motion(still, 32, 32) == 255).all() and (draw_motion(None, 4, 6) == 255).all()
    assert (draw_motion(still + [0.2, 0], 32, 32) != 255).any()


def test_a_clock_ends_or_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    clock = Clock(fps=10, count=5)
    assert clock.frame == 0 and clock.until_next() is None
    clock.set(playing=True)
    now[0] = 0.35
    assert clock.frame == 3 and clock.until_next() == pytest.approx(0.05)
    now[0] = 0.75
    assert clock.frame == 2
    clock.set(speed=0.5)
    now[0] = 1.0
    assert clock.frame == 3
    clock.loop = False
    now[0] = 9.0
    assert clock.frame == 4 and clock.until_next() is None and not clock.playing


def test_waiting_jobs_are_replaced_and_errors_do_not_end_the_thread() -> None:
    import threading

    done, failed, gate = [], [], threading.Event()
    started, finished = threading.Event(), threading.Event()
    worker = Worker(lambda: None, failed.append)

    def slow() -> None:
        started.set()
        gate.wait(10)

    worker.ask("slow", slow)
    assert started.wait(10)
    for number in range(5):
        worker.ask("slider", lambda number=number: done.append(number))
    worker.ask("bad", lambda: 1 / 0)
    gate.set()
    for _ in range(100):
        if failed:
            break
        finished.wait(0.05)
    worker.ask("last", finished.set)
    assert finished.wait(10)
    worker.stop()
    assert done == [4] and isinstance(failed[0], ZeroDivisionError)


def test_a_page_is_served_on_the_next_free_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        taken.listen()
        assert port < free_port("127.0.0.1", port) < port + 100
    with pytest.raises(ValueError, match="no address of this machine"):
        free_port("203.0.113.7", port)
    with pytest.raises(ValueError, match="no port from 65536 on"):
        free_port("127.0.0.1", 65536)
    assert is_loopback("localhost") and is_loopback("::1") and not is_loopback("0.0.0.0")
