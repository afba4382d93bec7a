"""Where the batches of a training run come from, by what its configuration trains."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hvc_jax.models.codec_model import sends_bodies
from hvc_jax.stream.header import WITH_FIELD

HostBatch = dict[str, np.ndarray]
Batches = Callable[[int, int, int], Iterator[HostBatch]]
"""(batch size, seed, first step) -> endless batches of this process."""


def training_data(config: Any) -> tuple[Batches, list[HostBatch]]:
    """Batches to train on and sequences to validate on (perhaps none), of a configuration."""
    return (_field_data if config.model.motion.kind in WITH_FIELD else _pair_data)(config)


def _pair_data(config: Any) -> tuple[Batches, list[HostBatch]]:
    """Batches of key pictures and targets, and sequences for validation, of a configuration."""
    from hvc_jax.data import pipeline
    from hvc_jax.data.validation import sequences

    need_bodies = sends_bodies(config.model.motion) or bool(config.loss.points)
    data_config = config.data.to_dict() | {
        "past": config.model.get("past", 1),
        "past_pictures": not sends_bodies(config.model.motion),
    }
    if not config.validation.clips:
        data_config["held_out"] = 0

    def batches(size: int, seed: int, start: int) -> Iterator[HostBatch]:
        return pipeline.batches(
            data_config,
            size,
            seed,
            start,
            jax.process_index(),
            jax.process_count(),
            need_bodies=need_bodies,
        )

    clips, frames = config.validation.clips, config.validation.frames
    return batches, sequences(data_config, clips, frames, need_bodies) if clips else []


def _field_data(config: Any) -> tuple[Batches, list[HostBatch]]:
    """The same for the generator of displacement fields, from folders that `hvc data fields` made.

    Raises ValueError: `data.path` is not such a folder with a folder "train" in it.
    """
    from hvc_jax.training.field_examples import FieldExamples

    folder = Path(config.data.path)
    if not config.data.path or not (folder / "train").is_dir():
        raise ValueError(
            f"data.path is {config.data.path!r}, which has no folder train of coded clips; make "
            "it with hvc data fields CLIPS FOLDER/train"
        )
    examples, seen = FieldExamples(folder / "train"), folder / "development"
    process, count = jax.process_index(), jax.process_count()

    def batches(size: int, seed: int, start: int) -> Iterator[HostBatch]:
        return examples.batches(size, config.data.size, seed * count + process, start)

    clips = config.validation.clips
    if not clips or not seen.is_dir():
        return batches, []
    return batches, FieldExamples(seen).sequences(clips, config.validation.frames)
