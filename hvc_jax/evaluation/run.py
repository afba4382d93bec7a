"""The work of `hvc evaluate`: clips are coded, decoded by one fresh process, and measured."""

import dataclasses
import functools
import multiprocessing
import queue
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hvc_jax.codec.options import EncodeOptions
from hvc_jax.data.clips import Clip
from hvc_jax.evaluation import anchors
from hvc_jax.evaluation.anchor_codecs import codec_and_scale
from hvc_jax.evaluation.coder import Coder, read
from hvc_jax.evaluation.flow_oracle import flow_oracle
from hvc_jax.evaluation.roundtrip import (
    Decoded,
    RoundtripError,
    decode_in_fresh_process,
    read_pictures,
)
from hvc_jax.evaluation.scores import COLUMNS as SCORE_COLUMNS
from hvc_jax.evaluation.scores import Original
from hvc_jax.evaluation.settings import Settings
from hvc_jax.evaluation.sheet import write_strip
from hvc_jax.evaluation.table import PROVENANCE, csv_text, read_rows
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.ops.files import write_text
from hvc_jax.ops.program import program
from hvc_jax.ops.progress import Progress
from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.rates import bytes_by_unit, rate_columns

COLUMNS = (
    "clip", "content", "kind", "codec", "qp", "frames", "fps", "width", "height", "bytes",
    "header_bytes", "key_bytes", "static_bytes", "motion_bytes", "field_bytes", "other_bytes",
    "bpp", "kbps", "bits_per_frame",
    *SCORE_COLUMNS, "encode_seconds", "decode_seconds", "decoded_ok", *PROVENANCE,
)  # fmt: skip
CEILING = "uncompressed key"

_BLOCK_STREAMS = 32  # whose decoded pictures lie on the disk at a time

Step = Callable[[str, int], None]


class Point(NamedTuple):
    """One rate point of one codec: a row for every clip."""

    kind: str  # "hold", "ceiling", "limit", "model" or "anchor"
    codec: str  # Its name in the tables; of curves along another axis than the key QP "MODEL-AXIS"
    # Of the key picture, or the anchor's quality setting; None for the ceiling. Along another axis
    # the value there.
    qp: float | None
    model: str = ""  # Name of the model; "" where there is none
    axis: str = ""  # One of `AXES`, or "" for the key QP

    def options(self, settings: Settings) -> EncodeOptions:
        """How a model codes a clip here."""
        options = EncodeOptions(effort=settings.effort, key_qp=settings.middle_key_qp)
        change: dict[str, Any] = {
            "": {"key_qp": self.qp},
            "no_hold": {"key_qp": self.qp, "hold": False},
            "quantiser": {"quantiser": self.qp},
            "bytes": {"key_qp": None, "target_bytes": self.qp},
            "lmbda": {"key_qp": None, "lmbda": self.qp},
        }[self.axis]
        return dataclasses.replace(options, **change)


class Work(NamedTuple):
    """A clip and the points at which it is not measured yet."""

    clip: Path
    points: tuple[Point, ...]


def points_of(settings: Settings) -> list[Point]:
    """Every rate point that is asked for."""
    points = [Point("hold", "hold", qp) for qp in settings.hold_qps]
    points.append(Point("ceiling", CEILING, None))
    points += [Point("limit", name, qp) for qp in settings.key_qps for name in settings.limits]
    names = [name for name, _ in settings.models]
    points += [Point("model", name, qp, name) for qp in settings.key_qps for name in names]
    points += [
        Point("model", f"{name}-{axis}", value, name, axis)
        for axis, values in settings.axes
        for value in (settings.key_qps if axis == "no_hold" else values)
        for name in names
        if settings.has_axis(name, axis)
    ]
    return points + [Point("anchor", name, qp) for name, qps in settings.anchors for qp in qps]


def part_path(out: Path, number: int) -> Path:
    """The file of rows of one of several jobs that share a folder of results."""
    return out / f"results.part-{number}.csv"


def evaluate(
    clips: Sequence[Path],  # Video files with distinct names
    settings: Settings,  # What to do; `settings.out` exists
    jobs: int = 1,  # Processes that work side by side, each on clips of its own
    quiet: bool = False,  # No progress
    # Number of this job of several; its rows go to `part_path`, and not to results.csv
    part: int | None = None,
) -> None:
    """Measures what is not in results.csv yet, and writes the file again after every clip."""
    known = table = Results(settings.out / "results.csv")
    if part is not None:
        table = Results(part_path(settings.out, part))
    work = []
    for clip in clips:
        points = ((p, (clip.stem, p.codec, p.qp)) for p in points_of(settings))
        missing = [p for p, key in points if key not in known and key not in table]
        if missing:
            work.append(Work(clip, tuple(missing)))
    (settings.out / "streams").mkdir(exist_ok=True)
    each = sum(point.kind == "model" for point in points_of(settings))
    most = max(1, _BLOCK_STREAMS // max(each, 1))
    most = min(most, -(-len(work) // jobs)) or 1
    blocks = [work[start : start + most] for start in range(0, len(work), most)]
    with Progress(sum(map(_steps, work)), "steps", quiet, warm_up=0) as bar:

        def step(text: str, count: int) -> None:
            bar.describe(text)
            bar.update(count)

        if jobs == 1 or len(blocks) < 2:
            for block in blocks:
                for rows in _block(block, settings, step):
                    table.add(rows)
            return
        context = multiprocessing.get_context("spawn")  # forks of a process with jax can hang
        workers = ProcessPoolExecutor(min(jobs, len(blocks)), context)
        with context.Manager() as manager, workers as pool:
            told = manager.Queue()
            waiting = [pool.submit(_tell_block, block, settings, told) for block in blocks]
            try:
                for message in _messages(told, waiting):
                    if isinstance(message, list):
                        table.add(message)
                    else:
                        step(*message)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _steps(work: Work) -> int:
    """What there is to do with a clip: streams to code, and rows to measure."""
    return len(work.points) + sum(point.kind == "model" for point in work.points)


class Results:
    """results.csv, rewritten whole whenever rows are added; `rows` map columns to values.

    Raises ValueError: The file has rows of another version or commit of the program.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: list[dict[str, Any]] = read_rows(path) if path.exists() else []
        # An empty cell, as the commit of an installed program is, comes back as None.
        made = {(row.get("version") or "", row.get("commit") or "") for row in self.rows}
        for other in made - {tuple(part or "" for part in program())}:
            theirs, ours = (" at ".join(x or "unknown" for x in p) for p in (other, program()))
            raise ValueError(
                f"{path}: has rows of version {theirs}, and this is {ours}; programs do not share "
                "a table: use another --out, or that program"
            )
        self._done = {(row["clip"], row["codec"], row["qp"]) for row in self.rows}

    def __contains__(self, key: tuple[str, str, int | None]) -> bool:
        return key in self._done

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Adds the rows that are not there yet, with this program's version; writes the file."""
        for row in rows:
            key = (row["clip"], row["codec"], row["qp"])
            if key not in self._done:
                self._done.add(key)
                self.rows.append(row | program()._asdict())
        write_text(self._path, csv_text(self.rows, COLUMNS))


def _tell_block(block: Sequence[Work], settings: Settings, told: Any) -> None:
    """Takes a block through in another process; tells its steps and each clip's rows to a queue."""
    keep_compiled_programs()
    for rows in _block(block, settings, lambda *step: told.put(step)):
        told.put(rows)


def _messages(told: Any, waiting: Sequence[Future]) -> Iterator[Any]:
    """What processes tell, as it comes, until all have ended; raises what one of them raised."""
    while True:
        ended = [each for each in waiting if each.done()]
        try:
            yield told.get(timeout=0.2)
        except queue.Empty:  # all is told of those that had ended before
            for each in ended:
                each.result()
            if len(ended) == len(waiting):
                return


def _block(block: Sequence[Work], settings: Settings, step: Step) -> Iterator[list[dict[str, Any]]]:
    """Takes clips through coding, decoding and measuring; yields the rows of each."""
    coder, seconds = _coder(settings), {}
    streams: dict[tuple[Path, Point], Path] = {}
    for work in block:
        for point in work.points:
            if point.kind == "model":
                step(f"coding {work.clip.stem}", 0)
                name = f"{work.clip.stem}.{point.codec}.qp{point.qp}.hvc"
                streams[work.clip, point] = settings.out / "streams" / name
                seconds[streams[work.clip, point]] = coder.code(
                    work.clip, point.model, point.options(settings), streams[work.clip, point]
                )
                step(f"coded {work.clip.stem}", 1)
    folder = Path(tempfile.mkdtemp(prefix="decoded.", dir=settings.out))
    try:
        step("decoding in a fresh process", 0)
        decoded = _decoded(list(streams.values()), folder, settings)
        for work in block:
            step(f"measuring {work.clip.stem}", 0)
            mine = {point: stream for (clip, point), stream in streams.items() if clip == work.clip}
            rows = _measure(work, mine, settings, decoded, seconds)
            step(f"measured {work.clip.stem}", len(rows))
            yield rows
    finally:
        shutil.rmtree(folder)


@functools.cache
def _coder(settings: Settings) -> Coder:
    return Coder(settings)


def _decoded(streams: list[Path], folder: Path, settings: Settings) -> dict[Path, Decoded | None]:
    """What fresh processes made of streams; None where decoding failed."""
    decoded: dict[Path, Decoded | None] = {}

    def decode(some: list[Path]) -> None:
        for item in decode_in_fresh_process(some, folder, settings.model_folders):
            decoded[item.stream] = item

    while left := [stream for stream in streams if stream not in decoded]:
        try:
            decode(left)
        except RoundtripError:
            first = next(stream for stream in streams if stream not in decoded)
            try:
                decode([first])
            except RoundtripError:
                decoded[first] = None
    return decoded


def _measure(
    work: Work,
    streams: dict[Point, Path],
    settings: Settings,
    decoded: dict[Path, Decoded | None],
    seconds: dict[Path, float],
) -> list[dict[str, Any]]:
    """The rows of one clip, and a strip of pictures for each."""
    clip = read(work.clip, settings)
    original = Original(clip.frames, clip.fps, settings.scores)
    strips = settings.out / "strips" / work.clip.stem
    strips.mkdir(parents=True, exist_ok=True)
    write_strip(strips / "source.jpg", clip.frames)
    rows, sizes = [], {}

    def add(point: Point, frames: np.ndarray | None, size: int, **more: Any) -> None:
        ok = frames is not None and frames.shape == clip.frames.shape
        row = {"clip": work.clip.stem, "kind": point.kind, "codec": point.codec, "qp": point.qp}
        row["content"] = dict(settings.contents).get(work.clip.stem)
        row |= (
            rate_columns(size, clip.frames.shape, clip.fps)
            | more
            | (original.score(frames) if ok else {})
        )
        rows.append(row | {"decoded_ok": ok})
        sizes[point] = size
        if ok:
            write_strip(strips / f"{point.codec}.qp{point.qp}.{size}.jpg", frames)

    coded: dict[str, dict[int, anchors.Anchor]] = {}
    for point in work.points:
        if point.kind == "model":
            stream = streams[point]
            item = decoded[stream]
            frames = read_pictures(item.folder) if item else None
            more = unit_columns(stream) | {"encode_seconds": seconds[stream]}
            more["model_id"] = settings.export(point.model).model_id.hex()
            if item and item.frames_per_second:
                more["decode_seconds"] = len(clip.frames) / item.frames_per_second
            add(point, frames, stream.stat().st_size, **more)
        elif point.kind == "anchor":
            anchor = _anchor(clip, point.codec, point.qp, settings)
            coded.setdefault(point.codec, {})[point.qp] = anchor
            more = {name: getattr(anchor, name) for name in ("encode_seconds", "decode_seconds")}
            add(point, anchor.frames, anchor.bytes, **more)
        else:
            if point.kind == "limit":
                made = flow_oracle(clip.frames, point.codec, point.qp)
            else:
                made = anchors.hold(clip.frames, point.qp)
            add(point, made.frames, made.bytes, key_bytes=made.bytes)
    middle = settings.middle_key_qp
    first = [sizes[p] for p in sizes if p.kind == "model" and (p.axis, p.qp) == ("", middle)][:1]
    for name, tried, target in ((*item, size) for item in coded.items() for size in first):
        qp = anchors.qp_for_size(tried, codec_and_scale(name)[0], target)
        if qp is not None:
            anchor = _anchor(clip, name, qp, settings)
            write_strip(strips / f"{name}.qp{qp}.{anchor.bytes}.jpg", anchor.frames)
    return rows


def _anchor(clip: Clip, name: str, qp: int, settings: Settings) -> anchors.Anchor:
    """A conventional codec's coding of a clip, from the folder of those that were made before."""
    codec, scale = codec_and_scale(name)
    kept = settings.out / "anchors"
    return anchors.code_clip(
        clip.frames, clip.fps, codec, qp, settings.anchor_effort, scale, cache=kept
    )


def unit_columns(stream: Path) -> dict[str, int]:
    """Bytes of a stream by unit, as columns that sum to its size."""
    with stream.open("rb") as file:
        reader = StreamReader(file)
        sizes = bytes_by_unit(reader, list(reader.units()))
    names = {
        "HEADER": "header_bytes",
        "KEY": "key_bytes",
        "STATIC": "static_bytes",
        "MOTION": "motion_bytes",
        "FIELD": "field_bytes",
    }
    columns = {column: sizes.pop(unit, 0) for unit, column in names.items()}
    return columns | {"other_bytes": sum(sizes.values())}
