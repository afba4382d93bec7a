"""The data set `synthetic_humans`: rendered clips with exact body vectors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hvc_jax.data.builders import FrameBuilder, SourceClip
from hvc_jax.data.synthetic import render_clip


class SyntheticHumans(FrameBuilder):
    """Rendered people; clip number k of a split is `render_clip` with a seed of its own.

    Args:
      data_dir: Where the data set goes, as `<data_dir>/synthetic_humans/1.0.0`.
      clips: Clips in the split "train".
      validation_clips: Clips in the split "validation".
      frames: Frames a clip.
      size: Side of the frames in pixels.
      seed: First seed; the clips take `seed`, `seed + 1`, ...
      supersample: Drawing pixels per picture pixel along a side.
    """

    name = "synthetic_humans"

    def __init__(
        self,
        *,
        data_dir: str | Path,
        clips: int = 24,
        validation_clips: int = 0,
        frames: int = 50,
        size: int = 256,
        seed: int = 0,
        supersample: float = 1.5,
        **kwargs: Any,
    ):
        self.counts = {"train": clips, "validation": validation_clips}
        self.frames, self.seed, self.supersample = frames, seed, supersample
        super().__init__(data_dir=data_dir, size=size, **kwargs)

    def clip_splits(self) -> dict[str, Sequence[SourceClip]]:
        """Returns the clips by split; `start` carries the seed."""
        splits, seed = {}, self.seed
        for split, count in self.counts.items():
            seeds = range(seed, seed + count)
            splits[split] = [SourceClip(f"synthetic_{k:06d}", Path(), start=k) for k in seeds]
            seed += count
        return splits

    def read(self, clip: SourceClip) -> tuple[np.ndarray, str, np.ndarray | None]:
        """Renders a clip."""
        made = render_clip(clip.start, self.frames, self.size, supersample=self.supersample)
        return made.frames, "25", made.body
