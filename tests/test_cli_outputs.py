"""What is written, and where: never over an input, devices and links as they are, nothing left."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hvc_jax.cli.main import main
from hvc_jax.data.clips import write_video
from hvc_jax.ops import files

ROOT = Path(__file__).parents[1]


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    target, link = tmp_path / "real.bin", tmp_path / "link.bin"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    files.write_bytes(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    dangling = tmp_path / "dangling.bin"
    dangling.symlink_to(tmp_path / "later.bin")
    files.write_bytes(dangling, b"x")
    assert dangling.is_symlink() and (tmp_path / "later.bin").read_bytes() == b"x"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "dangling.bin",
        "later.bin",
        "link.bin",
        "real.bin",
    ]


def test_devices_and_pipes_are_written_through(tmp_path):
    files.write_bytes("/dev/null", b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE)
    files.write_bytes(pipe, b"through")
    assert reader.communicate(timeout=20)[0] == b"through"
    assert files.is_special(pipe)
    assert files.check_output("/dev/null", inputs=["/dev/null"], suffixes=[".hvc"])


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    with pytest.raises(RuntimeError), files.atomic_folder(tmp_path / "folder"):
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "command, words",
    [
        ("encode IN/a.mp4 OUT/a.mp4", "must end in .hvc"),
        ("encode IN/a.mp4 OUT/a", "must end in .hvc"),
        ("encode IN/a.mp4 OUT/a.hvc --fps 0", "no frame rate"),
        ("encode IN/empty OUT/a.hvc", "folder without pictures"),
        ("encode IN/%04d.png OUT/a.hvc", "names no picture"),
        ("encode IN/a.mp4 OUT/a.hvc --max-memory much", "no amount of memory"),
        ("decode IN/a.hvc OUT/a.xyz", "cannot write .xyz"),
        ("decode IN/a.hvc OUT/a.hvc", "cannot write .hvc"),
        ("fit IN/a.mp4 IN/k.json --keypoints IN/k.json", "is also the input"),
        ("fit IN/a.mp4 IN/k.npz --body-params IN/k.npz", "is also the input"),
        ("fit IN/a.mp4 OUT/a.npz --overlay OUT/a.xyz", "must end in .mp4"),
        ("fit IN/a.mp4 OUT/a.npz --out OUT/a.npz", "two outputs have one name"),
        ("fit IN/a.mp4 OUT/a.txt", "must end in .npy"),
        ("body render --pose IN/p.png --out IN/p.png", "is also the input"),
        ("body convert IN/k.npz IN/k.npz", "is also the input"),
        ("inspect IN/a.hvc --tracks IN/a.hvc", "is also the input"),
        ("inspect IN/a.hvc --tracks OUT/a.txt", "must end in .csv"),
        ("edit IN/a.hvc IN/b.hvc --retarget IN/b.hvc", "is also the input"),
        ("edit IN/a.hvc OUT/b.mp4 --set head_yaw+=1deg", "must end in .hvc"),
    ],
)
def test_wrong_outputs_are_refused_before_any_work(tmp_path, capsys, command, words):
    inside, out = tmp_path / "in", tmp_path / "out"
    inside.mkdir(), out.mkdir(), (inside / "empty").mkdir()
    write_video(inside / "a.mp4", np.zeros((3, 64, 64, 3), np.uint8), 25)
    for name in ("a.hvc", "b.hvc"):
        (inside / name).write_bytes(b"HVC\x1a not a stream")
    for name in ("k.json", "k.npz", "m.mp4", "p.png"):
        (inside / name).write_bytes(b"given")
    before = {p: p.read_bytes() for p in inside.iterdir() if p.is_file()}
    words_of_command = command.replace("IN", str(inside)).replace("OUT", str(out)).split()
    try:
        status = main(words_of_command)
    except SystemExit as stop:  # argparse
        status = stop.code
    said = capsys.readouterr().err
    assert status == 2 and words in said.splitlines()[-1]
    assert not list(out.iterdir())
    assert before == {p: p.read_bytes() for p in inside.iterdir() if p.is_file()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_removes_temporary_files(tmp_path, number):
    program = (
        "import signal, sys, time\n"
        # As in a terminal, wherever the tests run: jobs in the background ignore some.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "from hvc_jax.cli import main as program\n"
        "from hvc_jax.ops.files import atomic_path\n"
        "class Command:\n"
        "    def run(self, arguments):\n"
        "        with atomic_path(sys.argv[1]) as temporary:\n"
        "            temporary.write_text('half')\n"
        "            print('begun', flush=True)\n"
        "            time.sleep(60)\n"
        "class Parser:\n"
        "    def parse_args(self, argv):\n"
        "        return type('Arguments', (), {'run': Command().run})\n"
        "program.build_parser = lambda command: Parser()\n"
        "sys.exit(program.main(['encode']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "a.hvc"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout.readline().strip() == "begun"
    assert len(list(tmp_path.iterdir())) == 1
    time.sleep(0.1)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number and said == "hvc: stopped\n"
    assert not list(tmp_path.iterdir())


def test_a_workdir_is_used_by_one_run_at_a_time(tmp_path):
    with (
        files.exclusive(tmp_path / "run" / ".lock", wait=False),
        pytest.raises(files.OutputError, match="in use by another process"),
        files.exclusive(tmp_path / "run" / ".lock", wait=False),
    ):
        pass
    with files.exclusive(tmp_path / "run" / ".lock", wait=False):
        pass


def test_names_that_begin_with_a_dash_are_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-a.hvc").write_bytes((ROOT / "tests/golden/upper31.hvc").read_bytes())
    assert main(["edit", "-a.hvc", "-b c.hvc", "--set", "head_yaw-=0.5"]) == 0
    assert (tmp_path / "-b c.hvc").read_bytes()[:3] == (tmp_path / "-a.hvc").read_bytes()[:3]
    assert main(["edit", "--", "-a.hvc", "-d.hvc"]) == 2
    assert "nothing to do" in capsys.readouterr().err


def test_a_stream_with_other_parameters_drives_by_those_that_both_have(tmp_path, capsys):
    golden, out = ROOT / "tests/golden", tmp_path / "o.hvc"
    driven, driver = str(golden / "upper31.hvc"), str(golden / "shape.hvc")
    assert main(["edit", driven, str(out), "--retarget", driver, "--absolute"]) == 0
    assert "retarget" in capsys.readouterr().out and out.read_bytes() != Path(driven).read_bytes()
    assert main(["edit", driven, str(out), "--retarget", str(golden / "hybrid.hvc")]) == 2
    assert "hybrid.hvc: shares no parameter" in capsys.readouterr().err
