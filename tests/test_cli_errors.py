"""Bad input to the commands: one plain line, status 2, nothing left behind."""

import io
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from tiny_export import FPS, make_export, make_frames

from hvc_jax.body.params import identity_vector
from hvc_jax.cli.main import COMMANDS, main
from hvc_jax.codec import latent_encoder
from hvc_jax.data.clips import write_video
from hvc_jax.stream.container import StreamWriter
from hvc_jax.stream.header import NO_MODEL, Header
from hvc_jax.stream.schema import builtin_schema
from hvc_jax.stream.tables import default_tables
from hvc_jax.stream.vectors import VectorEncoder


def make_stream(model_id: bytes = NO_MODEL) -> bytes:
    """A semantic stream of six frames with a key picture that is none."""
    schema = builtin_schema("upper31+camera")
    out = io.BytesIO()
    header = Header("semantic", 64, 64, FPS, 6, model_id, schema="upper31+camera")
    encoder = VectorEncoder(schema, default_tables(schema))
    static, _ = encoder.key(identity_vector())
    with StreamWriter(out, header) as writer:
        writer.write_key(0, 1, 32, b"no picture")
        writer.write_static(0, static)
        for _ in range(6):
            encoder.push(identity_vector())
        for group in encoder.flush():
            writer.write_motion(group)
    return out.getvalue()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every bad input there is."""
    folder = tmp_path_factory.mktemp("inputs")
    write_video(folder / "good.mp4", make_frames(6), FPS)
    write_video(folder / "one.mp4", make_frames(1), FPS)
    with av.open(str(folder / "small.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for frame in make_frames(3, 16):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode(None))
    with wave.open(str(folder / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(b"\0\0" * 800)
    (folder / "text.mp4").write_text("this is no video\n" * 100)
    (folder / "empty.mp4").write_bytes(b"")
    good = (folder / "good.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(good[: len(good) // 2])
    stream = make_stream()
    (folder / "good.hvc").write_bytes(stream)
    (folder / "cut.hvc").write_bytes(stream[:-10])
    (folder / "flipped.hvc").write_bytes(stream[:40] + bytes([stream[40] ^ 1]) + stream[41:])
    (folder / "foreign.hvc").write_bytes(b"RIFF" + b"0123456789" * 20)
    (folder / "empty.hvc").write_bytes(b"")
    (folder / "other_model.hvc").write_bytes(make_stream(b"\1\2\3\4\5\6\7\x08"))
    make_export(folder, "keypoint")
    (folder / "no_model.safetensors").write_bytes(b"nothing")
    np.save(folder / "numbers.npy", np.zeros((6, 5)))
    np.save(folder / "bodies.npy", np.repeat(identity_vector()[None], 6, 0))
    return folder


# Words of the command, with IN the folder of inputs and OUT an empty folder; part of the answer.
ENCODE = "encode IN/good.mp4 OUT/out.hvc --model IN/keypoint.safetensors --variant keypoint"
CASES = [
    ("encode IN/none.mp4 OUT/out.hvc", "none.mp4 does not exist"),
    ("encode IN OUT/out.hvc", "is a folder"),
    ("encode IN/text.mp4 OUT/out.hvc", "no video"),
    ("encode IN/empty.mp4 OUT/out.hvc", "no video"),
    ("encode IN/cut.mp4 OUT/out.hvc", "cut"),
    ("encode IN/sound.wav OUT/out.hvc", "sound"),
    ("encode IN/small.mp4 OUT/out.hvc", "16x16"),
    (ENCODE.replace("good.mp4", "one.mp4"), "two frames"),
    (ENCODE + " --start 50", "two frames"),
    ("encode IN/good.mp4 OUT/none/out.hvc", "create it"),
    ("encode IN/good.mp4 IN/good.mp4", "also the input"),
    (ENCODE + " --size 250", "use 256"),
    ("export --workdir IN --out OUT/m.safetensors --blend IN/none=2", "share of 0 to 1"),
    (ENCODE + " --key-qp 64", "0 (finest) to 63"),
    (ENCODE + " --quantiser 0", "use 64"),
    (ENCODE + " --quality worst", "fast, good, best"),
    (ENCODE + " --lookahead 0", "--group-frames 1"),
    ("encode IN/good.mp4 OUT/out.hvc --lookahead 0 --kbps 9", "meets no target"),
    (ENCODE + " --body-params IN/numbers.npy", "hvc fit"),
    (ENCODE + " --body-params IN/bodies.npy", "sends no bodies"),
    (ENCODE + " --body-params IN/good.mp4", "good.mp4"),
    ("fit IN/good.mp4 OUT/b.npz --body-params IN/numbers.npy", "hvc fit"),
    ("fit IN/good.mp4 OUT/b.npz --keypoints IN/numbers.npy", "BlazePose-33"),
    ("fit IN/good.mp4 OUT/b.npz --keypoints IN/none", "none"),
    ("fit IN/good.mp4 OUT/b.txt", ".npz"),
    ("fit IN/good.mp4", "give a file"),
    ("encode IN/good.mp4 OUT/out.hvc --model IN/none.safetensors", "no such model"),
    ("encode IN/good.mp4 OUT/out.hvc --model IN/keypoint.safetensors", "--variant keypoint"),
    ("encode IN/good.mp4 OUT/out.hvc --model IN/no_model.safetensors", "no model"),
    ("decode IN/none.hvc OUT/out.mp4", "check the path"),
    ("decode IN/foreign.hvc OUT/out.mp4", "not an hvc stream"),
    ("decode IN/good.mp4 OUT/out.mp4", "not an hvc stream"),
    ("decode IN/empty.hvc OUT/out.mp4", "bad stream"),
    ("decode IN/other_model.hvc OUT/out.mp4", "0102030405060708"),
    ("decode IN/other_model.hvc OUT/out.mp4 --model IN/keypoint.safetensors", "right file"),
    ("decode IN/good.hvc IN/cut.hvc OUT/out.mp4", "folder"),
    ("inspect IN/foreign.hvc", "foreign.hvc"),
    ("inspect IN/cut.hvc", "cut"),
    ("inspect IN/flipped.hvc", "checksum"),
    ("edit IN/good.hvc OUT/e.hvc --set nose_yaw+=20deg", "unknown parameter"),
    ("edit IN/good.hvc OUT/e.hvc --set head_yaw", "cannot read"),
    ("edit IN/good.hvc OUT/e.hvc --set head_yaw=1e999", "finite"),
    ("edit IN/good.hvc OUT/e.hvc", "nothing to do"),
    ("edit IN/good.hvc OUT/e.hvc --freeze head --frames 90:", "outside"),
    ("edit IN/good.hvc OUT/e.hvc --smooth head lots", "number of frames"),
    ("edit IN/cut.hvc OUT/e.hvc --set head_yaw=1", "cut"),
    ("edit IN/foreign.hvc OUT/e.hvc --set head_yaw=1", "not an hvc stream"),
    ("edit IN/other_model.hvc OUT/e.hvc --set head_yaw=1", "--model"),
    ("evaluate --clips IN/none --out OUT/r", "no such folder"),
    ("evaluate --clips OUT --out OUT/r", "no video file"),
    ("evaluate --clips IN --out OUT/r --key-qp 32,x", "22,32,42,52"),
    ("evaluate --clips IN --out OUT/r --anchors h261", "no anchor"),
    ("evaluate --clips IN --out OUT/r --anchors vvc --anchor-qp av1=50", "one of --anchors"),
    ("evaluate --clips IN --out OUT/r --scores beauty", "unknown"),
    ("evaluate --clips IN --out OUT/r --pose-net IN/none.tflite", "--pose-net"),
    ("evaluate --clips IN --out OUT/r --model IN/none.safetensors", "no such model"),
    ("report OUT", "holds no results"),
    ("demo IN/none.mp4 --output OUT/demo", "does not exist"),
    ("demo IN/text.mp4 --output OUT/demo", "no video"),
    ("demo --set head_yaw --output OUT/demo", "cannot read"),
    ("dance", "no command"),
]


@pytest.mark.parametrize(("words", "answer"), CASES)
def test_bad_input_is_one_plain_line(
    words: str, answer: str, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    before = sorted(inputs.iterdir())
    argv = words.replace("IN", str(inputs)).replace("OUT", str(tmp_path)).split()
    assert main(argv) == 2
    said = capsys.readouterr()
    lines = said.err.strip().splitlines()
    assert lines[-1].startswith("hvc: error: ") and answer in lines[-1], said.err
    assert "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == [] and sorted(inputs.iterdir()) == before


def test_full_disk_leaves_nothing(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StreamWriter, "write_unit", full)
    frame = np.zeros((64, 64, 3), np.uint8), np.zeros(188), 1.0, True
    item = latent_encoder.Analysed(*frame)
    monkeypatch.setattr("hvc_jax.codec.codec.analysed", lambda *a: iter([item]))
    monkeypatch.setattr(latent_encoder.LatentEncoder, "_write_key", full)
    argv = ENCODE.replace("IN", str(inputs)).replace("OUT", str(tmp_path)).split()
    assert main(argv) == 2
    assert "No space left" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("hvc_jax.cli.main.build_parser", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["inspect", "x.hvc"])


def test_interrupt_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def stop(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hvc_jax.cli.main.build_parser", stop)
    assert main(["inspect", "x.hvc"]) == 130
    assert capsys.readouterr().err == "hvc: stopped\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "example" in said and f"hvc {command}" in said


def test_overview_names_every_command(capsys: pytest.CaptureFixture) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    assert all(f"\n  {command} " in said for command in COMMANDS)
