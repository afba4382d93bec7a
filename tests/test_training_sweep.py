"""Sweeps: the table, what is skipped, what is reported, and that runs are told to save."""

import json
import sys
from pathlib import Path

import pytest

from hvc_jax.cli.main import main
from hvc_jax.training import sweep
from hvc_jax.training.sweep import Run, load_runs, run_locally, run_on_slurm

TABLE = """
RUNS = {f"lmbda_{l}": {"config": "configs/semantic.py:size=tiny,res=64", "loss.lmbda": l,
                       "data.key_qps": (32, 32)} for l in (1, 2.5)}
"""

# What stands for hvc train: its last word is the workdir, the --config names its behaviour.
STAND_IN = """
import pathlib, signal, sys, time
workdir, kind = pathlib.Path(sys.argv[-1]), sys.argv[2]
def save(*_):
    (workdir / "saved").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("trains", kind, flush=True)
with (workdir / "starts").open("a") as file: file.write("x")
if kind == "bad": sys.exit(3)
if kind == "long": time.sleep(60)
if kind != "preempted": (workdir / "model.safetensors").touch()
"""


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "stand_in.py"
    path.write_text(STAND_IN)
    monkeypatch.setattr(
        Run,
        "command",
        property(lambda run: [sys.executable, str(path), *run.arguments, str(run.workdir)]),
    )


def experiment(folder: Path, **kinds: str) -> Path:
    folder.mkdir()
    table = {name: {"config": kind} for name, kind in kinds.items()}
    (folder / "sweep.py").write_text(f"RUNS = {table!r}\n")
    return folder


def starts(workdir: Path) -> int:
    return len((workdir / "starts").read_text())


def test_rows_become_commands(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "sweep.py").write_text(TABLE)
    assert main(["sweep", str(tmp_path), "--dry-run", "--workdir", "w"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and not Path("w").exists()
    assert lines[1].endswith(
        "-m hvc_jax train --config configs/semantic.py:size=tiny,res=64 "
        "--config.loss.lmbda=2.5 '--config.data.key_qps=(32, 32)' --workdir w/lmbda_2.5"
    )


def test_overrides_are_what_the_train_command_reads(tmp_path: Path) -> None:
    from hvc_jax.training.config import load_config, split_overrides

    (tmp_path / "sweep.py").write_text(TABLE)
    rest, overrides = split_overrides(load_runs(tmp_path, tmp_path)[1].arguments)
    config = load_config(rest[1], overrides)
    assert config.loss.lmbda == 2.5 and tuple(config.data.key_qps) == (32, 32)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("RUNS = {}", "no table RUNS"),
        ("RUNS = {'a/b': {'config': 'x'}}", "run 'a/b': use letters"),
        ("RUNS = {'a': {'loss.lmbda': 1}}", 'needs "config"'),
    ],
)
def test_bad_tables_are_explained(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "sweep.py").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_runs(tmp_path, tmp_path)
    with pytest.raises(ValueError, match="a sweep is a sweep.py"):
        load_runs(tmp_path / "none", tmp_path)


@pytest.mark.usefixtures("stand_in")
def test_finished_runs_are_skipped_and_failed_ones_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = experiment(tmp_path / "e", good="good", bad="bad", stopped="preempted")
    words = ["sweep", str(folder), "--workdir", str(tmp_path / "w"), "--jobs", "2"]
    assert main(words) == 1
    out = capsys.readouterr().out
    assert "good: finished\n" in out and "bad: failed with status 3" in out
    assert "stopped: stopped before its end" in out and "1 of 3 runs finished" in out
    assert "trains bad" in (tmp_path / "w" / "bad" / "log.txt").read_text()
    assert main(words) == 1
    assert "good: finished before" in capsys.readouterr().out
    assert [starts(tmp_path / "w" / n) for n in ("good", "bad", "stopped")] == [1, 2, 2]
    assert main([*words, "--only", "good"]) == 0
    assert main([*words, "--only", "other"]) == 2


@pytest.mark.usefixtures("stand_in")
def test_a_run_under_other_settings_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder, workdir = experiment(tmp_path / "e", a="good"), tmp_path / "w"
    assert main(["sweep", str(folder), "--workdir", str(workdir)]) == 0
    (folder / "sweep.py").write_text("RUNS = {'a': {'config': 'good', 'seed': 1}}")
    assert main(["sweep", str(folder), "--workdir", str(workdir)]) == 1
    assert "was run with other settings" in capsys.readouterr().out and starts(workdir / "a") == 1


@pytest.mark.usefixtures("stand_in")
def test_runs_side_by_side_save_themselves_when_the_sweep_is_stopped(tmp_path: Path) -> None:
    runs = load_runs(experiment(tmp_path / "e", a="long", b="long", c="good"), tmp_path / "w")
    outcomes = run_locally(runs, jobs=3)
    first, status = next(outcomes)
    assert (first.name, status) == ("c", 0)
    while not all((run.workdir / "starts").exists() for run in runs):
        pass
    outcomes.close()
    assert [(run.workdir / "saved").exists() for run in runs] == [True, True, False]
    assert [run.state() for run in runs] == ["started", "started", "finished"]


def test_slurm_without_submitit_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    run = Run("a", ("--config", "x"), tmp_path / "a")
    with pytest.raises(ValueError, match="pip install submitit"):
        next(run_on_slurm([run], tmp_path / "slurm", {}))


def test_jobs_of_submitit(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    runs = load_runs(experiment(tmp_path / "e", a="none.py"), tmp_path / "w")
    outcomes = list(run_on_slurm(runs, tmp_path / "slurm", {}, cluster="local"))
    assert outcomes == [(runs[0], 2)] and runs[0].state() == "failed"
    assert "none.py: no such config file" in (runs[0].workdir / sweep.LOG).read_text()
    assert json.loads((runs[0].workdir / sweep.RECORD).read_text())["job"]
