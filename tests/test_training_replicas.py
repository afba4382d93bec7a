"""Replicas of a lambda sweep in one program equal the runs they stand for."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from training_stub import StubModel, stub_batches, stub_config

from hvc_jax.training.checkpoint import restore_params
from hvc_jax.training.export import export_run
from hvc_jax.training.loop import NonFiniteError, train
from hvc_jax.training.replicas import Replicas

LMBDAS = (0.5, 2, 8, 32)
FIELDS = {"total_steps": 3, "log__every": 1, "checkpoint__every": 10, "batch_size": 2}


def go(workdir: Path, devices: int, model: Any = None, **fields: Any) -> Any:
    state, _ = train(
        stub_config(**(FIELDS | fields)),
        workdir,
        model=model or StubModel(),
        batches=stub_batches,
        devices=jax.devices()[:devices],
        progress=False,
    )
    return jax.device_get(state)


def logged(workdir: Path) -> dict[str, float]:
    import json

    return json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])


def test_each_replica_is_the_run_it_stands_for(tmp_path: Path) -> None:
    together = go(tmp_path / "all", 2, loss__lmbdas=LMBDAS)  # two replicas on each of two devices
    assert together.step.tolist() == [3] * 4
    for i in (0, 3):
        alone = go(tmp_path / f"{i}", 1, loss__lmbda=float(LMBDAS[i]))
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, atol=1e-6, rtol=1e-5),
            together,
            alone,
        )
        total = logged(tmp_path / "all")[f"loss/total/lmbda_{LMBDAS[i]:g}"]
        np.testing.assert_allclose(total, logged(tmp_path / f"{i}")["loss/total"], rtol=1e-5)
    apart = np.abs(together.params["mix"]["kernel"][0] - together.params["mix"]["kernel"][3])
    assert apart.max() > 1e-5, "the weight has no effect"


def test_replicas_resume_on_another_device_count(tmp_path: Path) -> None:
    whole = go(tmp_path / "whole", 4, loss__lmbdas=LMBDAS)
    go(tmp_path / "parts", 4, loss__lmbdas=LMBDAS, total_steps=2)
    resumed = go(tmp_path / "parts", 1, loss__lmbdas=LMBDAS)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6, rtol=1e-5), whole, resumed
    )
    assert restore_params(tmp_path / "parts")["mix"]["kernel"].shape[0] == 4
    with pytest.raises(ValueError, match=r"has models of lmbda \[0.5, 2, 8, 32\]"):
        export_run(tmp_path / "parts", tmp_path / "m.safetensors", clips=[])


def test_a_replica_that_breaks_is_named(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match="loss/rate/lmbda_0.5, .*not finite"):
        go(tmp_path, 2, StubModel(broken=True), loss__lmbdas=LMBDAS[:2])


def test_devices_divide_the_replicas() -> None:
    assert len(Replicas(range(1, 7), jax.devices()[:4]).devices) == 3
    assert len(Replicas([1, 2, 3], jax.devices()[:2]).devices) == 1
    with pytest.raises(ValueError, match="stands there twice"):
        Replicas([1, 2, 1.0])
