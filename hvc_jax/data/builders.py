"""TFDS builders that neither write nor read through TensorFlow: one frame per ArrayRecord example.

Frames of a clip lie side by side and in order, so record number = first record of the clip + t;
`clips.json` beside the records says where each clip starts. Random pairs of frames are what
training reads, and single frames are five times faster to fetch than clip records.
"""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from hvc_jax.data.clips import INPUT_SUFFIXES, ClipError, read_clip
from hvc_jax.data.frames import CLIP_INDEX, ClipEntry, FrameDataset, split_names

SPLITS = ("train", "development", "validation", "test")
JPEG_QUALITY = 95


class SourceClip(NamedTuple):
    """A video to take: its name there, file, frames to read, and group (person or take)."""

    name: str
    path: Path
    start: int = 0
    frames: int | None = None
    group: str = ""


def jpeg(frame: np.ndarray) -> bytes:
    """Returns `frame` (uint8 `[H, W, 3]`) as a JPEG at quality 95 with full-resolution colour."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def split_of(name: str, validation_share: float = 0.1) -> str:
    """Returns "train" or "validation" for a clip name, by its SHA-256."""
    digest = hashlib.sha256(name.encode()).digest()
    return "validation" if int.from_bytes(digest[:4]) < validation_share * 2**32 else "train"


def videos_in(folder: Path) -> list[Path]:
    """Returns the video files below `folder`, sorted by their path."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: give the folder that holds the videos")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in INPUT_SUFFIXES)
    if not found:
        raise FileNotFoundError(f"{folder} holds no video ({', '.join(INPUT_SUFFIXES)})")
    return found


def clip_names(folder: Path, paths: Sequence[Path]) -> dict[Path, str]:
    """Returns a name for every video below `folder`, no two alike.

    A video is named by its file, and where two files are named alike by the folders below `folder`
    as well ("id1__00001"), without those that only name a split where that is enough.
    """
    parts = {path: path.relative_to(folder).with_suffix("").parts for path in paths}
    whole = {path: path.relative_to(folder).parts for path in paths}
    ways = (
        lambda path: parts[path][-1],
        lambda path: "__".join([p for p in parts[path][:-1] if p not in SPLITS] + [path.stem]),
        lambda path: "__".join(parts[path]),
        lambda path: "__".join(whole[path]),
    )
    names: dict[Path, str] = {}
    left = list(paths)
    for way in ways:
        made = {path: way(path) for path in left}
        count = Counter(made.values())
        taken = set(names.values())
        names |= {p: n for p, n in made.items() if count[n] == 1 and n not in taken}
        left = [path for path in paths if path not in names]
    for path in left:  # "a__b/c" and "a/b__c"
        digest = hashlib.sha256(str(path.relative_to(folder)).encode()).hexdigest()[:8]
        names[path] = f"{path.stem}__{digest}"
    return names


def read_manifest(path: Path) -> list[dict[str, str]]:
    """Returns the rows of a manifest csv: `name` (the file) and, where told, `split`, `group`."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or "name" not in rows[0]:
        raise ValueError(f"{path} has no column 'name': the first row must name the columns")
    return rows


def split_folder(
    folder: str | Path, manifest: str | Path | None = None, validation_share: float = 0.1
) -> dict[str, list[SourceClip]]:
    """Returns the videos of a folder by split.

    The split is the manifest's column `split` where one is given, else the sub-folder of that name
    (one of `SPLITS`) that the file lies in, else a hash of the file name.

    Args:
      folder: Folder searched with its sub-folders.
      manifest: A csv with the columns `name` (of the file, or its path below `folder`) and `split`,
        and `group` (same person or take) where known; files it does not name are left out.
      validation_share: Share of clips that the hash sends to validation.
    """
    folder = Path(folder)
    rows = {row["name"]: row for row in read_manifest(Path(manifest))} if manifest else None
    splits: dict[str, list[SourceClip]] = {}
    videos = videos_in(folder)
    names = clip_names(folder, videos)
    for path in videos:
        group = ""
        if rows is not None:
            row = rows.get(path.relative_to(folder).as_posix()) or rows.get(path.name)
            if row is None:
                continue
            split, group = row.get("split"), row.get("group") or ""
            split = split or split_of(group or path.stem, validation_share)
        else:
            parents = path.relative_to(folder.parent).parts[:-1]
            named = [part for part in parents if part in SPLITS]
            split = named[-1] if named else split_of(path.stem, validation_share)
        splits.setdefault(split, []).append(SourceClip(names[path], path, group=group))
    if not splits:
        raise ValueError(f"{manifest} names none of the videos in {folder}")
    return splits


class FrameBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """What all builders share: the record layout and the clip index.

    Sub-classes say which clips there are (`clip_splits`) and how one is read (`read`).
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "One JPEG per frame, clip index beside the records."}

    def __init__(self, *, data_dir: str | Path, size: int = 256, **kwargs: Any):
        self.size = size  # side of the frames, pixels
        self.part = 0, 1  # (i, n): only clips of every n-th source file, from the i-th on
        self.parts: Sequence[Path] = ()  # data sets of every part, copied instead of read
        self.skipped: list[str] = []  # source files that could not be read
        self.empty: set[str] = set()  # splits of which none could
        super().__init__(data_dir=str(data_dir), file_format="array_record", **kwargs)

    def clip_splits(self) -> dict[str, Sequence[SourceClip]]:
        """Returns the clips of every split."""
        raise NotImplementedError

    def read(self, clip: SourceClip) -> tuple[np.ndarray, str, np.ndarray | None]:
        """Returns frames (uint8 `[T, size, size, 3]`), rate ("25/1"), body vectors or None."""
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Clips of one person each, a frame per record, in order.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(self.size, self.size, 3), encoding_format="jpeg"
                    ),
                    "clip": np.int32,
                    "t": np.int32,
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        self._index: dict[str, list[dict[str, Any]]] = {}
        frames = self._copied if self.parts else self._frames
        return {split: frames(split, clips) for split, clips in sorted(self.own_clips().items())}

    def own_clips(self) -> dict[str, list[SourceClip]]:
        """Returns the clips of this part, by the splits that have any."""
        splits = self.clip_splits()
        paths = sorted({clip.path for clips in splits.values() for clip in clips})
        mine = set(paths[self.part[0] :: self.part[1]])
        own = {split: [clip for clip in splits[split] if clip.path in mine] for split in splits}
        return {split: clips for split, clips in own.items() if clips and split not in self.empty}

    def build(self) -> None:
        """Builds the data set without splits that cannot be read; ClipError: none can."""
        while self.own_clips():
            try:
                return self.download_and_prepare()
            except AssertionError:  # how TFDS refuses a split without an example
                empty = {split for split, entries in self._index.items() if not entries}
                if not empty:
                    raise
                self.empty |= empty
        raise ClipError("none of the videos can be read; what is wrong with each is said above")

    def _generate_examples(self, **kwargs: Any) -> Any:
        raise NotImplementedError("the split generators are made in _split_generators")

    def _frames(
        self, split: str, clips: Sequence[SourceClip]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields one example per frame; writes the clip index when the split is through."""
        entries = self._index.setdefault(split, [])
        record = 0
        for clip in clips:
            try:
                frames, fps, body = self.read(clip)
                if len(frames) < 2:
                    raise ClipError("it has fewer than two frames")
            except (ClipError, OSError) as error:
                # Of a file that many chunks come from, the first that fails says it.
                if str(clip.path) not in self.skipped:
                    print(f"skipped {clip.path}: {error}")
                    self.skipped.append(str(clip.path))
                continue
            if body is not None:
                write_body(Path(self.data_dir), clip.name, body)
            for t, frame in enumerate(frames):
                yield record + t, {"image": jpeg(frame), "clip": len(entries), "t": t}
            entry = ClipEntry(clip.name, record, len(frames), fps, clip.group)
            entries.append(entry._asdict())
            record += len(frames)
        self._write_index()

    def _copied(
        self, split: str, clips: Sequence[SourceClip]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the examples of `_frames` from the data sets of the parts."""
        entries = self._index.setdefault(split, [])
        made = [FrameDataset(path, split) for path in self.parts if split in split_names(path)]
        places = {
            clip.name: (dataset, number)
            for dataset in made
            for number, clip in enumerate(dataset.clips)
        }
        record = 0
        for name in [clip.name for clip in clips if clip.name in places]:
            dataset, number = places[name]
            entry = dataset.clips[number]._replace(first=record)
            body = dataset.body(number)
            if body is not None:
                write_body(Path(self.data_dir), name, body)
            for t in range(entry.frames):
                image = dataset.stored(number, t)
                yield record + t, {"image": image, "clip": len(entries), "t": t}
            entries.append(entry._asdict())
            record += entry.frames
        self._write_index()

    def _write_index(self) -> None:
        # TFDS points data_dir at the temporary folder here, so the index appears with the records
        # or not at all.
        index = {"size": self.size, "splits": self._index, "skipped": self.skipped}
        (Path(self.data_dir) / CLIP_INDEX).write_text(json.dumps(index, indent=1))


def write_body(directory: Path, clip: str, body: np.ndarray) -> None:
    """Writes a clip's body vectors `[T, 188]` to the side-car `body/<clip>.npy` of a data set."""
    folder = directory / "body"
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{clip}.npy", body.astype(np.float32))


class HumanClips(FrameBuilder):
    """Videos of one person each, by `split_folder`, as square frames of `size` by crop or pad."""

    name = "human_clips"

    def __init__(
        self,
        *,
        source: str | Path,
        data_dir: str | Path,
        manifest: str | Path | None = None,
        size: int = 256,
        fit: str = "crop",
        validation_share: float = 0.1,
        **kwargs: Any,
    ):
        self.source, self.manifest, self.fit = source, manifest, fit
        self.validation_share = validation_share
        super().__init__(data_dir=data_dir, size=size, **kwargs)

    def clip_splits(self) -> dict[str, Sequence[SourceClip]]:
        """Returns the folder's videos by split."""
        return split_folder(self.source, self.manifest, self.validation_share)

    def read(self, clip: SourceClip) -> tuple[np.ndarray, str, np.ndarray | None]:
        """Returns the decoded, fitted frames of a video."""
        decoded = read_clip(
            clip.path, size=self.size, fit=self.fit, start=clip.start, frames=clip.frames
        )
        return decoded.frames, str(decoded.fps), None
