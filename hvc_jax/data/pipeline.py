"""Training batches: pairs of a key picture, as coded, and a target frame of the same clip.

                          +-- coded key pictures --+
    data set(s) -- clip --+                        +-- view (crop, flip, colour) -- batch
                          +-- target frame --------+

Example number i is a function of (seed, i) alone. A run that stops at step s and continues there
sees the same batches, and P processes with a local batch of B see together what one process with
batch P * B sees.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import grain
import numpy as np

from hvc_jax.body.params import BODY_VECTOR_SIZE
from hvc_jax.data import correspondence
from hvc_jax.data.augment import apply_view, random_view, view_body
from hvc_jax.data.coded_keys import CodedKeys
from hvc_jax.data.frames import FrameDataset
from hvc_jax.data.sources import parse_sources, resolve
from hvc_jax.data.validation import held_out_clips
from hvc_jax.ops.flow import require_opencv

Batch = dict[str, np.ndarray]

_ENDLESS = 2**40


class Pairs:
    """An endless list of training pairs from one data set; a grain random-access source.

    Every pass over the clips takes each clip once, in a random order: short clips count as much
    as long ones.
    """

    def __init__(
        self, path: str, config: Any, seed: int, split: str = "train", need_bodies: bool = False
    ):
        """Opens the data set at `path`; `config` and `need_bodies` are described at `batches`.

        Raises:
          ValueError: Bodies are needed, and a clip has none.
        """
        self._frames = FrameDataset(path, split)
        self._keys = CodedKeys(self._frames, tuple(config.get("key_qps", (22, 52))))
        held_out = held_out_clips(self._frames, config.get("held_out", 0) * (split == "train"))
        self._clips = sorted(set(self._keys.by_clip) - set(held_out))
        if need_bodies:
            require_bodies(self._frames, self._clips)
        self._config = dict(config)
        self._seed = seed

    def __len__(self) -> int:
        return _ENDLESS

    def __getitem__(self, index: int) -> Batch:
        """Returns pair number `index`, a batch without its leading dimension."""
        config = self._config
        turn, place = divmod(int(index), len(self._clips))
        order = np.random.default_rng((self._seed, 1, turn)).permutation(len(self._clips))
        clip = self._clips[order[place]]
        rng = np.random.default_rng((self._seed, 2, int(index)))
        keys = self._keys.by_clip[clip]
        key = keys[rng.integers(len(keys))]
        target = int(rng.integers(self._frames.clips[clip].frames))
        made = np.random.default_rng((self._seed, 3, int(index))).random() < config.get("made", 0)
        if made:
            target = key.t
        # What the coder of the target's latent has seen, and so the rate, depends on.
        past = np.maximum(target - 1 - np.arange(config.get("past", 1)), 0)
        view = random_view(
            rng, config.get("flip", 0.5), config.get("crop", 1.0), config.get("jitter", 0.0)
        )
        size = config.get("size", self._frames.size)
        bodies = self._frames.body(clip)
        if bodies is None:
            states = np.zeros((2 + len(past), BODY_VECTOR_SIZE), np.float32)
        else:
            states = view_body(view, bodies[[key.t, target, *past]])
        seen = {target, *past} if config.get("past_pictures", True) else {target}
        pictures = {t: apply_view(view, self._frames.picture(clip, t), size) for t in seen}
        batch = {
            "key": apply_view(view, self._keys.picture(key), size),
            "target": pictures[target],
            "key_body": states[0],
            "target_body": states[1],
            "previous_body": states[2:],
        }
        if config.get("past_pictures", True):
            batch["previous"] = np.stack([pictures[t] for t in past])
        if made:
            positions = correspondence.random_positions(rng, size)
            batch["target"] = correspondence.sample(batch["target"], positions)
            if "previous" in batch:
                batch["previous"] = np.repeat(batch["target"][None], len(past), 0)
        if config.get("teacher_flow", False):
            found = (
                correspondence.known_positions(positions)
                if made
                else correspondence.estimated_positions(batch["target"], batch["key"])
            )
            batch["flow"] = correspondence.cells(*found)
        return batch


def require_bodies(frames: FrameDataset, clips: Sequence[int]) -> None:
    """Checks that body vectors are known of clips.

    Raises:
      ValueError: They are not; says how they are found.
    """
    missing = [clip for clip in clips if not frames.body_path(clip).exists()]
    if missing:
        raise ValueError(
            f"{frames.directory}: {len(missing)} of {len(clips)} clips have no bodies, as "
            f"{frames.clips[missing[0]].name}, which this model is trained on; find them with "
            f"hvc data bodies {frames.directory} --split {frames.split}"
        )


class Mixture:
    """Several endless sources, mixed by weight: (seed, i) draws the source of element i."""

    def __init__(self, sources: list[Pairs], weights: list[float], seed: int):
        """Mixes `sources` with probabilities proportional to `weights`."""
        self._sources, self._seed = sources, seed
        self._edges = np.cumsum(weights) / np.sum(weights)

    def __len__(self) -> int:
        return _ENDLESS

    def __getitem__(self, index: int) -> Batch:
        """Returns pair number `index` of the source that is drawn for it."""
        draw = np.random.default_rng((self._seed, 0, int(index))).random()
        return self._sources[int(np.searchsorted(self._edges, draw, side="right"))][index]


def batches(
    config: Any,
    batch_size: int,
    seed: int = 0,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    need_bodies: bool = False,
) -> Iterator[Batch]:
    """Returns an endless iterator over training batches, beginning with that of step `start_step`.

    Args:
      config: A mapping with
        `path`: "<path>" or "<path>:<weight>,<path>:<weight>" of built data sets or folders of
          videos; "synthetic" or nothing: people rendered on first use;
        `size`: side of the pictures in pixels, reached by area averaging;
        `key_qps`: (lowest, highest) QP of the coded keys taken;
        `held_out`: share of the training clips kept for `data.validation`, where the data set
          has no split for that;
        `past`: frames before the target that are given too, 1 by default;
        `past_pictures`: whether their pictures are, beside their bodies; by default they are;
        `made`: share of pairs whose targets are their key frames, warped by random positions that
          are known;
        `teacher_flow`: whether to give correspondences, known or by optical flow;
        `flip`: probability of mirroring; `crop`: smallest crop share; `jitter`: colour strength;
        `workers`: worker processes, 0 for threads in this process.
      batch_size: Pairs a batch of this process.
      seed: Seed of everything random.
      start_step: Batches already used.
      process_index: Number of this process among `process_count`.
      process_count: Processes that share the data.
      need_bodies: Refuse clips whose bodies are not known.

    Yields dict of numpy arrays: `key`, `target` uint8 `[B, S, S, 3]`, `previous` `[B, P, S, S, 3]`
    (the frames before the target, the latest first), `key_body`, `target_body` float32 `[B, 188]`
    and `previous_body` `[B, P, 188]` (zeros where no body is known), and with `teacher_flow` `flow`
    float32 `[B, S / 4, S / 4, 3]`, see `correspondence.cells`.
    """
    config = dict(config)
    if config.get("teacher_flow", False):
        require_opencv()
    sources = parse_sources(config.get("path", ""))
    pairs = [
        Pairs(str(resolve(path, config)), config, seed + 7919 * i, need_bodies=need_bodies)
        for i, (path, _) in enumerate(sources)
    ]
    mixed = pairs[0] if len(pairs) == 1 else Mixture(pairs, [w for _, w in sources], seed)
    first = start_step * batch_size * process_count + process_index
    numbers = grain.MapDataset.range(first, _ENDLESS, process_count)
    dataset = numbers.map(mixed.__getitem__).batch(batch_size)
    workers = config.get("workers", 0)
    threads = config.get("threads", 1)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4 * batch_size)
    iterable = dataset.to_iter_dataset(options)
    if workers:
        from absl import flags

        # Worker processes read absl's flags, which only absl.app.run parses.
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()
        iterable = iterable.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    return iter(iterable)
