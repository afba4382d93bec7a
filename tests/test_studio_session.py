"""The studio without its page: edits, undo, frames, and that its command line makes its stream."""

import io
import shlex
from pathlib import Path

import numpy as np
import pytest
from tiny_export import FPS, make_bodies, make_export, make_frames

from hvc_jax.body.params import VECTOR_INDEX
from hvc_jax.cli.main import main
from hvc_jax.codec.codec import Codec
from hvc_jax.codec.options import EncodeOptions
from hvc_jax.models.export import load_export
from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.tracks import read_tracks
from hvc_jax.stream.units import UnitType
from hvc_jax.studio.history import Span
from hvc_jax.studio.live_drive import resampled
from hvc_jax.studio.player import open_player
from hvc_jax.studio.session import Session
from hvc_jax.studio.timeline import bits_of_frames
from hvc_jax.studio.transfer import Motion

COUNT = 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Streams a.hvc and b.hvc (semantic, two key frames; other motion) and k.hvc (keypoint)."""
    folder = tmp_path_factory.mktemp("studio")
    options = EncodeOptions(key_every=5, hold=False)
    for variant in ("semantic", "keypoint"):
        make_export(folder, variant)
    codec = Codec(load_export(folder / "semantic.safetensors"))
    for name, factor in (("a", 1.0), ("b", -0.6)):
        data = codec.encode(
            make_frames(COUNT), fps=FPS, options=options, bodies=make_bodies(COUNT) * factor
        )
        (folder / f"{name}.hvc").write_bytes(data)
    keypoint = Codec(load_export(folder / "keypoint.safetensors"))
    (folder / "k.hvc").write_bytes(keypoint.encode(make_frames(COUNT), fps=FPS))
    return folder


CODECS: dict = {}


def open_session(folder: Path, name: str = "a", model: str = "semantic") -> Session:
    path, model_path = folder / f"{name}.hvc", folder / f"{model}.safetensors"
    return Session(open_player(path, model_path, CODECS), path, model_path)


@pytest.fixture
def session(folder: Path) -> Session:
    return open_session(folder)


def change_everything(session: Session, folder: Path) -> None:
    session.retarget(Motion(folder / "b.hvc", "loop"), Span(1, 8))
    session.offset("head_y", 21.5)
    session.offset("camera_x", 0.05, Span(2, 7, 2))
    session.scale("left_elbow", 0.5)
    session.freeze("neck", True, Span(3))
    session.smooth("head", 1.5)
    session.copy("right_shoulder", 4, Span(5, 8))
    session.offset("betas_0", 1.2, Span(2, 4))
    session.turn({"left_shoulder_z": -0.2, "left_shoulder_y": 0.1}, Span(0, 6))


def test_the_command_line_makes_the_very_stream(session: Session, folder: Path) -> None:
    change_everything(session, folder)
    target = folder / "by_command.hvc"
    words = shlex.split(session.command(str(target)))
    assert words[:2] == ["hvc", "edit"]
    assert main([*words[1:], "--model", str(folder / "semantic.safetensors")]) == 0
    assert target.read_bytes() == session.stream() != session.opened.data


def test_edits_of_one_span_are_written_with_set(session: Session) -> None:
    session.offset("head_y", 20, Span(2, 8, 1))
    session.scale("neck", 0.5, Span(2, 8, 1))
    words = shlex.split(session.command())
    assert words[4:] == [
        *("--set", "head_y+=20deg", "--set", "neck*=0.5", "--frames", "2:8", "--ease", "1")
    ]


def test_latents_are_those_of_the_edited_stream(session: Session, folder: Path) -> None:
    change_everything(session, folder)
    tables = session.opened.tables
    expected = read_tracks(session.stream(), tables).vectors
    np.testing.assert_array_equal([session.latent(i) for i in range(COUNT)], expected)


def test_frames_are_those_that_the_edited_stream_decodes_to(session: Session) -> None:
    session.offset("head_y", 30)
    session.offset("betas_0", 2)
    codec = next(c for c in CODECS.values() if c.export.variant == "semantic")
    decoded = list(codec.decode(io.BytesIO(session.stream())))
    for index in (0, 3, 7):
        shown = session.frame(index).picture.astype(int)
        assert np.abs(shown - decoded[index]).max() <= 1
    session.offset("betas_0", 0)
    assert np.abs(session.frame(3).picture.astype(int) - decoded[3]).max() > 5
    sent = list(codec.decode(session.opened.data))
    np.testing.assert_allclose(session.frame(3, edited=False).picture, sent[3], atol=1)


def test_key_pictures_keep_their_bytes(session: Session) -> None:
    session.offset("head_y", 30)

    def keys(data: bytes) -> list[bytes]:
        units = StreamReader(io.BytesIO(data)).units()
        return [unit.payload for unit in units if unit.type == UnitType.KEY]

    assert keys(session.stream()) == keys(session.opened.data)
    assert len(keys(session.stream())) == 2


def test_scale_and_smooth_are_shown_as_they_are(session: Session) -> None:
    session.scale("*", 0.5)
    session.smooth("head_y", 2, Span(1))
    words = shlex.split(session.command())
    assert words[4:] == ["--edit", "scale * 0.5", "--edit", "smooth head_y 2 1:"]
    assert session.amount("scale", "*", Span(), 1.0) == 0.5
    assert session.amount("smooth", "head_y", Span(1), 0.0) == 2
    assert session.amount("scale", "head", Span(), 1.0) == 1
    session.history.undo()
    assert session.amount("smooth", "head_y", Span(1), 0.0) == 0
    assert shlex.split(session.command())[4:] == ["--set", "**=0.5"]


def test_undo_and_redo_go_by_drags(session: Session) -> None:
    for degrees in (5, 10, 20):
        assert session.offset("head_y", degrees)
    assert not session.offset("head_y", 20)
    session.offset("neck_y", 5)
    assert session.offsets() == {"head_y": 20, "neck_y": 5}
    assert session.history.undo() and session.offsets() == {"head_y": 20}
    assert session.history.undo() and session.offsets() == {}
    assert not session.history.undo()
    assert session.stream() == session.opened.data
    assert session.history.redo() and session.offsets() == {"head_y": 20}
    session.offset("head_y", 0)
    assert not session.history.edits and not session.history.redo()
    session.history.undo()
    session.turn({"left_shoulder_z": -0.2, "left_shoulder_y": 0.1})
    session.turn({"left_shoulder_z": -0.1})
    session.history.settle()  # the joint is let go
    session.turn({"left_shoulder_z": 0.4})
    assert session.history.undo() and session.offsets()["left_shoulder_z"] == -17.19
    assert session.history.undo() and session.offsets() == {"head_y": 20}
    assert session.history.reset() and not session.history.reset()
    assert session.history.undo() and session.offsets() == {"head_y": 20}


def test_body_shape_is_moved_in_the_whole_clip(session: Session) -> None:
    session.offset("head_y", 20, Span(2, 8))
    session.offset("betas_0", 1.5, Span(2, 8))
    assert session.offsets(Span(2, 8)) == {"head_y": 20, "betas_0": 1.5}
    assert session.offsets() == {"betas_0": 1.5} and "betas" not in session.groups
    height = VECTOR_INDEX["betas_0"]
    moved = [session.latent(i)[height] for i in range(COUNT)]
    sent = session.tracks.vectors[:, height]
    np.testing.assert_allclose(moved, sent + 1.5, atol=1e-6)
    session.offset("betas_0", 0)
    assert session.offsets() == {}


def test_sessions_are_separate(folder: Path) -> None:
    first, second = open_session(folder), open_session(folder)
    first.offset("head_y", 40)
    assert second.stream() == second.opened.data and not second.history.edits
    assert (first.frame(3).picture != second.frame(3).picture).any()


def test_what_cannot_be_done_changes_nothing(session: Session, folder: Path) -> None:
    for attempt in (
        lambda: session.offset("head_y", 5, Span(COUNT)),
        lambda: session.copy("head", COUNT, Span(1)),
        lambda: session.smooth("head", 1e9),
        lambda: session.retarget(Motion(folder / "no such file.hvc")),
    ):
        with pytest.raises((ValueError, OSError)):
            attempt()
    assert not session.history.edits


def test_a_stream_without_parameters_plays_and_says_why(folder: Path) -> None:
    session = open_session(folder, "k", "keypoint")
    assert session.controls == [] and session.frame(4).picture.shape == (64, 64, 3)
    with pytest.raises(ValueError, match="no named parameters"):
        session.offset("head_y", 3)
    assert session.stream() == session.opened.data


def test_a_damaged_stream_plays_and_marks_the_gap(folder: Path, tmp_path: Path) -> None:
    data = bytearray((folder / "a.hvc").read_bytes())
    unit = [u for u in StreamReader(io.BytesIO(bytes(data))).units() if u.type == UnitType.MOTION]
    data[unit[0].offset + 6] ^= 255
    (tmp_path / "damaged.hvc").write_bytes(data)
    path = tmp_path / "damaged.hvc"
    opened = open_player(path, folder / "semantic.safetensors", CODECS)
    player = opened.player
    assert player.frame_count == COUNT and 0 in player.held and COUNT - 1 not in player.held
    assert "damaged" in player.why_fixed and player.tracks is None
    bits, keys = bits_of_frames(opened.units, COUNT)
    assert keys == [0, 5] and bits[0] > 0 == bits[1] and bits[COUNT - 1] > 0


def test_exports_are_whole_or_absent(session: Session, folder: Path, tmp_path: Path) -> None:
    session.offset("head_y", 30)
    assert session.save_stream(tmp_path / "out.hvc") == len(session.stream())
    assert session.save_video(tmp_path / "out.mp4") == COUNT
    session.save_picture(tmp_path / "out.png", 3)
    draw, session.opened.player.draw = session.opened.player.draw, None
    try:
        with pytest.raises(TypeError):
            session.offset("head_y", 31)
            session.save_video(tmp_path / "half.mp4")
    finally:
        session.opened.player.draw = draw
    calls: list[int] = []

    def closed() -> None:
        calls.append(len(calls))
        if len(calls) > 3:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        session.save_video(tmp_path / "closed.mp4", closed)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.hvc", "out.mp4", "out.png"]


def test_a_live_body_drives_as_its_recording_does(session: Session, folder: Path) -> None:
    bodies = make_bodies(COUNT)
    bodies[:, VECTOR_INDEX["left_elbow_z"]] = np.linspace(0, 0.7, COUNT)
    np.save(folder / "live.npy", bodies)
    live = [session.driven(i, bodies[[0, i]]).picture for i in (0, 3)]
    assert session.retarget(Motion(folder / "live.npy"))
    for index, picture in zip((0, 3), live, strict=True):
        np.testing.assert_array_equal(session.frame(index).picture, picture)


def test_bodies_of_a_camera_are_brought_to_the_rate_of_the_clip(folder: Path) -> None:
    times = np.array([0.0, 0.1, 0.15, 0.4])
    bodies = np.repeat(times[:, None] * 3, 188, 1)
    even = resampled(bodies, times, 25)
    assert even.shape == (11, 188)
    np.testing.assert_allclose(even[:, 7], 3 * np.arange(11) / 25, atol=1e-6)
