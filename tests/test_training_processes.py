"""Two processes of four devices each, connected by jax.distributed, equal one device."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from training_stub import StubModel, stub_batches, stub_config
from two_processes import GLOBAL_BATCH, STEPS

from hvc_jax.cli.main import main
from hvc_jax.training.checkpoint import Checkpoints
from hvc_jax.training.loop import train
from hvc_jax.training.parallel import Parallel


def restored(workdir: Path, like: Any) -> Any:
    """The checkpoint of two processes, read by this one onto one device."""
    checkpoints = Checkpoints(workdir)
    state = checkpoints.restore(Parallel("jit", jax.devices()[:1]).abstract(like))
    checkpoints.close()
    return jax.device_get(state)


def test_two_processes_equal_one_device(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(Path(__file__).with_name("two_processes.py"))
    processes = [
        subprocess.Popen(
            [sys.executable, program, str(port), str(number), str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]
    config = stub_config(
        batch_size=GLOBAL_BATCH, total_steps=STEPS, checkpoint__every=100, log__every=1
    )
    one, _ = train(
        config,
        tmp_path / "one",
        model=StubModel(noisy=False),
        batches=stub_batches,
        devices=jax.devices()[:1],
        progress=False,
    )
    try:
        for process in processes:
            output, _ = process.communicate(timeout=500)
            assert process.returncode == 0, output[-4000:]
    finally:
        for process in processes:
            process.kill()  # jax catches SIGTERM
    one = jax.device_get(one)
    for kind in ("jit", "pmap"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6, rtol=1e-5),
            restored(tmp_path / kind, one),
            one,
        )
    stopped = [json.loads(x) for x in (tmp_path / "stopped" / "metrics.jsonl").open()]
    assert 2 <= len(stopped) < 10_000
    assert restored(tmp_path / "stopped", one).step == stopped[-1]["step"]


@pytest.mark.parametrize("hosts", ["nowhere", "10.0.0.1,2,0", "10.0.0.1:80,2"])
def test_bad_hosts_are_explained(hosts: str, capsys: pytest.CaptureFixture) -> None:
    words = ["train", "--config", "semantic.py", "--workdir", "w", "--hosts", hosts]
    assert main(words) == 2
    assert "write auto, or ADDRESS:PORT,COUNT,NUMBER" in capsys.readouterr().err
