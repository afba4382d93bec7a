"""Checkpoints of a run: the only file that imports orbax."""

import itertools
import logging
import math
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

_FOLDER = "checkpoints"


class Checkpoints:
    """The checkpoints of one workdir, written in the background.

    The newest `keep` and the one with the lowest score, of validation, stay. A write that a crash
    interrupted never counts as a checkpoint. The position in the data is the step itself, since the
    pipeline starts at any step.
    """

    def __init__(self, workdir: Path, keep: int = 2) -> None:
        """Args: workdir, created if missing; keep, how many of the newest to keep."""
        # orbax reports every phase, and what it raises as well.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        policy = AnyPreservationPolicy([LatestN(n=keep), BestN(get_metric_fn=_goodness, n=1)])
        self._folder = Path(workdir).absolute() / _FOLDER
        self._manager = ocp.CheckpointManager(
            self._folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policy,
                best_fn=_goodness,  # without it scores are not written, and a resumed run has none
                enable_async_checkpointing=True,
                cleanup_tmp_directories=True,
            ),
        )

    def save(self, step: int, state: Any, score: float) -> None:
        """Starts writing a checkpoint; the state may be donated once this returns.

        One that cannot be written, as on a full disk, is reported and left out: what was written
        before it stays, and training goes on; one that exists already is left alone. `score`: what
        to keep the best by, as the loss of validation; lower is better. Of equal ones the newest
        stays.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:  # of the write before; orbax and tensorstore raise many classes
            warnings.warn(f"{self._unwritten(error)}; the one before it stays", stacklevel=2)
        if step in self._manager.all_steps():
            return
        try:
            self._manager.save(
                step,
                args=ocp.args.Composite(state=ocp.args.StandardSave(state)),
                metrics={"score": float(score) if math.isfinite(score) else math.inf},
                force=True,
            )
        except OSError as error:
            warnings.warn(f"{self._unwritten(error)}; the one before it stays", stacklevel=2)

    def restore(self, abstract: Any) -> Any | None:
        """The newest checkpoint that can be read, or None where there is none.

        One that cannot be read is reported, put aside as STEP.bad, and the one before it is taken.
        It is never deleted: a file system that failed for a moment may give it back.
        `abstract`: Pytree of jax.ShapeDtypeStruct with the shardings to restore to, which may be
        those of another device count than saved it.
        Raises ValueError: There are checkpoints, but none fits.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        damaged: list[int] = []
        for step in steps:
            try:
                restored = self._manager.restore(
                    step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
                )
            except Exception as error:  # orbax raises many classes for a damaged file
                reason = _reason(error)
                warnings.warn(f"{self._folder / str(step)}: unreadable: {reason}", stacklevel=2)
                damaged.append(step)
                continue
            # Only once an older one has been read is it certain that the file was at fault and
            # not the configuration, which fits none of them.
            if jax.process_index() == 0:
                for bad in damaged:
                    _put_aside(self._folder / str(bad))
            if jax.process_count() > 1:
                multihost_utils.sync_global_devices("damaged checkpoints put aside")
            self._manager.reload()
            return restored["state"]
        if steps:
            raise ValueError(
                f"{self._folder}: none of the checkpoints {steps} can be read with this "
                "configuration; use the one they were made with, or another workdir"
            )
        return None

    def close(self) -> None:
        """Returns when everything is on disk; OSError: the last one could not be written."""
        try:
            self._manager.close()
        except Exception as error:
            message = f"{self._unwritten(error)}; free some space, then run it again to go on"
            raise OSError(message) from error

    def _unwritten(self, error: Exception) -> str:
        return f"{self._folder}: a checkpoint could not be written ({_reason(error)})"


def _goodness(metrics: dict[str, float]) -> float:
    """Higher is better."""
    return -metrics["score"]


def _put_aside(folder: Path) -> None:
    """Renames a folder to NAME.bad, or NAME.bad1 and so on where that is taken."""
    names = itertools.chain(["bad"], (f"bad{i}" for i in itertools.count(1)))
    free = (folder.with_name(f"{folder.name}.{ending}") for ending in names)
    folder.rename(next(path for path in free if not path.exists()))


def _reason(error: Exception) -> str:
    """The beginning of an error's text on one line."""
    return " ".join(str(error).split())[:200]


def best_step(workdir: Path) -> int:
    """The step with the lowest score, of equal ones the newest; ValueError: no checkpoint."""
    folder = Path(workdir).absolute() / _FOLDER
    if not folder.is_dir():
        raise ValueError(f"{workdir}: holds no checkpoints; give the --workdir of a training run")
    with ocp.CheckpointManager(folder) as manager:
        scores = {step: manager.metrics(step) for step in manager.all_steps()}
    if not scores:
        raise ValueError(f"{workdir}: no checkpoint was finished; train for longer")
    return min(scores, key=lambda step: ((scores[step] or {}).get("score", math.inf), -step))


def restore_params(workdir: Path, name: str = "ema") -> dict[str, Any]:
    """The parameters of the best checkpoint of a workdir by score, without optimiser state.

    `workdir`: where a run wrote; `name`: the field of the state: "ema" or "params".

    Returns nested dict of numpy float32 arrays.
    Raises ValueError: No checkpoint there.
    """
    folder = Path(workdir).absolute() / _FOLDER
    path = folder / str(best_step(workdir)) / "state"
    with ocp.PyTreeCheckpointer() as reader:
        tree = reader.metadata(path).item_metadata.tree[name]
        arguments = ocp.args.PyTreeRestore(
            item={name: jax.tree.map(lambda _: np.zeros(()), tree)},
            restore_args={
                name: jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
            },
            partial_restore=True,
        )
        return reader.restore(path, args=arguments)[name]
