import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from training_stub import StubModel, stub_batches, stub_config

from hvc_jax.training.checkpoint import Checkpoints, restore_params
from hvc_jax.training.init import merge
from hvc_jax.training.loop import NonFiniteError, check_finite, train

# No loss of flow: its weight falls with the share of steps done, and totals differ here.
FIELDS = {"total_steps": 8, "checkpoint__every": 2, "log__every": 1, "loss__flow": 0.0}
HERE = Path(__file__).parent


def go(
    workdir: Path,
    *,
    batches: Any = stub_batches,
    model: StubModel | None = None,
    devices: int = 1,
    **fields,
) -> Any:
    return train(
        stub_config(**(FIELDS | fields)),
        workdir,
        model=model or StubModel(),
        batches=batches,
        devices=jax.devices()[:devices],
        progress=False,
    )


def signalling(number: int, at: int) -> Any:
    """Batches that send this process a signal as the one of step `at` is asked for."""

    def batches(size: int, seed: int, start: int) -> Iterator[dict[str, np.ndarray]]:
        for i, batch in enumerate(stub_batches(size, seed, start)):
            if start + i == at:
                os.kill(os.getpid(), number)
            yield batch

    return batches


def steps_logged(workdir: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (workdir / "metrics.jsonl").open()]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    workdir = tmp_path_factory.mktemp("whole")
    state, done = go(workdir)
    assert done
    return workdir, jax.device_get(state)


def assert_identical(one: Any, other: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_sigterm_saves_and_the_resumed_run_is_bit_identical(
    tmp_path: Path, uninterrupted: tuple[Path, Any]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    _, done = go(tmp_path, batches=signalling(signal.SIGTERM, at=4))
    assert not done and signal.getsignal(signal.SIGTERM) is before
    assert steps_logged(tmp_path) == [1, 2, 3, 4, 5]
    state, done = go(tmp_path)
    assert done
    assert_identical(jax.device_get(state), uninterrupted[1])
    assert steps_logged(tmp_path) == list(range(1, 9))


def test_killed_run_resumes_bit_identical(tmp_path: Path, uninterrupted: tuple[Path, Any]) -> None:
    for at in (4, 6):  # while a checkpoint is being written; random moments: bench_train/kill.py
        program = (
            f"import sys; sys.path[:0] = [{str(HERE)!r}, {str(HERE.parent)!r}]\n"
            "import conftest, pathlib, signal, test_training_loop as t\n"
            f"t.go(pathlib.Path({str(tmp_path)!r}), batches=t.signalling(signal.SIGKILL, {at}))\n"
        )
        done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    state, _ = go(tmp_path)
    assert_identical(jax.device_get(state), uninterrupted[1])
    assert steps_logged(tmp_path) == list(range(1, 9))


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, uninterrupted: tuple[Path, Any]
) -> None:
    go(tmp_path, total_steps=4)
    for path in (tmp_path / "checkpoints" / "4" / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="unreadable"):
        state, _ = go(tmp_path)
    assert_identical(jax.device_get(state), uninterrupted[1])
    assert (tmp_path / "checkpoints" / "4.bad" / "state").is_dir()  # kept for whoever can read it
    assert {"6", "8"} <= {path.name for path in (tmp_path / "checkpoints").iterdir()}


def full_disk(workdir: Path, until: int = 1000) -> Any:
    """Batches that leave room for a few kilobytes a file only, from when step 2 is on the disk."""

    def batches(size: int, seed: int, start: int) -> Iterator[dict[str, np.ndarray]]:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        for step, batch in enumerate(stub_batches(size, seed, start), start + 1):
            limit = 30_000 if 3 <= step < until else hard
            while step == 3 and not (workdir / "checkpoints" / "2").exists():
                time.sleep(0.01)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            yield batch

    return batches


@pytest.fixture
def any_file_size() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("any_file_size")
def test_a_checkpoint_that_does_not_fit_is_left_out(
    tmp_path: Path, uninterrupted: tuple[Path, Any]
) -> None:
    with pytest.warns(UserWarning, match="could not be written .*the one before it stays"):
        state, done = go(tmp_path, batches=full_disk(tmp_path, until=8))
    assert done
    assert_identical(jax.device_get(state), uninterrupted[1])
    kept = {p.name for p in (tmp_path / "checkpoints").iterdir()}
    # A write in the background may end after the disk has room again, so 6 may be there.
    assert "8" in kept and kept & {"2", "6"} and "4" not in kept


@pytest.mark.usefixtures("any_file_size")
def test_a_disk_that_stays_full_ends_the_run_and_keeps_what_was_there(
    tmp_path: Path, uninterrupted: tuple[Path, Any]
) -> None:
    with pytest.raises(OSError, match="could not be written .*free some space"):
        go(tmp_path, batches=full_disk(tmp_path), total_steps=4)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    state, _ = go(tmp_path)
    assert steps_logged(tmp_path) == list(range(1, 9))
    assert_identical(jax.device_get(state), uninterrupted[1])


def test_another_model_cannot_resume(uninterrupted: tuple[Path, Any]) -> None:
    checkpoints = Checkpoints(uninterrupted[0])
    wrong = jax.ShapeDtypeStruct(
        (3,), np.float32, sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0])
    )
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="none of the checkpoints"):
        checkpoints.restore({"nothing": wrong})
    checkpoints.close()


def test_newest_and_best_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step, score in enumerate([3.0, 1.0, 2.0, 4.0, 5.0]):
        checkpoints.save(step, {"x": np.full(2, step)}, score)
    checkpoints.close()
    kept = {int(p.name) for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit()}
    assert kept == {1, 3, 4}


def test_goes_on_with_other_device_counts(tmp_path: Path) -> None:
    """Eight devices, then one, then four with split parameters: as one device all the way."""
    # Noise differs by device, a cosine by the number of steps.
    quiet = {"model": StubModel(noisy=False), "optim__schedule": "constant"}
    whole, _ = go(tmp_path / "whole", total_steps=6, batch_size=8, **quiet)
    parts = tmp_path / "parts"
    go(parts, total_steps=2, batch_size=1, devices=8, **quiet)
    go(parts, total_steps=4, batch_size=8, **quiet)
    state, _ = go(parts, total_steps=6, batch_size=2, devices=4, shard_parameters=True, **quiet)
    assert len(state.params["wide"]["kernel"].sharding.device_set) == 4
    assert steps_logged(parts) == list(range(1, 7))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6, rtol=1e-5),
        *jax.device_get((whole, state)),
    )


def test_nan_stops_the_run_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match="step 1: .*loss/rate"):
        go(tmp_path, model=StubModel(broken=True))
    with pytest.raises(ValueError, match="no checkpoint was finished"):
        restore_params(tmp_path)


def test_the_first_bad_step_of_a_window_is_named() -> None:
    with pytest.raises(NonFiniteError, match="step 12: b, c not finite"):
        check_finite(11, [{"a": 1.0, "b": 2.0}, {"a": 0.0, "b": np.nan, "c": np.inf}])


def test_nothing_compiles_after_step_two(tmp_path: Path) -> None:
    compiled: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, _, **__: compiled.append(name) if "backend_compile" in name else None
    )
    at_step: list[int] = []

    def batches(size: int, seed: int, start: int) -> Iterator[dict[str, np.ndarray]]:
        for batch in stub_batches(size, seed, start):
            at_step.append(len(compiled))
            yield batch

    go(tmp_path, batches=batches, checkpoint__every=100)
    assert at_step[0] == 0 or compiled, "the listener hears nothing"
    assert len(set(at_step[-6:])) == 1


def test_pictures_and_run_files_are_written(tmp_path: Path) -> None:
    go(tmp_path, total_steps=2, log__images_every=1)
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["packages"]["jax"] == jax.__version__
    assert json.loads((tmp_path / "config.json").read_text())["total_steps"] == 2
    events = b"".join(p.read_bytes() for p in (tmp_path / "tensorboard").iterdir())
    assert b"key_target_motion_prediction" in events


def test_parameters_of_a_run_start_another(uninterrupted: tuple[Path, Any]) -> None:
    loaded = restore_params(uninterrupted[0])
    fresh = jax.tree.map(np.zeros_like, loaded)
    assert_identical(merge(fresh, loaded, "run"), uninterrupted[1].ema)
    fresh["new"] = {"kernel": np.zeros(3)}
    with pytest.warns(UserWarning, match="1 of .* start fresh"):
        merge(fresh, loaded, "run")
    with pytest.raises(ValueError, match="none of its parameters fit"):
        merge({"other": np.zeros(3)}, loaded, "run")


def test_named_blocks_of_a_run_start_another() -> None:
    loaded = {"motion": {"kernel": np.ones(2)}, "generator": {"kernel": np.ones(2)}}
    fresh = jax.tree.map(np.zeros_like, loaded)
    with pytest.warns(UserWarning, match="1 of 2 arrays start fresh, as .*generator"):
        merged = merge(fresh, loaded, "run", ("motion",))
    np.testing.assert_array_equal(merged["motion"]["kernel"], [1, 1])
    np.testing.assert_array_equal(merged["generator"]["kernel"], [0, 0])
