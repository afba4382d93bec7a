"""The commands on real files: a clip in, a stream, an edit, frames back from a fresh process."""

import contextlib
import functools
import io
import json
import os
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from sound_cases import TONES, heard, make_clip
from tiny_export import FPS, SIDE, make_bodies, make_export, make_frames

from hvc_jax.cli.decode import Clock
from hvc_jax.cli.main import main
from hvc_jax.codec.options import EncodeOptions
from hvc_jax.data.clips import write_video
from hvc_jax.evaluation.table import read_rows
from hvc_jax.pose.estimator import Estimate, nobody
from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.units import UnitType
from hvc_jax.synth.people import SyntheticClip

COUNT = 11


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for variant in ("hybrid", "semantic", "keypoint"):
        make_export(folder, variant)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_video(folder / "first.mp4", make_frames(COUNT), FPS)
    write_video(folder / "second.mp4", make_frames(COUNT, 80)[:, 10:], FPS)
    return folder


def test_evaluate_measures_decoded_files_and_goes_on(
    models: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Two clips, one of them wide; then the same command does nothing; then decode and inspect."""
    output = tmp_path / "results"
    argv = ["evaluate", "--clips", str(clips), "--out", str(output), "--size", str(SIDE)]
    argv += ["--model", str(models / "keypoint.safetensors"), "--key-qp", "32,42"]
    argv += ["--scores", "psnr,ssim,ms_ssim,flicker", "--anchors", "hevc", "--quiet"]
    argv += ["--anchor-qp", "hevc=40", "--anchor-effort", "fast"]
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("name,kind\nfirst.mp4,talk\nthird.mp4,sign\n")
    assert main([*argv, "--clip-count", "1", "--manifest", str(manifest), "--json"]) == 0
    said = capsys.readouterr()
    assert "ms_ssim: left empty" in said.err
    assert {row["codec"] for row in json.loads(said.out)} >= {"hold", "keypoint", "hevc"}
    assert {row["content"] for row in read_rows(output / "contents.csv")} == {"talk"}
    once = (output / "results.csv").read_text()
    assert main(argv) == 0
    assert (output / "results.csv").read_text().startswith(once)
    rows = read_rows(output / "results.csv")
    points = [("hold", 27), ("hold", 32), ("hold", 42), ("uncompressed key", None)]
    points += [("keypoint", 32), ("keypoint", 42), ("hevc", 40)]
    assert [(row["clip"], row["codec"], row["qp"]) for row in rows] == [
        (clip, *point) for clip in ("first", "second") for point in points
    ]
    for row in rows:
        assert 0 < row["psnr"] < 60 and row["decoded_ok"] and row["ms_ssim"] is None
        assert row["bits_per_frame"] == pytest.approx(row["bytes"] * 8 / COUNT, rel=1e-5)
        if row["kind"] == "model":
            stream = output / "streams" / f"{row['clip']}.keypoint.qp{row['qp']}.hvc"
            parts = ("header", "key", "static", "motion", "other")
            sizes = [row[f"{part}_bytes"] for part in parts]
            assert row["bytes"] == stream.stat().st_size == sum(sizes)
            assert row["encode_seconds"] > 0 and row["decode_seconds"] > 0
    assert (output / "sheets" / "second.png").exists() and (output / "report.md").exists()
    assert (output / "plots" / "rd_psnr.svg").exists() and (output / "bd_rate.csv").exists()
    assert not list(output.glob("decoded.*"))
    record = json.loads((output / "run.json").read_text())
    assert record["models"]["keypoint"]["id"] and len(record["commands"]) == 2
    assert set(record["clips"]) == {"first.mp4", "second.mp4"}
    assert main([*argv, "--frames", "5"]) == 2
    assert "use another --out" in capsys.readouterr().err

    stream = output / "streams" / "second.keypoint.qp32.hvc"
    model = ["--model", str(models / "keypoint.safetensors")]
    assert main(["inspect", str(stream), "--json", *model]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["frames"] == COUNT and record["source_size"] == [80, 70]
    assert record["bytes"] == stream.stat().st_size == sum(t["bytes"] for t in record["by_type"])
    assert len(record["parameters"]) == 32
    assert main(["inspect", str(stream)]) == 0  # the model cannot be found: the rest is shown
    assert "--model" in capsys.readouterr().out

    video = tmp_path / "out.mp4"
    assert main(["decode", str(stream), str(video), "--quiet", *model]) == 0
    with av.open(str(video)) as file:
        track = file.streams.video[0]
        assert (track.frames, track.width, track.average_rate) == (COUNT, SIDE, FPS)

    # Anchors and hold alone, to which models can be added.
    alone = ["evaluate", "--clips", str(clips), "--out", str(tmp_path / "alone"), "--model"]
    alone += ["--size", str(SIDE), "--scores", "psnr", "--clip-count", "1", "--quiet"]
    alone += ["--anchors", "hevc", "--anchor-qp", "hevc=30,36,42", "--anchor-effort", "fast"]
    assert main(alone) == 0
    rows = read_rows(tmp_path / "alone" / "results.csv")
    assert [row["kind"] for row in rows] == [*["hold"] * 2, "ceiling", *["anchor"] * 3]
    assert (tmp_path / "alone" / "bd_rate.csv").exists()


@pytest.mark.parametrize("steps", [(40, 120), (33, 80, 200)])
def test_variable_rate_keeps_its_length_and_is_told(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture, steps: tuple[int, ...]
) -> None:
    """Frames at uneven times, through a stream and back: as long as they were, within a frame."""
    times, path = [0], tmp_path / "vfr.mkv"
    for step in steps:
        times += [times[-1] + step * (i + 1) for i in range(6)]
    with av.open(str(path), "w") as file:
        track = file.add_stream("ffv1", rate=25)
        track.width = track.height = SIDE
        track.time_base = track.codec_context.time_base = Fraction(1, 1000)
        for picture, at in zip(make_frames(len(times)), times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            file.mux(track.encode(frame))
        file.mux(track.encode())
    model = ["--model", str(models / "keypoint.safetensors")]
    stream, video = str(tmp_path / "a.hvc"), str(tmp_path / "a.mp4")
    coding = ["--variant", "keypoint", "--size", str(SIDE), "--quiet", *model]
    assert main(["encode", str(path), stream, *coding]) == 0
    assert "variable rate" in capsys.readouterr().err
    assert main(["inspect", stream, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert any("variable rate" in note for m in report["meta"] for note in m.get("source", []))
    assert main(["decode", stream, video, "--quiet", *model]) == 0
    with av.open(video) as file:
        track = file.streams.video[0]
        count, fps = sum(1 for _ in file.decode(track)), track.average_rate
    assert count == report["frames"]
    assert abs(count / fps - (times[-1] / 1000 + 1 / fps)) <= 1 / fps + 1e-6


@contextlib.contextmanager
def piped(data: bytes) -> Iterator[None]:
    """Makes standard input a real pipe that gives `data`."""
    end, begin = os.pipe()
    saved = os.dup(0)
    os.dup2(end, 0)
    os.close(end)

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(begin, "wb") as pipe:
            pipe.write(data)

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        feeder.join()


def test_streams_go_through_pipes(
    models: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture
) -> None:
    """Standard input is a real pipe that cannot be sought; what comes out is the file's stream."""
    write_video(tmp_path / "clip.mkv", make_frames(COUNT), FPS)
    options = ["--variant", "semantic", "--model", str(models / "semantic.safetensors"), "--quiet"]
    options += ["--size", str(SIDE), "--no-hold", "--group-frames", "4"]
    options += ["--body-params", str(tmp_path / "body.npy")]
    np.save(tmp_path / "body.npy", make_bodies(COUNT))
    file = tmp_path / "file.hvc"
    assert main(["encode", str(tmp_path / "clip.mkv"), str(file), *options]) == 0
    capfdbinary.readouterr()

    with piped((tmp_path / "clip.mkv").read_bytes()):
        assert main(["encode", "-", "-", *options]) == 0
    said = capfdbinary.readouterr()
    assert b"11 frames" in said.err

    def units(data: bytes) -> list[tuple[int, int, bytes]]:
        found = StreamReader(io.BytesIO(data)).units()
        return [(u.type, u.frame, bytes(u.payload)) for u in found if u.type != UnitType.INDEX]

    assert units(said.out) == units(file.read_bytes())

    # And on into the decoder; pictures are numbered as the clip's frames are.
    model = ["--quiet", "--model", str(models / "semantic.safetensors")]
    assert main(["decode", str(file), str(tmp_path / "all"), *model]) == 0
    with piped(said.out):
        part = str(tmp_path / "part")
        assert main(["decode", "-", part, "--frames", "5:8", *model]) == 0
    names = sorted(path.name for path in (tmp_path / "part").iterdir())
    assert names == ["000005.png", "000006.png", "000007.png"]
    for name in names:
        one, other = (Image.open(tmp_path / folder / name) for folder in ("part", "all"))
        np.testing.assert_array_equal(one, other)
    with piped(said.out):
        assert main(["decode", "-", part, "--conceal", *model]) == 2
    assert b"write it to a file" in capfdbinary.readouterr().err


def test_sound_goes_along(models: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture) -> None:
    make_clip(tmp_path / "clip.mkv", begins=0.2)
    options = ["--variant", "keypoint", "--model", str(models / "keypoint.safetensors"), "--quiet"]
    options += ["--size", str(SIDE), "--start", "30", "--frames", "50"]
    file, silent = tmp_path / "file.hvc", tmp_path / "silent.hvc"
    assert main(["encode", str(tmp_path / "clip.mkv"), str(file), *options]) == 0
    assert b"of them sound" in capfdbinary.readouterr().out
    quiet = ["--audio-kbps", "0", *options]
    assert main(["encode", str(tmp_path / "clip.mkv"), str(silent), *quiet]) == 0
    with piped((tmp_path / "clip.mkv").read_bytes()):
        assert main(["encode", "-", str(tmp_path / "piped.hvc"), *options]) == 0
    assert (tmp_path / "piped.hvc").read_bytes() == file.read_bytes()
    capfdbinary.readouterr()

    rows = []
    for path in (file, silent):
        assert main(["inspect", str(path), "--json"]) == 0
        rows.append(json.loads(capfdbinary.readouterr().out))
    sizes = [{row["unit"]: row["bytes"] for row in report["by_type"]} for report in rows]
    audio = sizes[0].pop("AUDIO")
    assert rows[0]["sound_kbps"] == pytest.approx(audio * 8 / 2 / 1000) and 0 < audio < 2300
    assert sizes[0]["KEY"] == sizes[1]["KEY"] and rows[1]["sound_kbps"] == 0
    assert sizes[0]["MOTION"] == sizes[1]["MOTION"]

    model = ["--quiet", "--model", str(models / "keypoint.safetensors")]
    wanted = [tone - 30 / 25 for tone in TONES if 30 < tone * 25 < 80]
    for more in ([], ["--conceal"]):
        assert main(["decode", str(file), str(tmp_path / "out.mp4"), *model, *more]) == 0
        np.testing.assert_allclose(heard(tmp_path / "out.mp4"), wanted, atol=0.02)
    with piped(file.read_bytes()):
        assert main(["decode", "-", str(tmp_path / "out.webm"), *model]) == 0
    np.testing.assert_allclose(heard(tmp_path / "out.webm"), wanted, atol=0.02)
    assert main(["decode", str(file), str(tmp_path / "out.mkv"), "--frames", "7:30", *model]) == 0
    np.testing.assert_allclose(
        heard(tmp_path / "out.mkv"), np.array(wanted[:1]) - 7 / 25, atol=0.02
    )
    capfdbinary.readouterr()
    assert main(["decode", str(file), str(tmp_path / "out.mov"), *model]) == 0
    assert b"sound was left out; use .mp4" in capfdbinary.readouterr().err
    with pytest.raises(SystemExit):
        main(["encode", "--audio-kbps", "3", str(tmp_path / "clip.mkv"), str(file), *options])
    assert b"give 6 to 256 kbps" in capfdbinary.readouterr().err


def test_demo_codes_edits_and_shows(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def render(seed: int, frames: int, size: int, **_: object) -> SyntheticClip:
        mask = np.ones((frames, size, size), np.float32)
        return SyntheticClip(make_frames(frames, size), make_bodies(frames), mask, 25.0)

    def estimate(frames: np.ndarray, *_: object, **__: object) -> Estimate:
        sure = np.ones(len(frames), np.float32)
        return nobody(len(frames))._replace(bodies=make_bodies(len(frames)), confidence=sure)

    monkeypatch.setattr("hvc_jax.synth.people.render_clip", render)
    monkeypatch.setattr("hvc_jax.pose.estimator.estimate", estimate)
    fast = functools.partial(EncodeOptions, effort=0)
    monkeypatch.setattr("hvc_jax.evaluation.demo.EncodeOptions", fast)
    output = tmp_path / "demo"
    argv = ["demo", "--output", str(output), "--models", str(models), "--size", str(SIDE)]
    assert main([*argv, "--frames", str(COUNT), "--quiet"]) == 0
    said = capsys.readouterr().out
    for word in ("semantic", "keypoint", "hold key frame", "untouched", "PSNR", "kbps"):
        assert word in said
    names = {"source.mp4", "hybrid.hvc", "semantic.hvc", "keypoint.hvc", "edited.hvc"}
    names |= {"side_by_side.mp4", "contact_sheet.png"}
    assert {path.name for path in output.iterdir()} == names


def test_clock_leaves_the_first_batch_out() -> None:
    clock = Clock(range(12), batch=8)
    assert list(clock) == list(range(12)) and clock.count == 12
    assert clock.rate == pytest.approx(4 / clock.seconds)
    short = Clock(range(8), batch=8)
    assert list(short) == list(range(8)) and short.rate is None
