"""From what a user names as data to built data sets: one that is there, a folder of videos, none.

Whatever has to be built first, is: once, into a cache folder that all runs share.
"""

import glob
import hashlib
import os
from pathlib import Path
from typing import Any

from hvc_jax.data import coded_keys
from hvc_jax.data.builders import HumanClips, videos_in
from hvc_jax.data.frames import FrameDataset, find_directory
from hvc_jax.data.synthetic_builder import SyntheticHumans
from hvc_jax.ops.files import exclusive

SYNTHETIC = "synthetic"


def cache_folder() -> Path:
    """Returns the folder of data sets that runs build for themselves, `HVC_CACHE` if given."""
    named = os.environ.get("HVC_CACHE")
    home = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(named or Path(home) / "hvc_jax").expanduser()


def parse_sources(text: str) -> list[tuple[str, float]]:
    """Returns (path, weight) pairs of a string such as "a/human_clips:3,b/synthetic_humans:1".

    An empty string is "synthetic".
    Raises ValueError: A weight is not above 0.
    """
    sources = []
    for part in (text or SYNTHETIC).split(","):
        path, colon, weight = part.strip().rpartition(":")
        try:
            sources.append((path, float(weight)) if colon else (weight, 1.0))
        except ValueError:
            sources.append((part.strip(), 1.0))
        if not sources[-1][1] > 0:
            raise ValueError(f"'{part}' in data.path: the weight must be above 0")
    return sources


def _with_keys(directory: Path, split: str, keys_per_clip: int, qps_per_key: int) -> Path:
    dataset = FrameDataset(directory, split)
    if not coded_keys.records_path(dataset).exists():
        coded_keys.build(dataset, keys_per_clip, qps_per_key)
    return directory


def _synthetic(config: Any, split: str) -> Path:
    clips, frames = config.get("synthetic_clips", 24), config.get("synthetic_frames", 50)
    size = config.get("size", 128)
    name = f"synthetic-{clips}x{frames}-{size}"
    folder = cache_folder() / name
    try:
        directory = find_directory(folder)
    except FileNotFoundError:
        print(f"rendering {clips} clips of synthetic people into {folder}, once", flush=True)
        builder = SyntheticHumans(
            data_dir=folder,
            clips=clips,
            validation_clips=max(1, clips // 8),
            frames=frames,
            size=size,
        )
        builder.download_and_prepare()
        directory = find_directory(folder)
    return _with_keys(directory, split, keys_per_clip=3, qps_per_key=2)


def _videos(folder: Path, config: Any, split: str) -> Path:
    manifest = folder / "manifest.csv"
    size = max(256, config.get("size", 256))
    place = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:10]
    cache = cache_folder() / f"{folder.name}-{place}-{size}-{_contents(folder)}"
    try:
        directory = find_directory(cache)
    except FileNotFoundError:
        older = sorted(cache_folder().glob(f"{glob.escape(folder.name)}-{place}-{size}*"))
        changed = f"; {folder} has changed since {older[-1]} was built" if older else ""
        print(f"reading the videos of {folder} into {cache}, once{changed}", flush=True)
        builder = HumanClips(
            source=folder,
            data_dir=cache,
            manifest=manifest if manifest.exists() else None,
            size=size,
        )
        builder.download_and_prepare()
        directory = find_directory(cache)
    return _with_keys(directory, split, keys_per_clip=5, qps_per_key=3)


def _contents(folder: Path) -> str:
    """A digest of which videos lie in a folder, how long they are and when they were written."""
    digest = hashlib.sha256()
    manifest = folder / "manifest.csv"
    for path in [*videos_in(folder), *([manifest] if manifest.exists() else [])]:
        found = path.stat()
        line = f"{path.relative_to(folder).as_posix()}|{found.st_size}|{found.st_mtime_ns}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()[:10]


def resolve(path: str, config: Any, split: str = "train") -> Path:
    """Returns the folder of a built data set with coded key pictures for what `path` names.

    What is missing is built under a lock, so of several processes one builds and the others wait.

    Args:
      path: A built data set, a folder of videos, or "synthetic".
      config: `size`, and for "synthetic" `synthetic_clips` and `synthetic_frames` if others than 24
        and 50 are wanted.
      split: Split whose key pictures are needed.

    Raises FileNotFoundError: Neither a data set nor a video is there.
    """
    if path != SYNTHETIC:
        try:
            directory = find_directory(path)
        except FileNotFoundError:
            videos_in(Path(path))  # says what is wrong before anything is built
        else:
            if coded_keys.records_path(FrameDataset(directory, split)).exists():
                return directory
    with exclusive(cache_folder() / ".lock"):
        if path == SYNTHETIC:
            return _synthetic(config, split)
        try:
            directory = find_directory(path)
        except FileNotFoundError:
            return _videos(Path(path), config, split)
        return _with_keys(directory, split, keys_per_clip=5, qps_per_key=3)
