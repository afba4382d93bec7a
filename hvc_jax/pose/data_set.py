"""Body side-cars of a data set: the body vectors of every frame of every clip."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hvc_jax.data.frames import FrameDataset
from hvc_jax.ops.files import atomic_path
from hvc_jax.pose.estimator import estimate


def write_bodies(dataset: FrameDataset, effort: int = 1) -> Iterator[Path]:
    """Writes side-cars that are missing, yields their paths; `effort` 0 to 3, as in `estimate`."""
    folder = dataset.directory / "body"
    folder.mkdir(exist_ok=True)
    for number, clip in enumerate(dataset.clips):
        path = folder / f"{clip.name}.npy"
        if path.exists():
            continue
        frames = np.stack([dataset.frame(number, t) for t in range(clip.frames)])
        vectors = estimate(frames, effort).bodies
        with atomic_path(path) as part, part.open("wb") as file:
            np.save(file, np.asarray(vectors, np.float32))
        yield path
