"""The parts of `hvc evaluate` that need no model: names, points, and streams that do not decode."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from hvc_jax.cli.evaluate import anchor_points, items
from hvc_jax.evaluation import run as evaluation_run
from hvc_jax.evaluation.roundtrip import Decoded, RoundtripError
from hvc_jax.evaluation.run import Point, points_of
from hvc_jax.evaluation.settings import Settings, name_models


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
