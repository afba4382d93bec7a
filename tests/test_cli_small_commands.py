"""Commands that list, show and prepare."""

import dataclasses
import io
import json
import re
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np

from hvc_jax.cli import inspect, play
from hvc_jax.cli.main import main
from hvc_jax.cli.text import printable
from hvc_jax.ops import progress
from hvc_jax.stream.header import read_header


def test_models_are_listed(tmp_path, monkeypatch, capsys):
    from tiny_export import make_export

    mine = make_export(tmp_path, "keypoint").path
    (tmp_path / "broken.safetensors").write_bytes(b"x")
    monkeypatch.setenv("HVC_MODELS", str(tmp_path))
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert {"semantic", str(mine)} <= set(rows) and len(rows[str(mine)]["id"]) == 16
    assert rows[str(mine)]["scores"] is None
    assert main(["models"]) == 0
    assert "semantic" in capsys.readouterr().out


def test_every_command_has_a_parser_that_completion_sees(capsys):
    for shell in ("bash", "zsh"):
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out
        assert "--key-qp" in script and "retarget" in script


def test_a_page_is_served_in_parts(tmp_path):
    data = np.random.default_rng(0).bytes(5000)
    (tmp_path / "clip.mp4").write_bytes(data)
    with play.serve(tmp_path) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/clip.mp4"
        assert urllib.request.urlopen(address).read() == data
        for span, wanted in (("10-19", data[10:20]), ("4990-", data[4990:])):
            request = urllib.request.Request(address, headers={"Range": f"bytes={span}"})
            with urllib.request.urlopen(request) as answer:
                assert answer.status == 206 and answer.read() == wanted
        server.shutdown()


def test_progress_says_lines_where_there_is_no_terminal(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.05)
    with progress.Progress(30, "frames", warm_up=4) as shown:
        time.sleep(0.5)  # the first frames are long in the making
        for _ in range(10):
            shown.update()
            time.sleep(0.02)
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"0 of 30 frames, \d s so far", lines[0]) and len(lines) > 2
    assert re.fullmatch(r"\d+ of 30 frames, \d s to go \([\d.]+/s\)", lines[-1])
    assert list(progress.progress(range(30), 30, quiet=True)) == list(range(30))
    assert not capsys.readouterr().err


def test_frames_count_when_they_are_written():
    class Shown:
        count = 0

        def update(self, more):
            self.count += more

    shown = Shown()
    file = progress.CountedFile(io.BytesIO(), shown)
    frames = file.counted(iter("abcd"))
    assert next(frames) == "a" and file.write(b"header") == 6 and shown.count == 0
    assert [next(frames) for _ in range(2)] == ["b", "c"] and shown.count == 0
    assert file.write(b"12345") == 5 and (shown.count, file.size) == (3, 11)


def test_text_of_others_cannot_steer_the_terminal():
    assert printable("plain ünïcode 日本") == "plain ünïcode 日本"
    assert printable("\x1b[2J\x9b\ud800") == "\\x1b[2J\\x9b\\ud800"


def test_counts_as_numbers(capsys):
    assert main(["count", "--config", "semantic.py:size=tiny", "--side", "64", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["side"] == 64 and sum(record["parameters"].values()) > 1000
    assert set(record["multiply_accumulates"]) == {"analyse", "reference", "synthesise"}


def test_a_stream_without_units_is_inspected(tmp_path, capsys):
    golden = Path(__file__).parent / "golden" / "upper31_live.hvc"
    with golden.open("rb") as file:
        header, _ = read_header(file.read)
    data = dataclasses.replace(header, frame_count=0).to_bytes()
    (tmp_path / "empty.hvc").write_bytes(data)
    assert main(["inspect", str(tmp_path / "empty.hvc"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["bytes"] == len(data) and report["constants"] == []


def test_of_a_map_of_numbers_the_first_are_shown(tmp_path, capsys):
    golden = Path(__file__).parent / "golden" / "upper31_live.hvc"
    assert main(["inspect", str(golden), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    numbers = dict.fromkeys(("step", "first", "min", "mean", "max"), 0.0)
    rows = [{"parameter": f"token_{i}", "unit": "-"} | numbers for i in range(256)]
    inspect._print(report | {"schema": "token256", "parameters": rows}, all_units=False)
    text = capsys.readouterr().out
    assert "token_39 " in text and "token_40 " not in text and "216 more" in text
