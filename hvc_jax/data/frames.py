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
    """A clip of the index: name, first record, frames, rate ("30000/1001"), person or take."""

    name: str
    first: int
    frames: int
    fps: str
    group: str = ""


def find_directory(path: str | Path) -> Path:
    """Returns the folder with the records, `path` or its newest version; else FileNotFoundError."""
    path = Path(path)
    for pattern in (CLIP_INDEX, f"*/{CLIP_INDEX}", f"*/*/{CLIP_INDEX}"):
        found = [index.parent for index in path.glob(pattern)]
        if found:
            return max(found, key=_name_and_version)
    raise FileNotFoundError(f"{path} holds no data set: build one with hvc data prepare")


def _name_and_version(folder: Path) -> tuple[str, list[int], str]:
    """Sorts version folders of a data set by number: 1.10.0 comes after 1.2.0."""
    numbers = [int(part) for part in folder.name.split(".") if part.isdigit()]
    return folder.parent.name, numbers, folder.name


class FrameDataset:
    """Random access to the frames of one split of a built data set."""

    def __init__(self, path: str | Path, split: str = "train"):
        """Opens split `split` of the data set at `path`.

        Raises:
          FileNotFoundError: No data set there.
          ValueError: The data set has no such split.
        """
        self.directory = find_directory(path)  # side-cars lie in body/<clip>.npy below it
        self.split = split
        index = json.loads((self.directory / CLIP_INDEX).read_text())
        if split not in index["splits"]:
            raise ValueError(
                f"{self.directory} has no split '{split}', only {list(index['splits'])}"
            )
        self.clips = [ClipEntry(**entry) for entry in index["splits"][split]]
        self.size: int = index["size"]  # side of the frames, pixels
        self._source: Any = None

    def __getstate__(self) -> dict:
        # Readers hold file handles; every worker process opens its own.
        return {**self.__dict__, "_source": None}

    def __len__(self) -> int:
        """Number of frames."""
        return sum(clip.frames for clip in self.clips)

    def stored(self, clip: int, t: int) -> bytes:
        """Returns frame `t` of clip number `clip` as the JPEG that is stored."""
        if self._source is None:
            builder = tfds.builder_from_directory(str(self.directory))
            self._source = builder.as_data_source(
                split=self.split, decoders={"image": tfds.decode.SkipDecoding()}
            )
        return self._source[self.clips[clip].first + t]["image"]

    def picture(self, clip: int, t: int) -> Image.Image:
        """Returns frame `t` of clip number `clip` as an undecoded PIL image."""
        return Image.open(io.BytesIO(self.stored(clip, t)))

    def frame(self, clip: int, t: int) -> np.ndarray:
        """Returns frame `t` of clip number `clip`, uint8 `[size, size, 3]`."""
        return np.asarray(self.picture(clip, t))

    def body(self, clip: int) -> np.ndarray | None:
        """Returns the body vectors `[T, 188]` of a clip, None where no side-car was written.

        They are mapped from the file and not kept in memory.
        Raises ValueError: The side-car does not have a row for every frame.
        """
        path = self.body_path(clip)
        if not path.exists():
            return None
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
        wanted = (self.clips[clip].frames, BODY_VECTOR_SIZE)
        if vectors.shape != wanted:
            raise ValueError(f"{path} has shape {vectors.shape}, the clip needs {wanted}")
        return np.asarray(vectors, np.float32)

    def body_path(self, clip: int) -> Path:
        """Returns where the body vectors of a clip lie, if they were written."""
        return self.directory / "body" / f"{self.clips[clip].name}.npy"


def split_names(directory: str | Path) -> list[str]:
    """Returns the names of the splits of a built data set that have clips."""
    index = json.loads((find_directory(directory) / CLIP_INDEX).read_text())
    return [name for name, clips in index["splits"].items() if clips]


def skipped_files(directory: str | Path) -> list[str]:
    """Returns the source files that could not be read when a data set was built."""
    return json.loads((find_directory(directory) / CLIP_INDEX).read_text())["skipped"]
