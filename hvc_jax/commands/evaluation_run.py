"""The work of `hvc evaluate`: a block of clips is coded, decoded by one fresh process, measured."""

import csv
import dataclasses
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hvc_jax import keyframes
from hvc_jax.bitstream.container import StreamReader, UnitType, key_unit
from hvc_jax.codec import Codec, EncodeOptions, Source
from hvc_jax.commands.encode import source_of
from hvc_jax.commands.model_files import export_of_variant
from hvc_jax.commands.rates import bytes_by_unit, kbps
from hvc_jax.commands.roundtrip import Decoded, decode_in_fresh_process, read_pictures
from hvc_jax.data.clips import Clip, atomic_path, probe, read_clip, write_png
from hvc_jax.evaluation import anchors
from hvc_jax.evaluation.scores import SCORES, score
from hvc_jax.evaluation.sheet import contact_sheet
from hvc_jax.evaluation.table import csv_text, mean_rows, text_table

COLUMNS = (
    "clip", "codec", "key_qp", "frames", "fps", "bytes", "key_bytes", "static_bytes",
    "motion_bytes", "other_bytes", "kbps", "bits_per_frame", *SCORES, "encode_fps", "decode_fps",
)  # fmt: skip
_MEANS = ("bytes", "key_bytes", "motion_bytes", "kbps", *SCORES, "encode_fps", "decode_fps")

_BLOCK = 16  # clips whose decoded pictures lie on the disk at a time


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is coded and measured; see `hvc evaluate --help`."""

    output: Path
    variants: tuple[str, ...] = ("semantic", "implicit")
    models: Path | None = None
    key_qps: tuple[int, ...] = (32,)
    frames: int = 64
    size: int = 256
    fit: str = "crop"
    effort: int = 1
    every: int = 8
    learned: bool = True
    anchors: tuple[str, ...] = ()

    def fixed(self) -> dict[str, Any]:
        """What must not differ between rows of one table."""
        names = ("frames", "size", "fit", "effort", "every", "learned")
        models = {v: self.model(v).model_id.hex() for v in self.variants}
        return {name: getattr(self, name) for name in names} | models

    def model(self, variant: str) -> Any:
        """The export of a variant."""
        path = self.models / f"{variant}.safetensors" if self.models else None
        return export_of_variant(variant, path)


@dataclasses.dataclass(frozen=True)
class Job:
    """One clip, coded by one variant at one key picture QP."""

    clip: Path
    variant: str
    qp: int
    stream: Path


def evaluate(clips: Sequence[Path], settings: Settings, quiet: bool = False) -> str:
    """Codes, decodes and measures what is not in results.csv yet; returns the table of means.

    Args:
        clips: Video files with distinct names.
        settings: What to do; `settings.output` exists.
        quiet: No progress bar.
    """
    table = _Results(settings.output)
    jobs = [
        job for job in _jobs(clips, settings) if (job.clip.stem, job.variant, job.qp) not in table
    ]
    for name in ("streams", "sheets"):
        (settings.output / name).mkdir(exist_ok=True)
    coder = _Coder(settings)
    waiting = sorted({job.clip for job in jobs})
    with tqdm(total=3 * len(jobs), unit=" steps", disable=quiet or None) as bar:
        for start in range(0, len(waiting), _BLOCK):
            block = set(waiting[start : start + _BLOCK])
            _block([job for job in jobs if job.clip in block], settings, coder, table, bar)
    means = mean_rows(table.rows, ["codec", "key_qp"], _MEANS)
    with atomic_path(settings.output / "means.csv") as temporary:
        temporary.write_text(csv_text(means), encoding="utf-8")
    return text_table(means)


def _jobs(clips: Sequence[Path], settings: Settings) -> Iterator[Job]:
    for clip in clips:
        for qp in settings.key_qps:
            for variant in settings.variants:
                name = f"{clip.stem}.{variant}.qp{qp}.hvc"
                yield Job(clip, variant, qp, settings.output / "streams" / name)


def _block(
    jobs: list[Job], settings: Settings, coder: "_Coder", table: "_Results", bar: tqdm
) -> None:
    """Takes a block of jobs through coding, decoding and measuring."""
    speeds = {}
    for job in jobs:
        bar.set_description(f"coding {job.clip.stem}")
        speeds[job.stream] = coder.code(job)
        bar.update()
    folder = Path(tempfile.mkdtemp(prefix="decoded.", dir=settings.output))
    try:
        bar.set_description("decoding in a fresh process")
        decoded = {}
        streams = [job.stream for job in jobs]
        # The model's file is found through its id, or lies in the folder that the user named.
        for item in decode_in_fresh_process(streams, folder, models=settings.models):
            decoded[item.stream] = item
            bar.update()
        for clip in dict.fromkeys(job.clip for job in jobs):
            bar.set_description(f"measuring {clip.stem}")
            mine = [job for job in jobs if job.clip == clip]
            table.add(_measure(mine, settings, decoded, speeds))
            bar.update(len(mine))
    finally:
        shutil.rmtree(folder)


class _Coder:
    """Codes jobs; both codecs share key pictures and the clip that was read last."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._codecs: dict[str, Codec] = {}
        self._clip: tuple[Path, Clip] | None = None
        self._key: tuple[tuple, keyframes.KeyPicture] | None = None

    def code(self, job: Job) -> float | None:
        """Writes the stream unless it is there already; returns frames a second.

        None where nothing was coded, and for the first clip, during which the codec compiles.
        """
        first = job.variant not in self._codecs
        if first:
            self._codecs[job.variant] = Codec(self._settings.model(job.variant))
            self._codecs[job.variant].encode_key = self._encode_key
        codec = self._codecs[job.variant]
        if job.stream.exists() and _model_of(job.stream) == codec.export.model_id:
            return None
        if self._clip is None or self._clip[0] != job.clip:
            self._clip = (job.clip, _read(job.clip, self._settings))
        clip, info = self._clip[1], probe(job.clip)
        source = Source(*source_of(info.width, info.height, self._settings.fit))
        options = EncodeOptions(key_qp=job.qp, effort=self._settings.effort)
        started = time.perf_counter()
        with atomic_path(job.stream) as temporary, temporary.open("wb") as file:
            count = codec.encode(
                iter(clip.frames), file, fps=clip.fps, options=options, source=source,
                frame_count=len(clip.frames),
            )  # fmt: skip
        return None if first else count / (time.perf_counter() - started)

    def _encode_key(self, picture: np.ndarray, qp: int, codec: str) -> keyframes.KeyPicture:
        """The coded key picture; the last one is kept, since the next variant wants the same."""
        wanted = (picture.tobytes(), qp, codec)
        if self._key is None or self._key[0] != wanted:
            self._key = (wanted, keyframes.encode(picture, qp, codec))
        return self._key[1]


class _Results:
    """results.csv, rewritten whole after every clip."""

    def __init__(self, output: Path) -> None:
        self._path = output / "results.csv"
        self.rows: list[dict[str, Any]] = []
        if self._path.exists():
            with self._path.open(encoding="utf-8", newline="") as file:
                self.rows = [_numbers(row) for row in csv.DictReader(file)]
        self._done = {(row["clip"], row["codec"], row["key_qp"]) for row in self.rows}

    def __contains__(self, key: tuple[str, str, int]) -> bool:
        return key in self._done

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Adds the rows that are not there yet, and writes the file."""
        for row in rows:
            key = (row["clip"], row["codec"], row["key_qp"])
            if key not in self._done:
                self._done.add(key)
                self.rows.append(row)
        with atomic_path(self._path) as temporary:
            temporary.write_text(csv_text(self.rows, COLUMNS), encoding="utf-8")


def _numbers(row: dict[str, str]) -> dict[str, Any]:
    """A CSV row with its numbers as numbers, empty cells as None."""
    whole = {
        "key_qp",
        "frames",
        "bytes",
        "key_bytes",
        "static_bytes",
        "motion_bytes",
        "other_bytes",
    }
    out: dict[str, Any] = {}
    for name, text in row.items():
        if name in ("clip", "codec"):
            out[name] = text
        elif not text:
            out[name] = None
        else:
            out[name] = int(text) if name in whole else float(text)
    return out


def _read(path: Path, settings: Settings) -> Clip:
    return read_clip(path, settings.size, settings.fit, frames=settings.frames)


def _model_of(stream: Path) -> bytes:
    with stream.open("rb") as file:
        return StreamReader(file).header.model_id


def _measure(
    jobs: list[Job], settings: Settings, decoded: dict[Path, Decoded], speeds: dict[Path, Any]
) -> list[dict[str, Any]]:
    """The rows of one clip: hold, every variant and every anchor at every QP; writes the sheet."""
    clip = _read(jobs[0].clip, settings)
    rows: list[dict[str, Any]] = []
    sheet = {"source": clip.frames}

    def add(codec: str, qp: int, frames: np.ndarray, size: int, **more: Any) -> None:
        count = len(clip.frames)
        row = {"clip": jobs[0].clip.stem, "codec": codec, "key_qp": qp, "frames": count}
        row |= {"fps": float(clip.fps), "bytes": size, "kbps": kbps(size, count, clip.fps)}
        row |= {"bits_per_frame": size * 8 / count}
        rows.append(row | score(clip.frames, frames, settings.every, settings.learned) | more)
        sheet[f"{codec} QP {qp}  {size} bytes  {rows[-1]['psnr']:.2f} dB"] = frames

    for qp in dict.fromkeys(job.qp for job in jobs):
        mine = [job for job in jobs if job.qp == qp]
        with mine[0].stream.open("rb") as file:
            units = list(StreamReader(file).units())
        key = key_unit(next(unit for unit in units if unit.type == UnitType.KEY))
        picture = keyframes.decode(key.codec, key.payload, *clip.frames.shape[1:3])
        still = np.broadcast_to(picture[None], clip.frames.shape)
        add("hold", qp, still, len(key.payload), key_bytes=len(key.payload))
        for job in mine:
            frames = read_pictures(decoded[job.stream].folder)
            speed = {"encode_fps": speeds[job.stream]}
            speed["decode_fps"] = decoded[job.stream].frames_per_second
            size = job.stream.stat().st_size
            add(job.variant, qp, frames, size, **unit_columns(job.stream), **speed)
        for name in settings.anchors:
            anchor = anchors.nearest_rate(
                clip.frames, clip.fps, name, mine[0].stream.stat().st_size
            )
            add(name, qp, anchor.frames, anchor.bytes)
    write_png(settings.output / "sheets" / f"{jobs[0].clip.stem}.png", contact_sheet(sheet))
    return rows


def unit_columns(stream: Path) -> dict[str, int]:
    """Bytes of a stream by unit, as columns that sum to its size."""
    with stream.open("rb") as file:
        reader = StreamReader(file)
        sizes = bytes_by_unit(reader, list(reader.units()))
    names = {"KEY": "key_bytes", "STATIC": "static_bytes", "MOTION": "motion_bytes"}
    columns = {column: sizes.pop(unit, 0) for unit, column in names.items()}
    return columns | {"other_bytes": sum(sizes.values())}
