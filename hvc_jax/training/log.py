"""What a run writes to be looked at: metrics.jsonl, TensorBoard events, its configuration."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tensorboardX import SummaryWriter

from hvc_jax.ops.program import program, versions

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


class Log:
    """Scalars and pictures of one workdir; only process 0 writes.

    metrics.jsonl is the record, one object a line with "step" and the scalars. A resumed run
    drops the lines after the step it starts from, which it will write again.
    """

    def __init__(self, workdir: Path, start_step: int) -> None:
        """Args: workdir; start_step, the number of steps already done."""
        self._writes = jax.process_index() == 0
        if not self._writes:
            return
        workdir.mkdir(parents=True, exist_ok=True)
        path = workdir / "metrics.jsonl"
        if path.exists():
            lines = path.read_text().splitlines()
            kept = [line for line in lines if _step_of(line) <= start_step]
            path.write_text("".join(line + "\n" for line in kept))
        self._file = path.open("a")
        self._events = SummaryWriter(str(workdir / "tensorboard"), purge_step=start_step + 1)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Writes one line and one TensorBoard point a value."""
        if not self._writes:
            return
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Writes a uint8 [H, W, 3] picture to TensorBoard."""
        if self._writes:
            self._events.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        """Flushes and closes the files."""
        if self._writes:
            self._file.close()
            self._events.close()


def _step_of(line: str) -> int:
    """The step of a line; a line cut off by a crash counts as infinitely late."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 2**62


def write_run_files(workdir: Path, config: Any) -> None:
    """Writes config.json and environment.json (versions, devices, commit) into the workdir."""
    if jax.process_index() != 0:
        return
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "config.json").write_text(config.to_json_best_effort(indent=1) + "\n")
    environment = {
        **program()._asdict(),
        "packages": versions(*_PACKAGES),
        "devices": [str(device) for device in jax.devices()],
        "processes": jax.process_count(),
    }
    (workdir / "environment.json").write_text(json.dumps(environment, indent=1) + "\n")


def image_grid(rows: list[np.ndarray]) -> np.ndarray:
    """Columns of examples under each other as one picture.

    `rows`: Arrays [B, H, W, 3] of one shape, float in [0, 1]: one column of the grid each.

    Returns uint8 [B * H, len(rows) * W, 3].
    """
    grid = np.concatenate([np.concatenate(list(row), 0) for row in rows], 1)
    return np.round(np.clip(grid, 0, 1) * 255).astype(np.uint8)
