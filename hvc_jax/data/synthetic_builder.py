"""The data set `synthetic_humans`: rendered clips with exact body vectors."""

import functools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from hvc_jax.data.builders import FrameBuilder, SourceClip
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.synth.labels import pack_labels, write_labels
from hvc_jax.synth.people import render_clip

Rendered = tuple[np.ndarray, float, np.ndarray, bytes | None]
"""Frames, frames a second, body vectors, packed labels."""


class SyntheticHumans(FrameBuilder):
    """Rendered people; clip number k of a split is `render_clip` with a seed of its own.

    Args:
      data_dir: Where the data set goes, as `<data_dir>/synthetic_humans/1.0.0`.
      clips: Clips in the split "train".
      validation_clips: Clips in the split "validation".
      frames: Frames a clip.
      size: Side of the frames in pixels.
      seed: First seed; the clips take `seed`, `seed + 1`, ...
      workers: Processes that render, one core each; 0 renders in this process.
      bvh: Folder of motion capture files (BVH); every second clip then moves by one of them.
      labels: Store depth, parts, flow and visibility of every pixel as `labels/<clip>.npz`.
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
        workers: int = 0,
        bvh: str | Path | None = None,
        labels: bool = False,
        **kwargs: Any,
    ):
        self.counts = {"train": clips, "validation": validation_clips}
        self.captures = sorted(Path(bvh).rglob("*.bvh")) if bvh else []
        if bvh and not self.captures:
            raise FileNotFoundError(f"{bvh} holds no .bvh file")
        self.workers, self.labels = workers, labels
        self._made: Iterator[Rendered] | None = None
        self.frames, self.seed = frames, seed
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
        """Renders a clip, or takes it from the workers, who render in the same order."""
        if not self.workers:
            made = self._job(clip)()
        else:
            if self._made is None:
                clips = [c for _, part in sorted(self.clip_splits().items()) for c in part]
                self._made = render_in_processes([self._job(c) for c in clips], self.workers)
            made = next(self._made)
        frames, fps, body, labels = made
        if labels is not None:
            write_labels(Path(self.data_dir), clip.name, labels)
        return frames, str(Fraction(fps).limit_denominator(1001)), body

    def _job(self, clip: SourceClip) -> Callable[[], Rendered]:
        capture = None
        if self.captures and clip.start % 2:
            capture = self.captures[(clip.start // 2) % len(self.captures)]
        return functools.partial(
            _rendered,
            clip.start,
            self.frames,
            self.size,
            bvh=capture,
            labels=self.labels,
        )


def _rendered(*arguments: Any, **options: Any) -> Rendered:
    """Returns what is stored of `render_clip`, a tenth of what it makes."""
    made = render_clip(*arguments, **options)
    packed = None if made.labels is None else pack_labels(made.labels)
    return made.frames, made.fps, made.body, packed


def _call(job: Callable[[], Rendered]) -> Rendered:
    return job()


def render_in_processes(jobs: list[Callable[[], Rendered]], workers: int) -> Iterator[Rendered]:
    """Yields the results of `jobs` in order, `workers` at a time, each worker on one thread.

    Threads of BLAS and XLA that wait by spinning cost a loaded machine five times the work itself.
    """
    single = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    single |= {"JAX_PLATFORMS": "cpu", "NPROC": "1", "XLA_FLAGS": ""}
    before = {name: os.environ.get(name) for name in single}
    os.environ.update(single)  # read by the children when they start
    pool = multiprocessing.get_context("spawn").Pool(workers, keep_compiled_programs)
    try:
        results = [pool.apply_async(_call, (job,)) for job in jobs[: 2 * workers]]
        for number in range(len(jobs)):
            made = results[number].get()
            results[number] = None  # a clip of 100 frames is 20 MB
            if len(results) < len(jobs):
                results.append(pool.apply_async(_call, (jobs[len(results)],)))
            yield made
    finally:
        pool.terminate()
        pool.join()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
