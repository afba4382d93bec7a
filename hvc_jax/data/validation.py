"""What training is validated on: consecutive frames of clips that it does not see.

The clips are those of a split named "development" or else "validation" of each data set. Where
there is none, a share of the groups of training clips (same person or take) is held out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from hvc_jax.body.params import BODY_VECTOR_SIZE
from hvc_jax.data.coded_keys import CodedKeys
from hvc_jax.data.frames import FrameDataset, split_names
from hvc_jax.data.sources import parse_sources, resolve

SPLITS = ("development", "validation")

Batch = dict[str, np.ndarray]


def held_out_clips(frames: FrameDataset, share: float) -> list[int]:
    """Numbers of the training clips that are kept for validation: whole groups, always the same.

    `share` of the groups, at least one where it is above 0; none where another split is for
    validation, or where there is only one group.
    """
    if share <= 0 or set(SPLITS) & set(split_names(frames.directory)):
        return []
    groups = sorted({clip.group or clip.name for clip in frames.clips})
    if len(groups) < 2:
        return []
    order = np.random.default_rng(0).permutation(len(groups))
    taken = {groups[i] for i in order[: max(1, round(share * len(groups)))]}
    return [i for i, clip in enumerate(frames.clips) if (clip.group or clip.name) in taken]


def sequences(config: Any, count: int, length: int, need_bodies: bool = False) -> list[Batch]:
    """Sequences of consecutive frames, each with one coded key picture of its clip.

    They are batches as `pipeline.batches` gives them with `length` in the place of the batch: the
    key picture is repeated, targets are consecutive frames from anywhere in the clip.

    Args:
      config: The data group of a configuration, see `pipeline.batches`.
      count: Sequences at most, spread over the clips of all data sets.
      length: Frames of each; clips that are shorter are left out.
      need_bodies: Leave out clips whose bodies are not known.
    """
    found: list[tuple[FrameDataset, CodedKeys, int]] = []
    for path, _ in parse_sources(config.get("path", "")):
        found += _clips(path, config, length, need_bodies)
    chosen = np.unique(np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int))
    return [_sequence(*found[i], length, config, number) for number, i in enumerate(chosen)]


def _clips(
    path: str, config: Any, length: int, need_bodies: bool
) -> list[tuple[FrameDataset, CodedKeys, int]]:
    """The clips of one data set that are for validation."""
    train = FrameDataset(resolve(path, config))
    split = next((name for name in SPLITS if name in split_names(train.directory)), "train")
    frames = FrameDataset(resolve(path, config, split), split)
    keys = CodedKeys(frames, tuple(config.get("key_qps", (22, 52))))
    numbers: Sequence[int] = range(len(frames.clips))
    if split == "train":
        numbers = held_out_clips(train, config.get("held_out", 0))
    return [
        (frames, keys, i)
        for i in numbers
        if frames.clips[i].frames >= length
        and keys.by_clip.get(i)
        and not (need_bodies and not frames.body_path(i).exists())
    ]


def _sequence(
    frames: FrameDataset, keys: CodedKeys, clip: int, length: int, config: Any, number: int
) -> Batch:
    coded = keys.by_clip[clip]
    key = coded[number % len(coded)]  # so that sequences have keys of different QPs
    # As far from the key picture as training's pairs: right behind it little moves.
    rng = np.random.default_rng(number)
    first = int(rng.integers(frames.clips[clip].frames - length + 1))
    times = np.arange(first, first + length)
    size = config.get("size", frames.size)
    bodies = frames.body(clip)
    if bodies is None:
        bodies = np.zeros((frames.clips[clip].frames, BODY_VECTOR_SIZE), np.float32)

    def picture(image: Image.Image) -> np.ndarray:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BOX))

    before = np.maximum(times[:, None] - 1 - np.arange(config.get("past", 1)), 0)
    pictures = config.get("past_pictures", True)
    wanted = {*times.tolist(), *(before.ravel().tolist() if pictures else ())}
    shown = {t: picture(frames.picture(clip, t)) for t in wanted}
    past = [np.stack([shown[t] for t in row]) for row in before.tolist()] if pictures else []
    return ({"previous": np.stack(past)} if pictures else {}) | {
        "key": np.repeat(picture(keys.picture(key))[None], length, 0),
        "target": np.stack([shown[t] for t in times.tolist()]),
        "key_body": np.repeat(bodies[key.t][None], length, 0).astype(np.float32),
        "target_body": bodies[times].astype(np.float32),
        "previous_body": bodies[before].astype(np.float32),
    }
