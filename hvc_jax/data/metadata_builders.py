"""Builders of the sets the literature reports on, from their published lists and the users' videos.

The lists of TED-talks and TaiChiHD (Siarohin et al., MRAA, CVPR 2021) name chunks of longer
videos: which file, which frames, which box. The videos themselves are not published with them.
"""

import csv
import io
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from hvc_jax.data.builders import FrameBuilder, HumanClips, SourceClip, split_of, videos_in
from hvc_jax.data.clips import ClipError, open_clip, probe
from hvc_jax.data.timing import near_usual
from hvc_jax.ops.files import text_of

_ROUNDED = 4e-4
"""Part by which lists round frame rates: 29.97 and 23.98 of 30000/1001 and 24000/1001."""


class Chunk(NamedTuple):
    """One row of a metadata csv."""

    video: str  # Name of the video without its ending
    split: str  # "train" or "test"
    start: int  # First frame; `end`: frame after the last, in frames of a video of rate `fps`
    end: int
    # (left, top, right, bottom) in pixels of a video of `height` rows
    box: tuple[float, float, float, float]
    height: int  # Rows of the video the box refers to, 0 where the list does not say
    # Frames per second that `start` and `end` count; 0 for those of the video at hand
    fps: float = 0.0

    def frames_in(self, fps: Fraction) -> tuple[int, int]:
        """First frame and frame after the last of start <= i * self.fps / fps < end."""
        if not self.fps:
            return self.start, self.end
        ratio = fps / near_usual(self.fps, _ROUNDED)
        return math.ceil(self.start * ratio), math.ceil(self.end * ratio)


def _column(row: dict[str, str], path: Path, *names: str, default: str | None = None) -> str:
    for name in names:
        if row.get(name):
            return row[name]
    if default is None:
        raise ValueError(f"{path} has no column {' or '.join(names)}; is it a metadata csv?")
    return default


def read_metadata(path: str | Path) -> list[Chunk]:
    """Returns the rows of an MRAA-style metadata csv.

    Columns: `video_id`, `start`, `end`, `bbox` ("left-top-right-bottom"); optional are `fps` of
    the frames that `start` and `end` count, `height`, and `partition` or `split` ("train",
    "test").
    Raises ValueError: A column is missing or a row is damaged; the message names the row.
    """
    path = Path(path)
    chunks = []
    text = text_of(path)
    separator = max(",;\t", key=text.partition("\n")[0].count)
    with io.StringIO(text) as file:
        try:
            rows = list(csv.DictReader(file, delimiter=separator))
        except csv.Error as error:
            raise ValueError(f"{path} is no table ({error})") from None
        for number, row in enumerate(rows, 2):
            try:
                box = [float(v) for v in _column(row, path, "bbox").split("-")]
                if len(box) != 4 or box[2] <= box[0] or box[3] <= box[1]:
                    raise ValueError("bbox is not left-top-right-bottom")
                video = _column(row, path, "video_id")
                chunk = Chunk(
                    video=video,
                    split=_column(row, path, "partition", "split", default=split_of(video)),
                    start=int(float(_column(row, path, "start"))),
                    end=int(float(_column(row, path, "end"))),
                    box=tuple(box),
                    height=int(float(_column(row, path, "height", default="0"))),
                    fps=_list_rate(_column(row, path, "fps", default="0")),
                )
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
            if chunk.end - chunk.start >= 2:
                chunks.append(chunk)
    if not chunks:
        raise ValueError(f"{path} lists no chunk of two or more frames")
    return chunks


def _list_rate(text: str) -> float:
    rate = float(text)
    if not 0 <= rate <= 1000:
        raise ValueError(f"fps is {text}, no frame rate")
    return rate


def _videos_by_id(folder: Path) -> dict[str, Path]:
    """Videos by name without ending, and by path below the folder; twins by their paths only."""
    paths = videos_in(folder)
    by_path = {p.relative_to(folder).with_suffix("").as_posix(): p for p in paths}
    count = Counter(path.stem for path in paths)
    return by_path | {path.stem: path for path in paths if count[path.stem] == 1}


class MetadataBuilder(FrameBuilder, skip_registration=True):
    """Chunks cut out of longer videos, named `<video_id>.<ending>`, by a metadata csv.

    `size` is the side of the stored frames in pixels; `fit` is "crop" or "pad", for boxes that are
    not square.
    """

    def __init__(
        self,
        *,
        source: str | Path,
        metadata: str | Path,
        data_dir: str | Path,
        size: int = 256,
        fit: str = "crop",
        **kwargs: Any,
    ):
        self.source, self.metadata, self.fit = Path(source), Path(metadata), fit
        super().__init__(data_dir=data_dir, size=size, **kwargs)

    def clip_splits(self) -> dict[str, Sequence[SourceClip]]:
        """Returns the chunks whose video is there; the others are named once."""
        files = _videos_by_id(self.source)
        rates: dict[Path, Fraction] = {}
        self._boxes: dict[str, Chunk] = {}
        splits: dict[str, list[SourceClip]] = defaultdict(list)
        missing = set()
        for chunk in read_metadata(self.metadata):
            if chunk.video not in files:
                missing.add(chunk.video)
                continue
            name = f"{chunk.video}#{chunk.start:06d}#{chunk.end:06d}"
            split = "validation" if chunk.split.startswith(("test", "val")) else "train"
            path = files[chunk.video]
            name = name.replace("/", "__")
            start, end = chunk.start, chunk.end
            if chunk.fps:
                try:
                    rates[path] = rates.get(path) or probe(path).fps
                    start, end = chunk.frames_in(rates[path])
                except ClipError:
                    pass  # told when it is read
            self._boxes[name] = chunk
            splits[split].append(SourceClip(name, path, start, end - start))
        if missing:
            shown = ", ".join(sorted(missing)[:5])
            print(f"{len(missing)} videos of {self.metadata} are not in {self.source}: {shown} ...")
        if not splits:
            raise ValueError(f"{self.source} holds none of the videos that {self.metadata} lists")
        self._together: dict[str, list[SourceClip]] = {}
        for clips in splits.values():
            clips.sort(key=lambda clip: (clip.path, clip.start))
            for _, group in itertools.groupby(clips, lambda clip: clip.path):
                group = list(group)
                self._together |= {clip.name: group for clip in group}
        return splits

    def read(self, clip: SourceClip) -> tuple[np.ndarray, str, np.ndarray | None]:
        """Returns the boxed frames of a chunk; the chunks of a video are read in their order."""
        together = self._together[clip.name]
        if clip == together[0]:
            self._pass = self._cut(together)
        frames = next(self._pass)
        if isinstance(frames, ClipError):
            raise frames
        if not frames:
            raise ClipError(f"{clip.path} ends before frame {clip.start}; is it the right video?")
        return np.stack(frames), str(probe(clip.path).fps), None

    def _cut(self, clips: list[SourceClip]) -> Iterator[list[np.ndarray] | ClipError]:
        """Yields the frames of chunks of one video, or their failure, in one pass over it."""
        ends = [clip.start + clip.frames for clip in clips]
        made: list[list[np.ndarray]] = [[] for _ in clips]
        first, given, failure = clips[0].start, 0, None
        try:
            wanted = max(ends) - first
            _, pictures = open_clip(clips[0].path, size=None, start=first, frames=wanted)
            for t, picture in enumerate(pictures, first):
                for number in range(given, len(clips)):
                    if clips[number].start <= t < ends[number]:
                        made[number].append(self._boxed(picture, clips[number]))
                while given < len(clips) and ends[given] <= t + 1:
                    frames, made[given] = made[given], []
                    given += 1
                    yield frames
        except ClipError as error:
            failure = error
        for number in range(given, len(clips)):
            whole = len(made[number]) == clips[number].frames
            yield failure if failure and not whole else made[number]

    def _boxed(self, picture: np.ndarray, clip: SourceClip) -> np.ndarray:
        """Returns a chunk's box of a frame, `[size, size, 3]` uint8."""
        chunk = self._boxes[clip.name]
        scale = picture.shape[0] / chunk.height if chunk.height else 1.0
        image = Image.fromarray(picture).crop(
            _square(tuple(scale * v for v in chunk.box), self.fit)
        )
        return np.asarray(image.resize((self.size, self.size), Image.Resampling.LANCZOS))


def _square(box: tuple[float, float, float, float], fit: str) -> tuple[int, int, int, int]:
    """Returns the square within ("crop") or around ("pad") a box, in whole pixels, same centre."""
    left, top, right, bottom = box
    choose = min if fit == "crop" else max
    half = choose(right - left, bottom - top) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    return round(x - half), round(y - half), round(x + half), round(y + half)


class TedTalks(MetadataBuilder):
    """TED-talks (MRAA): upper bodies of speakers, 384 x 384 as published."""

    name = "ted_talks"


class TaichiHd(MetadataBuilder):
    """TaiChiHD (FOMM, MRAA): full bodies, 256 or 512 pixels as published."""

    name = "taichi_hd"


class UbcFashion(HumanClips):
    """UBC Fashion (DwNet): models on a white ground; one file a clip, split by folder name."""

    name = "ubc_fashion"


KINDS: dict[str, type[FrameBuilder]] = {
    builder.name: builder for builder in (HumanClips, TedTalks, TaichiHd, UbcFashion)
}
"""Builders of `hvc data prepare` by the names of their data sets."""


def make_builder(
    data_dir: Path,
    kind: str,
    source: Path,
    size: int,
    fit: str,
    manifest: Path | None = None,
    metadata: Path | None = None,
) -> FrameBuilder:
    """Returns the builder of a kind, with lists that it reads; ValueError: it lacks `metadata`."""
    common: dict[str, Any] = {"source": source, "data_dir": data_dir, "size": size, "fit": fit}
    if not issubclass(KINDS[kind], MetadataBuilder):
        return KINDS[kind](manifest=manifest, **common)
    if metadata is None:
        raise ValueError(f"{kind} needs --metadata, the csv that lists its chunks")
    return KINDS[kind](metadata=metadata, **common)
