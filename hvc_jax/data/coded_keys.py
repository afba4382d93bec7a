"""Key pictures as the key codec leaves them, coded once per data set and kept beside its records.

The generator sees the key frame only after VVC, so it must train on key frames that went through
VVC. Coding takes longer than a training step; so a few frames of every clip are coded at a few
rates, once, and the decoded pictures are stored losslessly (PNG) in one ArrayRecord file per
split.
"""

import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from PIL import Image
from tqdm import tqdm

from hvc_jax.data.frames import FrameDataset
from hvc_jax.keyframes import encode_pictures
from hvc_jax.ops.files import atomic_path, write_text

QPS = (22, 27, 32, 37, 42, 47, 52)

PictureCoder = Callable[[np.ndarray, int], np.ndarray]
"""(pictures uint8 `[N, H, W, 3]`, qp) -> the decoded pictures, same shape."""


class CodedKey(NamedTuple):
    """Where a coded key picture is and what it shows: record, clip, frame number, QP."""

    record: int
    clip: int
    t: int
    qp: int


def intra_coded(pictures: np.ndarray, qp: int) -> np.ndarray:
    """Returns `pictures` (uint8 `[N, H, W, 3]`) after intra coding at `qp` (VVC, else AV1)."""
    return np.stack(encode_pictures(list(pictures), qp, preset="fast"))


def plan(
    lengths: Sequence[int], keys_per_clip: int, qps_per_key: int, qps: Sequence[int], seed: int
) -> list[tuple[int, int, int]]:
    """Returns the (clip, frame, qp) triples to code, sorted; the same for the same arguments.

    Key frames sit in the middle of `keys_per_clip` equal stretches of the clip. Each takes
    `qps_per_key` QPs from a shuffled cycle through all of them, so that every QP is drawn equally
    often.
    """
    triples = []
    for clip, length in enumerate(lengths):
        rng = np.random.default_rng((seed, clip))
        count = min(keys_per_clip, length)
        times = sorted({int((k + rng.uniform(0.2, 0.8)) * length / count) for k in range(count)})
        cycle: list[int] = []
        for t in times:
            chosen: set[int] = set()
            while len(chosen) < min(qps_per_key, len(qps)):
                if not cycle:
                    cycle = [int(q) for q in rng.permutation(qps)]
                chosen.add(cycle.pop())
            triples += [(clip, t, qp) for qp in sorted(chosen)]
    return triples


def build(
    dataset: FrameDataset,
    keys_per_clip: int = 5,
    qps_per_key: int = 3,
    qps: Sequence[int] = QPS,
    seed: int = 0,
    coder: PictureCoder = intra_coded,
) -> Path:
    """Codes key pictures of `dataset` and returns the ArrayRecord file that holds them.

    All pictures of one QP and of a handful of clips go through one encoder call, because starting
    the encoder costs as much as several pictures. The file appears under its name only when it is
    complete.
    """
    triples = plan([clip.frames for clip in dataset.clips], keys_per_clip, qps_per_key, qps, seed)
    by_qp: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for clip, t, qp in triples:
        by_qp[qp].append((clip, t))
    chunk = 32
    bar = tqdm(total=len(triples), desc=f"coding key pictures ({dataset.split})")
    with bar, _writing(dataset) as write:
        for qp, places in sorted(by_qp.items()):
            for start in range(0, len(places), chunk):
                part = places[start : start + chunk]
                pictures = np.stack([dataset.frame(clip, t) for clip, t in part])
                for (clip, t), picture in zip(part, coder(pictures, qp), strict=True):
                    buffer = io.BytesIO()
                    Image.fromarray(picture).save(buffer, "PNG", compress_level=3)
                    write(buffer.getvalue(), clip, t, qp)
                bar.update(len(part))
    return records_path(dataset)


def merge(dataset: FrameDataset, parts: Sequence[FrameDataset]) -> Path | None:
    """Puts the coded key pictures of parts of a data set together; returns their file.

    `dataset` is a split with the clips of all parts, `parts` the same split of each; those without
    coded key pictures are left out. None where no part has any.
    """
    coded = [(part, CodedKeys(part)) for part in parts if records_path(part).exists()]
    if not coded:
        return None
    numbers = {clip.name: number for number, clip in enumerate(dataset.clips)}
    with _writing(dataset) as write:
        for part, keys in coded:
            for key in sorted(key for of_clip in keys.by_clip.values() for key in of_clip):
                write(keys.stored(key), numbers[part.clips[key.clip].name], key.t, key.qp)
    return records_path(dataset)


@contextmanager
def _writing(dataset: FrameDataset) -> Iterator[Callable[[bytes, int, int, int], None]]:
    """Yields (PNG, clip, t, qp) -> None; the files have their names when the block succeeds.

    Whoever else codes the same pictures meanwhile writes another temporary file.
    """
    index: list[CodedKey] = []
    with atomic_path(records_path(dataset)) as temporary:
        writer = ArrayRecordWriter(str(temporary), "group_size:1")

        def write(png: bytes, clip: int, t: int, qp: int) -> None:
            writer.write(png)
            index.append(CodedKey(len(index), clip, t, qp))

        yield write
        writer.close()
        write_text(index_path(dataset), json.dumps([list(key) for key in index]))


def records_path(dataset: FrameDataset) -> Path:
    """Returns the file of the coded key pictures of a data set's split."""
    return dataset.directory / f"coded_keys-{dataset.split}.array_record"


def index_path(dataset: FrameDataset) -> Path:
    """Returns the file that says what each coded key picture shows."""
    return dataset.directory / f"coded_keys-{dataset.split}.json"


class CodedKeys:
    """Coded key pictures of a split, by clip number; opened lazily, so that it pickles."""

    def __init__(self, dataset: FrameDataset, qps: tuple[int, int] = (0, 63)):
        """Opens the cache of `dataset`, keys with `qps[0] <= qp <= qps[1]` only.

        Raises:
          FileNotFoundError: The key pictures were never coded.
          ValueError: None has such a QP.
        """
        self._path = records_path(dataset)
        if not self._path.exists():
            raise FileNotFoundError(
                f"{dataset.directory} has no coded key pictures for '{dataset.split}': "
                "run hvc data keys on it"
            )
        self._reader: ArrayRecordReader | None = None
        self.by_clip: dict[int, list[CodedKey]] = defaultdict(list)
        found: set[int] = set()
        for row in json.loads(index_path(dataset).read_text()):
            key = CodedKey(*row)
            found.add(key.qp)
            if qps[0] <= key.qp <= qps[1]:
                self.by_clip[key.clip].append(key)
        if not self.by_clip:
            raise ValueError(
                f"{self._path}: no key picture has a QP of {qps[0]} to {qps[1]}, they have "
                f"{', '.join(map(str, sorted(found)))}; change data.key_qps"
            )

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_reader": None}

    def stored(self, key: CodedKey) -> bytes:
        """Returns a coded key picture as the PNG that is stored."""
        if self._reader is None:
            self._reader = ArrayRecordReader(str(self._path))
        return self._reader.read([key.record])[0]

    def picture(self, key: CodedKey) -> Image.Image:
        """Returns a coded key picture as a PIL image."""
        return Image.open(io.BytesIO(self.stored(key)))
