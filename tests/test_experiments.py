"""The experiments of this repository are set up right: runs load, and what is fair stays fair."""

import runpy
from pathlib import Path

import pytest

from hvc_jax.evaluation.anchor_codecs import CODECS, default_qps, encoder_options
from hvc_jax.evaluation.table import csv_text, read_rows
from hvc_jax.training.config import load_config
from hvc_jax.training.sweep import load_runs

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
SWEEPS = sorted(path.parent for path in EXPERIMENTS.glob("*/sweep.py"))


@pytest.mark.parametrize("folder", SWEEPS, ids=lambda p: p.name)
def test_every_run_is_a_configuration(folder, tmp_path):
    runs = load_runs(folder, tmp_path)
    assert len(runs) >= 2
    for run in runs:
        config, *overrides = run.arguments[1:]
        assert load_config(config, overrides).total_steps > 0


@pytest.mark.parametrize("name", ["020_explicit_vs_implicit", "021_attention"])
def test_variants_that_are_compared_cost_the_same(name):
    cost = runpy.run_path(str(EXPERIMENTS / "020_explicit_vs_implicit" / "cost.py"))
    found = cost["costs"](EXPERIMENTS / name / "sweep.py").values()
    assert max(found) / min(found) - 1 < cost["AT_MOST"]


def test_the_verdict_is_on_paired_gains(monkeypatch):
    verdict = runpy.run_path(str(EXPERIMENTS / "020_explicit_vs_implicit" / "verdict.py"))
    rows = []
    for i in range(12):
        clip = {"clip": f"c{i}", "bytes": 1000}
        for qp, size in ((27, 4000), (52, 500)):
            held = {"codec": "hold", "kind": "hold", "qp": qp, "bytes": size, "psnr": 20 + i}
            rows.append(clip | held)
        ceiling = {"codec": "x", "kind": "ceiling", "qp": None, "psnr": 21 + i, "flicker": i}
        rows.append(clip | ceiling)
        for seed in (0, 1):
            for variant, better in (("semantic", 1.0), ("implicit", 2.0 if i > 5 else 1.0)):
                model = {"codec": f"{variant}_seed{seed}", "kind": "model", "qp": 32}
                rows.append(clip | model | {"psnr": 20 + i + better})
    found = {row["split"]: row for row in verdict["verdicts"](rows) if row["metric"] == "psnr"}
    assert found["all clips"]["difference"] == pytest.approx(0.5)
    little, much = (next(r for s, r in found.items() if s.startswith(w)) for w in ("litt", "much"))
    assert little["clips"] == much["clips"] == 6
    assert little["verdict"] == "undecided" and much["verdict"] == "implicit is better"
    assert much["explicit_gain"] == pytest.approx(1)
    few = verdict["verdicts"]([row for row in rows if row["clip"] in ("c6", "c7", "c8")])
    assert {row["verdict"] for row in few} == {"too few clips"}


def test_the_verdicts_are_not_stale():
    folder = EXPERIMENTS / "020_explicit_vs_implicit"
    results, made = folder / "results.csv", folder / "verdict.csv"
    if not results.exists():
        pytest.skip("not run yet")
    verdict = runpy.run_path(str(folder / "verdict.py"))
    told = csv_text(verdict["verdicts"](read_rows(results)))
    assert made.read_text(encoding="utf-8") == told, "run: verdict.py results.csv"


def test_the_protocol_states_every_anchor_option():
    text = (EXPERIMENTS / "README.md").read_text(encoding="utf-8")
    for codec in CODECS:
        for word in encoder_options(codec, 47, "best"):
            for option in word.removeprefix("crf=47").split(":"):
                assert option in text or option == "47", f"{codec}: {option}"
    for name, codec in (("VVC: QP", "vvc"), ("HEVC: CRF", "hevc"), ("AV1: CRF", "av1")):
        assert f"{name} {', '.join(map(str, default_qps(codec)))}." in text
