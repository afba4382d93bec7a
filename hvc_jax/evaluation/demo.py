"""The steps of `hvc demo`: code, edit, decode in a fresh process, measure, show."""

import io
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from tqdm import tqdm

from hvc_jax.codec.load import codec_of_variant
from hvc_jax.codec.options import FIELD_KEY_QP, EncodeOptions, Source
from hvc_jax.data.clips import Clip, probe, read_clip, write_png, write_video
from hvc_jax.evaluation import anchors
from hvc_jax.evaluation.roundtrip import decode_in_fresh_process, read_pictures
from hvc_jax.evaluation.run import unit_columns
from hvc_jax.evaluation.scores import Original, ScoreOptions, unavailable
from hvc_jax.evaluation.sheet import contact_sheet, side_by_side
from hvc_jax.evaluation.table import format_value, text_table
from hvc_jax.models.find import export_of_variant
from hvc_jax.ops.files import atomic_path, write_bytes
from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.edit import edit
from hvc_jax.stream.operations import Operation
from hvc_jax.stream.rates import kbps
from hvc_jax.stream.units import UnitType

_VARIANTS = ("hybrid", "semantic", "keypoint")
_EDITED = "hybrid"
_ANCHORS = ("vvc", "hevc", "av1")
_EVERY = 10  # MS-SSIM, LPIPS and DISTS look at every tenth frame
_SCORES = {"psnr": "PSNR", "ms_ssim": "MS-SSIM", "lpips_vgg": "LPIPS", "dists": "DISTS"}
_ABOUT = """\
VVC, HEVC and AV1 code any picture, and at higher rates they are better. The hybrid is for clips of
one person at some kilobits a second: there it needs fewer bytes than VVC for equal PSNR, LPIPS and
DISTS (experiments/050_field), and its body can be moved inside the stream, as in `edited`. semantic
and keypoint move one key picture by a model, for research and for hardly any bytes."""


class Demo:
    """One demonstration in one folder, pictures of `size` pixels; `models`: None for shipped."""

    def __init__(
        self,
        output: Path,
        size: int,
        key_qp: int,
        models: Path | None = None,
        dists_weights: Path | None = None,
        quiet: bool = False,
    ) -> None:
        self.output, self.size, self.key_qp, self.models = output, size, key_qp, models
        self.scores = ScoreOptions(tuple(_SCORES), every=_EVERY, dists_weights=dists_weights)
        self._steps = 2 + 2 * len(_VARIANTS) + 1 + len(_ANCHORS) + 2
        self._lines = not quiet and not sys.stderr.isatty()
        self._bar = tqdm(total=self._steps, unit=" steps", disable=quiet or self._lines)
        self._done = 0

    def render(self, seed: int, frames: int) -> tuple[Clip, Source]:
        """A synthetic clip; written as source.mp4 as well."""
        from hvc_jax.synth.people import render_clip

        self._step("rendering a person")
        made = render_clip(seed, frames, self.size, framing="hips")
        fps = Fraction(made.fps).limit_denominator(1001)
        clip = Clip(made.frames, fps, "synthetic")
        write_video(self.output / "source.mp4", clip.frames, clip.fps)
        return clip, Source()

    def read(self, path: Path, fit: str, start: int, frames: int) -> tuple[Clip, Source]:
        """The user's clip."""
        self._step(f"reading {path.name}")
        info = probe(path)
        clip = read_clip(path, self.size, fit, start, frames)
        source = Source.made_square(info.width, info.height, fit)
        tqdm.write(
            f"{path}: {len(clip.frames)} frames at {float(clip.fps):.5g} frames/s, "
            f"{source.describe()}",
            file=sys.stderr,
        )
        return clip, source

    def run(self, clip: Clip, source: Source, edits: Sequence[Operation]) -> dict[str, Any]:
        """Does everything with a clip; returns what `told` puts in words.

        Its keys: "rows" of the table, "missing" scores with the reasons, "edits" in words, "bytes"
        of the edited stream before and after, the "streams" by name, "video" and "sheet".
        """
        try:
            return self._run(clip, source, edits)
        finally:
            self._bar.close()

    def _run(self, clip: Clip, source: Source, edits: Sequence[Operation]) -> dict[str, Any]:
        speeds = {variant: self._encode(variant, clip, source) for variant in _VARIANTS}
        self._edit(edits)
        names = (*_VARIANTS, "edited")
        decoded, rates = self._decode(names)
        rows = []
        for variant in _VARIANTS:
            self._step(f"measuring {variant}")
            size = self._stream(variant).stat().st_size
            row = self._row(clip, variant, size, decoded[variant])
            row |= self._columns(variant)
            row |= {"enc f/s": speeds[variant], "dec f/s": rates[variant]}
            rows.append(row)
        target = self._stream(_EDITED).stat().st_size
        shown = {"source": clip.frames} | {name: decoded[name] for name in names}
        for name in _ANCHORS:
            self._step(f"{name.upper()} at the nearest rate")
            if not anchors.available(name):
                continue
            anchor = anchors.nearest_rate(clip.frames, clip.fps, name, target, trials=3)
            label = name.upper() + (f" at {anchor.scale:g} size" if anchor.scale != 1 else "")
            rows.append(self._row(clip, label, anchor.bytes, anchor.frames))
            shown.setdefault(label, anchor.frames) if name == "vvc" else None
        self._step("holding the key frame")
        held = anchors.hold(clip.frames, self.key_qp)
        rows.append(self._row(clip, "hold key frame", held.bytes, held.frames))
        self._step("writing pictures")
        sheet, video = self.output / "contact_sheet.png", self.output / "side_by_side.mp4"
        write_png(sheet, contact_sheet(shown))
        write_video(video, side_by_side(shown), clip.fps)
        return {
            "rows": rows,
            "missing": unavailable(self.scores, self.size),
            "edits": [operation.describe() for operation in edits],
            "bytes": [target, self._stream("edited").stat().st_size],
            "streams": {name: str(self._stream(name)) for name in names},
            "video": str(video),
            "sheet": str(sheet),
        }

    def _step(self, text: str) -> None:
        self._done += 1
        if self._lines:  # minutes would pass in silence in a pipe or a log
            print(f"[{self._done}/{self._steps}] {text}", file=sys.stderr, flush=True)
        self._bar.set_description(text)
        self._bar.update()

    def _stream(self, name: str) -> Path:
        return self.output / f"{name}.hvc"

    def _encode(self, variant: str, clip: Clip, source: Source) -> float:
        """Writes the stream of a variant; returns frames a second, once everything is compiled."""
        self._step(f"coding, {variant}")
        path = self.models / f"{variant}.safetensors" if self.models else None
        codec = codec_of_variant(variant, path)

        def code(file: BinaryIO) -> None:
            options = EncodeOptions(key_qp=FIELD_KEY_QP if variant == "hybrid" else self.key_qp)
            count = len(clip.frames)
            codec.encode(
                clip.frames, file, fps=clip.fps, options=options, source=source, frame_count=count
            )

        code(io.BytesIO())  # compiles for clips of this length
        started = time.perf_counter()
        with atomic_path(self._stream(variant)) as temporary, temporary.open("wb") as file:
            code(file)
        return len(clip.frames) / (time.perf_counter() - started)

    def _edit(self, edits: Sequence[Operation]) -> None:
        """Writes edited.hvc and makes sure that its key frame has the same bytes."""
        self._step("editing")
        path = self.models / "semantic.safetensors" if self.models else None
        tables = export_of_variant("semantic", path).tables
        before = self._stream(_EDITED).read_bytes()
        write_bytes(self._stream("edited"), edit(before, edits, tables))
        if _keys(self._stream("edited")) != _keys(self._stream(_EDITED)):
            raise RuntimeError("the edit changed a key frame; please report this")

    def _decode(self, names: Sequence[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Frames of the streams, and decoded frames a second, from a process that has the files."""
        self._step("decoding in a fresh process")
        frames, rates = {}, {}
        folder = Path(tempfile.mkdtemp(prefix="decoded.", dir=self.output))
        try:
            streams = [self._stream(name) for name in names]
            folders = (self.models,) if self.models else ()
            for name, item in zip(
                names, decode_in_fresh_process(streams, folder, folders), strict=True
            ):
                frames[name] = read_pictures(item.folder)
                rates[name] = item.frames_per_second
        finally:
            shutil.rmtree(folder)
        return frames, rates

    def _row(self, clip: Clip, codec: str, size: int, frames: np.ndarray) -> dict[str, Any]:
        """What every codec's row has."""
        scores = Original(clip.frames, clip.fps, self.scores).score(frames)
        count = len(clip.frames)
        return {
            "codec": codec,
            "total": size,
            "kbps": kbps(size, count, clip.fps),
            "bits/frame": size * 8 / count,
        } | {title: scores[name] for name, title in _SCORES.items()}

    def _columns(self, variant: str) -> dict[str, int]:
        """Bytes by unit type."""
        sizes = unit_columns(self._stream(variant))
        return {name.removesuffix("_bytes"): size for name, size in sizes.items()}


_COLUMNS = (
    "codec", "header", "key", "static", "motion", "field", "other", "total", "kbps",
    "bits/frame", *_SCORES.values(), "enc f/s", "dec f/s",
)  # fmt: skip


def told(record: dict[str, Any]) -> str:
    """What `Demo.run` returned, in words: the table, what to make of it, where the files are."""
    rows = {row["codec"]: row for row in record["rows"]}
    shown = [t for t in _SCORES.values() if any(row[t] is not None for row in rows.values())]
    columns = [name for name in _COLUMNS if name not in _SCORES.values() or name in shown]
    ours = rows[_EDITED]
    parameters = ours["static"] + ours["motion"]
    lines = ["", text_table(record["rows"], columns), "", _ABOUT]
    beside = next((row for name, row in rows.items() if name.startswith("VVC")), None)
    if beside:
        pairs = [f"{t} {format_value(ours[t])} and {format_value(beside[t])}" for t in shown]
        lines.append(
            f"Here, {_EDITED} and {beside['codec']}: {', '.join(pairs)}, of {ours['total']} and "
            f"{beside['total']} bytes; {parameters} bytes are the parameters that are edited."
        )
    lines += ["", *(f"{name}: left out. {reason}" for name, reason in record["missing"].items())]
    before, after = record["bytes"]
    return "\n".join(
        [
            *lines,
            f"edited: {'; '.join(record['edits'])}; {before} -> {after} bytes, key frame "
            "untouched, byte for byte",
            f"streams: {', '.join(record['streams'].values())}",
            f"look at: {record['video']}",
            f"         {record['sheet']}",
        ]
    )


def _keys(path: Path) -> list[bytes]:
    """The payloads of the KEY units of a stream."""
    with path.open("rb") as file:
        units = StreamReader(file).units()
        return [unit.payload for unit in units if unit.type == UnitType.KEY]
