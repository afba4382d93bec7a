"""Editing: what was asked changes, nothing else does, and pictures keep their bytes."""

import io
import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from stream_cases import stream

from hvc_jax.body.params import VECTOR_INDEX
from hvc_jax.stream.container import StreamReader, meta_record
from hvc_jax.stream.edit import edit, write_values
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.operations import (
    Operation,
    apply,
    fit_length,
    parse_assignment,
    parse_frames,
    resolve,
)
from hvc_jax.stream.schema import builtin_schema
from hvc_jax.stream.static import decode_edit, encode_edit
from hvc_jax.stream.tables import default_tables
from hvc_jax.stream.tracks import Tracks, read_tracks, stream_tables
from hvc_jax.stream.units import UnitType

DATA = stream("upper31+camera", frames=40, keys=(0, 25), group_frames=8)
SCHEMA = builtin_schema("upper31+camera")
TABLES = default_tables(SCHEMA)
NAMES = [slot.name for slot in SCHEMA.dynamic]


def column(name: str) -> int:
    return NAMES.index(name)


def units(data: bytes, kind: UnitType) -> list[bytes]:
    return [u.payload for u in StreamReader(io.BytesIO(data)).units() if u.type == kind]


def edited(*operations: Operation, data: bytes = DATA) -> tuple[Tracks, Tracks]:
    after = edit(data, operations, TABLES)
    for kind in (UnitType.KEY, UnitType.STATIC):
        assert units(after, kind) == units(data, kind)
    return read_tracks(data, TABLES), read_tracks(after, TABLES)


def test_editing_nothing_changes_nothing() -> None:
    assert edit(DATA, [], TABLES) is DATA
    assert edit(DATA, [Operation("add", value=0.0), Operation("scale", value=1.0)], TABLES) is DATA
    tracks = read_tracks(DATA, TABLES)
    assert write_values(DATA, tracks, tracks.values, TABLES) is DATA


def test_set_and_add_reach_only_what_they_name() -> None:
    before, after = edited(parse_assignment("head_yaw+=20deg", 10, 30))
    change = after.values - before.values
    yaw = column("head_y")
    assert np.allclose(change[10:30, yaw], math.radians(20), atol=0.026)
    change[10:30, yaw] = 0
    assert not change.any()
    before, after = edited(parse_assignment("left_elbow_z=-0.8"))
    assert np.allclose(after.values[:, column("left_elbow_z")], -0.8, atol=0.026)
    np.testing.assert_array_equal(after.keys, before.keys)  # the picture still shows what it shows


def test_motion_before_the_first_change_keeps_its_bytes() -> None:
    after = edit(DATA, [parse_assignment("head_x+=0.3", 20, 22)], TABLES)
    old, new = units(DATA, UnitType.MOTION), units(after, UnitType.MOTION)
    assert old[:2] == new[:2] and old[2] != new[2] and old[4:] == new[4:]


def test_streams_of_single_frames_stay_so() -> None:
    live = stream("upper31+camera", frames=40, group_frames=1, resync_groups=16)
    after = edit(live, [parse_assignment("head_x+=0.3", 20, 22)], TABLES)
    old, new = (list(StreamReader(io.BytesIO(data)).units()) for data in (live, after))
    assert live[: old[22].offset] == after[: new[22].offset]  # key, static and frames 0 to 19
    old, new = ([u for u in units if u.type == UnitType.MOTION] for units in (old, new))
    assert [(u.frame, u.payload[0]) for u in old] == [(u.frame, u.payload[0]) for u in new]
    assert [u.payload for u in old[32:]] == [u.payload for u in new[32:]]  # behind the resync
    assert max(u.size - len(u.payload) for u in new) == 7  # whole units at resyncs
    assert sum(u.size == len(u.payload) + 1 for u in new) == 40 - 3  # short ones elsewhere


def test_edits_are_noted_and_add_up() -> None:
    once = edit(DATA, [parse_assignment("neck_roll=0.2", 3, 9, ease=2)], TABLES)
    twice = edit(once, [Operation("freeze", ("camera",))], TABLES)
    (meta,) = [
        meta_record(u) for u in StreamReader(io.BytesIO(twice)).units() if u.type == UnitType.META
    ]
    assert meta == {"edited": True, "edits": ["set neck_roll 0.2 3:9 ease 2", "freeze camera"]}
    titled = stream("token3", frames=6, meta={"title": "a"})
    tables = stream_tables(StreamReader(io.BytesIO(titled)).header)
    after = edit(titled, [parse_assignment("token_1+=1")], tables)
    assert b'"title":"a"' in after and b'"edited":true' in after
    index = [u for u in StreamReader(io.BytesIO(twice)).units() if u.type == UnitType.INDEX]
    keys = [u for u in StreamReader(io.BytesIO(twice)).units() if u.type == UnitType.KEY]
    assert len(index) == 1 and keys[0].offset == index[0].payload[1]


def test_freeze_scale_and_smooth() -> None:
    before, after = edited(Operation("freeze", ("head",), first=5, last=15))
    columns = resolve(SCHEMA, ("head",))
    assert [NAMES[c] for c in columns] == ["head_x", "head_y", "head_z"]
    assert (after.values[5:15, columns] == before.values[5, columns]).all()
    before, after = edited(Operation("scale", ("*",), 2.0))
    np.testing.assert_allclose(after.values, 2 * before.values, atol=1e-9)
    before, after = edited(Operation("smooth", ("camera", "pelvis"), 3.0))
    columns = resolve(SCHEMA, ("camera", "pelvis"))
    rough, smooth = (np.abs(np.diff(t.values[:, columns], axis=0)).sum() for t in (before, after))
    assert smooth < 0.7 * rough


def test_easing_fades_in_and_out_inside_the_clip_only() -> None:
    before, after = edited(Operation("add", ("head_y",), 2.0, first=10, last=30, ease=5))
    change = (after.values - before.values)[:, column("head_y")]
    assert (np.diff(change[9:16]) > 0).all() and (np.diff(change[24:31]) < 0).all()
    assert np.allclose(change[15:25], 2.0, atol=0.026)
    before, after = edited(Operation("add", ("head_y",), 2.0, ease=5))
    assert np.allclose((after.values - before.values)[:, column("head_y")], 2.0, atol=0.026)


def test_absolute_retarget_takes_the_pose_and_keeps_the_place() -> None:
    other = stream("upper31+camera", frames=60, keys=(0,), group_frames=16)
    moved = edit(other, [parse_assignment("camera_x+=0.6"), parse_assignment("head_x=1")], TABLES)
    source = read_tracks(moved, TABLES).values
    before, after = edited(Operation("retarget", source=source, absolute=True))
    assert np.allclose(after.values[:, column("head_x")], 1.0, atol=0.026)
    shift = before.keys[0, column("camera_x")] - source[0, column("camera_x")]
    expected = source[:25, column("camera_x")] + shift
    assert np.allclose(after.values[:25, column("camera_x")], expected, atol=0.0061)
    with pytest.raises(ValueError, match="same schema"):
        edited(Operation("retarget", source=source[:, :3]))


def test_retarget_adds_what_the_source_moves_since_its_first_frame() -> None:
    rng = np.random.default_rng(3)
    source = np.cumsum(rng.normal(0, 0.05, (80, len(SCHEMA.dynamic))), axis=0) + 0.3
    keys = np.repeat(rng.normal(0, 0.2, (1, len(SCHEMA.dynamic))), 80, axis=0)
    operation = Operation("retarget", source=source)
    made = apply(operation, SCHEMA, np.zeros_like(source), keys)
    assert np.allclose(made[0], keys[0])  # it begins where the key picture is
    place = column("camera_x")
    assert np.allclose(made[:, place], keys[:, place] + source[:, place] - source[0, place])
    head = [column(f"head_{axis}") for axis in "xyz"]
    turn = Rotation.from_rotvec(source[:, head]) * Rotation.from_rotvec(source[0, head]).inv()
    wanted = (turn * Rotation.from_rotvec(keys[0, head])).as_matrix()
    assert np.allclose(Rotation.from_rotvec(made[:, head]).as_matrix(), wanted)
    still = apply(operation, SCHEMA, np.zeros_like(source), np.repeat(source[:1], 80, axis=0))
    assert np.allclose(still, source)  # on itself it changes nothing


def test_sources_of_other_lengths_and_rates() -> None:
    source = np.arange(4.0)[:, None]
    assert fit_length(source, 6)[:, 0].tolist() == [0, 1, 2, 3, 3, 3]
    assert fit_length(source, 6, "loop")[:, 0].tolist() == [0, 1, 2, 3, 0, 1]
    assert np.allclose(fit_length(source, 7, "stretch")[:, 0], np.linspace(0, 3, 7))
    assert fit_length(source, 2, speed=2.0)[:, 0].tolist() == [0, 2]
    assert fit_length(source, 3, speed=0.5)[:, 0].tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("head_yaw+=20", "write 20deg for degrees"),
        ("head_yaw=-90", "turns"),
        ("camera_x+=20deg", "is no angle"),
        ("expression_0=1rad", "is no angle"),
        ("smiling=1", "did you mean smile"),
        ("left_arm+=20deg", "left_shoulder"),
        ("zoom*=2", "camera_scale"),
        ("head_yow+=1deg", "head_yaw"),
        ("qqq=1", "hvc inspect shows all"),
    ],
)
def test_guesses_are_answered(text: str, words: str) -> None:
    values = np.zeros((3, len(SCHEMA.dynamic)))
    with pytest.raises(ValueError, match=words):
        apply(parse_assignment(text), SCHEMA, values, values)
    assert apply(parse_assignment("head_yaw+=20rad"), SCHEMA, values, values).max() == 20


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("head_yaw+=20deg", "add", math.radians(20)),
        ("head_yaw-=0.5rad", "add", -0.5),
        (" expression_3 = 1e-1 ", "set", 0.1),
        ("*  *= 2", "scale", 2.0),
        ("left_elbow=-90deg", "set", -math.pi / 2),
    ],
)
def test_assignments_are_read(text: str, kind: str, value: float) -> None:
    operation = parse_assignment(text)
    assert operation.kind == kind and operation.value == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["head_yaw", "head_yaw+20", "=3", "head_yaw=20px", "head_x*=2deg", "a=1.2.3", "a=", ""]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_assignment(text)


def test_frame_ranges() -> None:
    assert parse_frames("30:90") == (30, 90)
    assert parse_frames("30:") == (30, None) and parse_frames(":") == (0, None)
    assert parse_frames(":9") == (0, 9) and parse_frames("7") == (7, 8)
    for bad in ("", "a:b", "1:2:3", "-1:4"):
        with pytest.raises(ValueError):
            parse_frames(bad)


def test_unknown_names_are_explained() -> None:
    with pytest.raises(ValueError, match="did you mean head_yaw"):
        edited(parse_assignment("hed_yaw=1"))
    with pytest.raises(ValueError, match="outside"):
        edited(Operation("freeze", first=40))
    for bad in (
        {"kind": "explode"},
        {"kind": "set", "value": math.nan},
        {"kind": "set", "first": 5, "last": 5},
        {"kind": "smooth", "value": -1.0},
        {"kind": "retarget"},
    ):
        with pytest.raises(ValueError):
            Operation(**bad)


def test_missing_frames_are_not_papered_over() -> None:
    reader = StreamReader(io.BytesIO(DATA))
    all_units = list(reader.units())
    hole = next(u for u in all_units if u.type == UnitType.MOTION and u.frame == 8)
    with pytest.raises(BitstreamError):
        edit(DATA[: hole.offset] + DATA[hole.offset + hole.size :], [], TABLES)


def test_body_shape_changes_in_the_frames_and_not_in_the_key_picture() -> None:
    before, after = edited(parse_assignment("shape_1=+1"), parse_assignment("tall+=0.3"))
    data = edit(DATA, [parse_assignment("shape_1=+1"), parse_assignment("tall+=0.3")], TABLES)
    assert units(data, UnitType.MOTION) == units(DATA, UnitType.MOTION)
    edits = units(data, UnitType.EDIT_STATIC)
    assert len(edits) == 2 and len(data) - len(DATA) < 110  # and a note of the edits
    height, shape = (VECTOR_INDEX[name] for name in ("betas_0", "betas_1"))
    np.testing.assert_allclose(after.vectors[:, shape], 1, atol=1e-6)
    np.testing.assert_allclose(after.vectors[:, height], before.vectors[:, height] + 0.3, atol=1e-6)
    change = (after.vectors - before.vectors).any(0)
    assert not np.delete(change, [height, shape]).any()
    for old, new in zip(before.intervals, after.intervals, strict=True):
        np.testing.assert_array_equal(old.key, new.key)
    undo = [parse_assignment("shape_1=0"), parse_assignment("tall-=0.3")]
    undone = edit(data, undo, TABLES)
    np.testing.assert_array_equal(read_tracks(undone, TABLES).vectors, before.vectors)
    assert (before.vectors[:, shape] == 0).all() and not units(undone, UnitType.EDIT_STATIC)


def test_body_shape_holds_for_the_whole_clip() -> None:
    for operation, message in (
        (parse_assignment("shape_1+=1", 3), "holds for the whole clip"),
        (Operation("smooth", ("betas",), 2.0), "does not change over time"),
        (Operation("scale", ("head", "betas"), 2.0), "in an edit of its own"),
        (parse_assignment("shape_1+=20deg"), "is no angle"),
        (parse_assignment("shape_11+=1"), "unknown parameter"),
    ):
        with pytest.raises(ValueError, match=message):
            edit(DATA, [operation], TABLES)


def test_edits_of_static_numbers_that_nobody_writes_are_errors() -> None:
    key = np.arange(5)
    wanted = np.array([0, -7, 2, 3, 900])
    assert decode_edit(key, encode_edit(key, wanted)).tolist() == wanted.tolist()
    outside, twice, falling = b"\x05\x00", b"\x01\x02\x01\x02", b"\x02\x00\x01\x00"
    for payload in (outside, twice, falling, b"\x00", b"\x00" + 5 * b"\xff"):
        with pytest.raises(BitstreamError):
            decode_edit(key, payload)
    data = edit(DATA, [parse_assignment("shape_1=+1")], TABLES)
    found = list(StreamReader(io.BytesIO(data)).units())
    place = next(i for i, u in enumerate(found) if u.type == UnitType.EDIT_STATIC)
    header = data[: found[0].offset]
    pieces = [data[u.offset : u.offset + u.size] for u in found]
    for order in ([0, 2, 1, *range(3, len(pieces))], [0, 1, 2, *range(2, len(pieces))]):
        assert place == 2
        with pytest.raises(BitstreamError, match="static numbers without|two EDIT_STATIC"):
            read_tracks(header + b"".join(pieces[i] for i in order), TABLES)
