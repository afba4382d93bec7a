"""A built data set seen as clips of frames: clip index, frames, body vectors."""

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from hvc_jax.body.params import BODY_VECTOR_SIZE

CLIP_INDEX = "clips.json"


class ClipEntry(NamedTuple):
    """A clip of the index: name, number of its first record, frames, rate ("30000/1001")."""

    name: str
    first: int
    frames: int
    fps: str


def find_directory(path: str | Path) -> Path:
    """Returns the folder with the records: `path`, or the newest version below it.

    Raises:
      FileNotFoundError: No built data set is there.
    """
    path = Path(path)
    for pattern in (CLIP_INDEX, f"*/{CLIP_INDEX}", f"*/*/{CLIP_INDEX}"):
        found = sorted(path.glob(pattern))
        if found:
            return found[-1].parent
    raise FileNotFoundError(f"{path} holds no data set: build one with hvc data prepare")


class FrameDataset:
    """Random access to the frames of one split of a built data set.

    Attributes:
      directory: The version folder; side-cars lie in `directory/body/<clip>.npy`.
      clips: The index.
      size: Side of the stored frames in pixels.
    """

    def __init__(self, path: str | Path, split: str = "train"):
        """Opens split `split` of the data set at `path`.

        Raises:
          FileNotFoundError: No data set there.
          ValueError: The data set has no such split.
        """
        self.directory = find_directory(path)
        self.split = split
        index = json.loads((self.directory / CLIP_INDEX).read_text())
        if split not in index["splits"]:
            raise ValueError(
                f"{self.directory} has no split '{split}', only {list(index['splits'])}"
            )
        self.clips = [ClipEntry(**entry) for entry in index["splits"][split]]
        self.size: int = index["size"]
        self._source: Any = None
        self._bodies: dict[int, np.ndarray | None] = {}

    def __getstate__(self) -> dict:
        # Readers hold file handles; every worker process opens its own.
        return {**self.__dict__, "_source": None, "_bodies": {}}

    def __len__(self) -> int:
        """Number of frames."""
        return sum(clip.frames for clip in self.clips)

    def picture(self, clip: int, t: int) -> Image.Image:
        """Returns frame `t` of clip number `clip` as an undecoded PIL image."""
        if self._source is None:
            builder = tfds.builder_from_directory(str(self.directory))
            self._source = builder.as_data_source(
                split=self.split, decoders={"image": tfds.decode.SkipDecoding()}
            )
        return Image.open(io.BytesIO(self._source[self.clips[clip].first + t]["image"]))

    def frame(self, clip: int, t: int) -> np.ndarray:
        """Returns frame `t` of clip number `clip`, uint8 `[size, size, 3]`."""
        return np.asarray(self.picture(clip, t))

    def body(self, clip: int) -> np.ndarray | None:
        """Returns the body vectors `[T, 188]` of a clip, None where no side-car was written.

        Raises:
          ValueError: The side-car does not have a row for every frame.
        """
        if clip not in self._bodies:
            entry = self.clips[clip]
            path = self.directory / "body" / f"{entry.name}.npy"
            if not path.exists():
                return None
            vectors = np.load(path, allow_pickle=False).astype(np.float32)
            wanted = (entry.frames, BODY_VECTOR_SIZE)
            if vectors.shape != wanted:
                raise ValueError(f"{path} has shape {vectors.shape}, the clip needs {wanted}")
            self._bodies[clip] = vectors
        return self._bodies[clip]


def split_names(directory: str | Path) -> list[str]:
    """Returns the names of the splits of a built data set that have clips."""
    index = json.loads((find_directory(directory) / CLIP_INDEX).read_text())
    return [name for name, clips in index["splits"].items() if clips]
