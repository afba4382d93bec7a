"""The parts of `hvc evaluate` that need no model: names, points, and streams that do not decode."""

import contextlib
import functools
import queue
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from hvc_jax.cli.evaluate import anchor_points, axes_of, items
from hvc_jax.evaluation import roundtrip
from hvc_jax.evaluation import run as evaluation_run
from hvc_jax.evaluation.report import ReportError, write_report
from hvc_jax.evaluation.roundtrip import Decoded, RoundtripError
from hvc_jax.evaluation.run import Point, points_of
from hvc_jax.evaluation.settings import Settings, name_models
from hvc_jax.evaluation.shards import evaluate_on_slurm, merge_parts
from hvc_jax.evaluation.table import csv_text
from hvc_jax.ops.program import Program, program
from hvc_jax.ops.slurm import ShardError


def test_models_are_named_by_variant_file_or_run():
    models = ["semantic", "x/a.safetensors", "runs/b_lmbda4/model.safetensors"]
    assert [name for name, _ in name_models(models)] == ["semantic", "a", "b_lmbda4"]
    with pytest.raises(ValueError, match="rename"):
        name_models(["x/a.safetensors", "y/a.safetensors"])


def test_every_point_is_a_row_with_hold_and_the_ceiling_beside():
    anchors = anchor_points(items(["vvc,av1-half"]), ["vvc=40,50"])
    assert anchors == (("vvc", (40, 50)), ("av1-half", (35, 43, 50, 57)))
    settings = Settings(Path("r"), (("a", "a.safetensors"),), (22, 52), anchors)
    points = points_of(settings)
    assert [p.qp for p in points if p.kind == "hold"] == [17, 22, 52]
    assert [(p.codec, p.qp) for p in points if p.kind == "model"] == [("a", 22), ("a", 52)]
    assert sum(p.kind == "anchor" for p in points) == 6
    assert Point("ceiling", "uncompressed key", None) in points and len(set(points)) == len(points)


def test_further_axes_are_curves_of_their_own():
    axes = axes_of(["bytes=1500,3000", "no-hold", "quantiser=32", "lmbda=.1"])
    models = (("field", "field"), ("b", "hybrid"), ("semantic", "semantic"))
    settings = Settings(Path("r"), models, (22, 32, 52), axes=axes)
    points = [p for p in points_of(settings) if p.axis]
    assert len(set(points_of(settings))) == len(points_of(settings))
    assert [(p.codec, p.qp) for p in points] == [
        ("field-bytes", 1500), ("b-bytes", 1500), ("field-bytes", 3000), ("b-bytes", 3000),
        *(("semantic-no_hold", qp) for qp in (22, 32, 52)),
        ("b-quantiser", 32), ("semantic-quantiser", 32), ("field-lmbda", 0.1), ("b-lmbda", 0.1),
    ]  # fmt: skip
    options = {p.codec: p.options(settings) for p in points}
    assert options["b-bytes"].target_bytes == 3000 and options["b-bytes"].key_qp is None
    assert options["field-lmbda"].lmbda == 0.1 and options["b-quantiser"].quantiser == 32
    assert options["b-quantiser"].key_qp == 32  # the middle one
    last = options["semantic-no_hold"]
    assert not last.hold and last.key_qp == 52
    for bad in ("speed=1", "bytes", "bytes=", "bytes=x", "bytes=0", "no_hold=1", "quantiser=.5"):
        with pytest.raises(ValueError, match="--axes"):
            axes_of([bad])


@pytest.mark.parametrize("broken", [{"b"}, {"a", "d"}, set(), set("abcd")])
def test_a_stream_that_fails_does_not_take_the_others_with_it(monkeypatch, broken, tmp_path):
    """The process stops at the first bad stream; those after it are tried again."""
    calls = []

    def decode(streams, folder, models):
        calls.append(len(streams))
        for stream in streams:
            if stream.name in broken:
                raise RoundtripError("bad")
            yield Decoded(stream, folder / stream.name, 9.0)

    monkeypatch.setattr(evaluation_run, "decode_in_fresh_process", decode)
    streams = [Path(name) for name in "abcd"]
    settings = SimpleNamespace(model_folders=())
    decoded = evaluation_run._decoded(streams, tmp_path, settings)
    assert {stream.name for stream in streams if decoded[stream] is None} == broken
    assert set(decoded) == set(streams) and len(calls) <= 1 + 2 * len(broken)


def test_progress_moves_while_streams_are_coded(monkeypatch, tmp_path):
    """A stream to code is a step, and so is a row to measure."""
    counts, bars = [], []

    class Bar(contextlib.nullcontext):
        def __init__(self, total, *_, **__):
            super().__init__(self)
            bars.append(total)

        def describe(self, _):
            pass

        def update(self, count):
            counts.append(count)

    coder = SimpleNamespace(code=lambda *_: 1.0)
    monkeypatch.setattr(evaluation_run, "Progress", Bar)
    monkeypatch.setattr(evaluation_run, "_coder", lambda _: coder)
    monkeypatch.setattr(evaluation_run, "_decoded", lambda *_: {})
    monkeypatch.setattr(
        evaluation_run,
        "_measure",
        lambda work, *_: [
            {"clip": work.clip.stem, "codec": p.codec, "qp": p.qp} for p in work.points
        ],
    )
    settings = Settings(tmp_path, (("m", "m.safetensors"),), key_qps=(32, 40))
    evaluation_run.evaluate([Path("a.mp4"), Path("b.mp4")], settings)
    rows = 2 * len(points_of(settings))
    assert bars == [rows + 2 * 2] and sum(counts) == bars[0]
    steps = [count for count in counts if count]
    assert steps[:4] == [1] * 4  # all four streams are coded before the first row


def test_a_process_that_says_much_does_not_hang(monkeypatch, tmp_path):
    """More than a pipe holds comes on stderr before the first answer."""
    program = tmp_path / "decoder"
    program.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "sys.stderr.write('a warning of many words\\n' * 20000)\n"
        'print(\'{"output": "a", "frames_per_second": 9.0}\', flush=True)\n'
        "sys.exit('no key picture')\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(roundtrip.sys, "executable", str(program))
    found = roundtrip.decode_in_fresh_process([tmp_path / "a.hvc"], tmp_path)
    assert next(found).frames_per_second == 9.0
    with pytest.raises(RoundtripError, match="no key picture"):
        next(found)


def test_rows_say_what_made_them_and_programs_do_not_mix(monkeypatch, tmp_path):
    path = tmp_path / "results.csv"
    row = {"clip": "a", "kind": "model", "codec": "m", "qp": 32, "model_id": "0123456789012345"}
    evaluation_run.Results(path).add([row])
    (kept,) = evaluation_run.Results(path).rows
    assert (kept["version"], kept["commit"]) == tuple(part or "" for part in program())
    assert kept["model_id"] == row["model_id"]
    later = Program(program().version, "123456789012")
    monkeypatch.setattr(evaluation_run, "program", lambda: later)
    with pytest.raises(ValueError, match="this is .* at 123456789012; .*use another"):
        evaluation_run.Results(path)
    path.write_text(csv_text([kept, kept | {"clip": "b", "commit": later.commit}]))
    with pytest.raises(ReportError, match="mixes rows of .*123456789012"):
        write_report(tmp_path)


class Executor:
    """Runs jobs here and now, as submitit's would elsewhere; one number fails after its clips."""

    def __init__(self, fails: int | None = None) -> None:
        self.fails = fails

    def batch(self):
        return contextlib.nullcontext()

    def submit(self, function, clips, settings, jobs, quiet, number):
        function(clips, settings, jobs, quiet, number)
        error = OSError("gone") if number == self.fails else None
        return SimpleNamespace(done=lambda: True, exception=lambda: error)


def test_jobs_share_the_clips_and_their_rows_are_merged(monkeypatch, tmp_path):
    measured = []

    def block(block, settings, step):
        for work in block:
            measured.append(work.clip.stem)
            names = {"clip": work.clip.stem, "kind": "hold"}
            yield [names | {"codec": p.codec, "qp": p.qp} for p in work.points]

    monkeypatch.setattr(evaluation_run, "_block", block)
    clips = [Path(f"{name}.mp4") for name in "abcde"]
    settings = Settings(tmp_path, ())
    run = functools.partial(evaluate_on_slurm, clips, settings, 3, {}, cluster="local")
    with pytest.raises(ShardError, match="1 of 3 jobs failed"):
        run(executor=Executor(fails=1), report=lambda _: None)
    assert sorted(measured) == list("abcde")
    points = len(points_of(settings))
    assert len(evaluation_run.Results(tmp_path / "results.csv").rows) == 5 * points
    assert not list(tmp_path.glob("results.part-*"))
    run(executor=Executor(), report=lambda _: None)
    assert len(measured) == 5  # nothing twice
    other = evaluation_run.Results(evaluation_run.part_path(tmp_path, 7))
    other.add([{"clip": "z", "kind": "hold", "codec": "hold", "qp": 32}])
    merge_parts(tmp_path)
    assert len(evaluation_run.Results(tmp_path / "results.csv").rows) == 5 * points + 1


def test_what_processes_tell_comes_at_once_and_none_of_it_is_lost():
    told, last = queue.Queue(), threading.Event()

    def work(error=None):
        told.put(("coded a", 1))
        last.wait(30)
        told.put([{"clip": "a"}])
        if error:
            raise error

    with ThreadPoolExecutor(2) as pool:
        messages = evaluation_run._messages(told, [pool.submit(work)])
        assert next(messages) == ("coded a", 1)
        last.set()
        assert list(messages) == [[{"clip": "a"}]]
        messages, seen = evaluation_run._messages(told, [pool.submit(work, OSError("gone"))]), []
        with pytest.raises(OSError, match="gone"):
            seen.extend(messages)
        assert seen == [("coded a", 1), [{"clip": "a"}]]


def test_an_installed_program_without_a_commit_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation_run, "program", lambda: Program("1.2.3", None))
    path = tmp_path / "results.csv"
    row = {"clip": "a", "codec": "hold", "qp": 32, "kind": "hold", "bytes": 5}
    evaluation_run.Results(path).add([row])
    assert ("a", "hold", 32) in evaluation_run.Results(path)
