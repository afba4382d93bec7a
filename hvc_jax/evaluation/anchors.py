"""The standards beside us: VVC, HEVC and AV1 by their best open encoders, and holding the key.

    frames -> [shrink] -> BT.709 10-bit 4:2:0 -> encoder -> elementary stream (its bytes count)
           <- [enlarge] <- RGB               <- decoder <-

The encoders are those in the ffmpeg program that imageio-ffmpeg bundles. All share our colour
conversion, 10 bits (fewer banding errors at equal rate in all three), one intra picture at the
start and an elementary stream without a file format around it, which would cost more than some
clips. Encoders have a coarsest setting; below its rate the clip is coded at half the size and
enlarged again, which also wins in quality at the lowest rates.
"""

import functools
import hashlib
import json
import math
import time
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from hvc_jax import keyframes
from hvc_jax.evaluation.anchor_codecs import BITS, CODECS, encoder_options
from hvc_jax.keyframes.picture import coded_size, crop, pad
from hvc_jax.ops import ffmpeg
from hvc_jax.ops.color import rgb_to_yuv420, yuv420_to_rgb
from hvc_jax.ops.files import write_bytes, write_text

_MIN_SIDE = 64


class AnchorError(ValueError):
    """An anchor cannot be coded; one sentence with the reason and the fix."""


class Anchor(NamedTuple):
    """A clip that a conventional codec coded and decoded."""

    codec: str  # a name of `CODECS`, or "hold"
    qp: int  # the encoder's quality setting (QP of VVC and hold, CRF of HEVC and AV1)
    scale: float  # size at which it was coded, relative to the clip
    bytes: int  # length of the elementary stream
    frames: np.ndarray  # [T, H, W, 3] uint8 RGB, decoded from that stream
    # wall clock of the encoder, all its threads; None if not measured
    encode_seconds: float | None = None
    decode_seconds: float | None = None  # wall clock of the decoder


@functools.cache
def available(codec: str) -> bool:
    """Returns whether the bundled ffmpeg has the encoder of a codec of `CODECS`."""
    return CODECS[codec].library in ffmpeg.listing("-encoders")


def code_clip(
    frames: np.ndarray,  # The clip
    fps: Fraction | float,  # frames per second
    codec: str,  # a name of `CODECS`
    qp: int,  # QP (VVC) or CRF (HEVC, AV1)
    effort: str = "fast",  # "fast" for a demonstration, "good", or "best" for published figures
    scale: float = 1.0,  # below 1, the clip is shrunk first and enlarged again by Lanczos filters
    # folder that keeps streams; what was coded before with the same frames, settings and ffmpeg is
    # only decoded again
    cache: Path | None = None,
) -> Anchor:
    """Returns a clip [T, H, W, 3] uint8 RGB coded at one quality setting, and decoded again.

    Raises AnchorError: the encoder is missing or failed.
    """
    if codec not in CODECS:
        raise AnchorError(f"Anchor {codec!r} is unknown; use one of {', '.join(CODECS)}.")
    if not available(codec):
        raise AnchorError(f"The bundled ffmpeg has no {CODECS[codec].library}; leave {codec} out.")
    height, width = frames.shape[1:3]
    small = [_resize(f, round(height * scale), round(width * scale)) for f in frames]
    command = _encode_command(small[0], Fraction(fps).limit_denominator(60000), codec, qp, effort)
    stream, encode_seconds = _coded(small, command, codec, cache)
    started = time.perf_counter()
    decoded = _decode(stream, CODECS[codec].format, *small[0].shape[:2])
    decode_seconds = time.perf_counter() - started
    if len(decoded) != len(frames):
        raise AnchorError(f"{codec} gave back {len(decoded)} of {len(frames)} frames.")
    enlarged = np.stack([_resize(f, height, width) for f in decoded])
    return Anchor(codec, qp, scale, len(stream), enlarged, encode_seconds, decode_seconds)


def nearest_rate(
    frames: np.ndarray, fps: Fraction | float, codec: str, target_bytes: int, trials: int = 4
) -> Anchor:
    """Returns the coding whose size comes nearest to a target (in the ratio of the sizes).

    Searches the quality setting by secants on the logarithm of the size, `trials` at most; 4
    usually end within 5 %. Where even the coarsest setting is more than a tenth too large, it goes
    on at half the size. `frames` are [T, H, W, 3] uint8 RGB, `codec` is a name of `CODECS`, or
    "hold".
    """
    best: Anchor | None = None
    for scale in (1.0, 0.5):
        if scale < 1 and min(frames.shape[1:3]) * scale < _MIN_SIDE:
            break
        found = _search(frames, fps, codec, target_bytes, trials, scale)
        if best is None or _miss(found, target_bytes) < _miss(best, target_bytes):
            best = found
        if best.bytes <= 1.1 * target_bytes or codec == "hold":
            break
    assert best is not None
    return best


def qp_for_size(tried: dict[int, Anchor], codec: str, target_bytes: int) -> int | None:
    """Returns the quality setting that should come nearer to a size; None if none does.

    `tried` are codings of one clip by one codec at one scale, by quality setting.
    """
    if min(_miss(anchor, target_bytes) for anchor in tried.values()) < math.log(1.15):
        return None
    low, high = CODECS[codec].qp_range
    qp = min(max(_next_guess(tried, target_bytes), low), high)
    return None if qp in tried else qp


def hold(frames: np.ndarray, qp: int | None) -> Anchor:
    """Returns the coded first frame, raw for `qp` None, shown for the whole clip [T, H, W, 3]."""
    if qp is None:
        return Anchor("hold", -1, 1.0, frames[0].size, np.broadcast_to(frames[:1], frames.shape))
    key = keyframes.encode(frames[0], qp)
    picture = keyframes.decode(*key, *frames.shape[1:3])
    still = np.broadcast_to(picture[None], frames.shape)
    return Anchor("hold", qp, 1.0, len(key.payload), still)


def _search(
    frames: np.ndarray, fps: Fraction | float, codec: str, target: int, trials: int, scale: float
) -> Anchor:
    """Returns the nearest of a few codings at one size."""
    low, high = (10, 63) if codec == "hold" else CODECS[codec].qp_range
    guess = 37 if codec == "hold" else CODECS[codec].first_guess - (10 if scale < 1 else 0)
    tried: dict[int, Anchor] = {}
    for _ in range(trials):
        if tried and scale == 1 and codec != "hold" and guess > high + 3:
            break  # out of reach at this size
        qp = min(max(guess, low), high)
        if qp in tried:
            break
        one = hold(frames, qp) if codec == "hold" else None
        tried[qp] = one or code_clip(frames, fps, codec, qp, "fast", scale)
        guess = _next_guess(tried, target)
    return min(tried.values(), key=lambda anchor: _miss(anchor, target))


def _next_guess(tried: dict[int, Anchor], target: int) -> int:
    """Returns the next quality setting by the secant through the two nearest trials."""
    near = sorted(tried.values(), key=lambda anchor: _miss(anchor, target))[:2]
    slope = -0.13  # log2 of the size a QP step; 2 ** -0.13 is typical at these rates
    if len(near) == 2:
        measured = math.log2(near[0].bytes / near[1].bytes) / (near[0].qp - near[1].qp)
        slope = min(measured, -0.03)
    return round(near[0].qp + math.log2(target / near[0].bytes) / slope)


def _miss(anchor: Anchor, target: int) -> float:
    return abs(math.log(anchor.bytes / max(target, 1)))


def _encode_command(
    frame: np.ndarray, fps: Fraction, codec: str, qp: int, effort: str
) -> list[str]:
    """Returns ffmpeg's arguments that code frames like this one."""
    height, width = coded_size(*frame.shape[:2], _MIN_SIDE)
    command = ["-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", f"{width}x{height}"]
    command += ["-r", f"{fps.numerator}/{fps.denominator}", "-i", "-"]
    return [*command, *encoder_options(codec, qp, effort), "-f", CODECS[codec].format, "-"]


def _coded(
    frames: list[np.ndarray], command: list[str], codec: str, cache: Path | None
) -> tuple[bytes, float]:
    """Returns the elementary stream of frames of one size, and the seconds that coding took."""
    padded = pad(frames, _MIN_SIDE)
    planes = b"".join(plane.tobytes() for f in padded for plane in rgb_to_yuv420(f, BITS))
    kept = None
    if cache is not None:
        about = hashlib.sha256(planes)
        about.update(json.dumps([ffmpeg_version(), *command]).encode())
        kept = cache / f"{about.hexdigest()[:24]}.{CODECS[codec].format}"
        record = kept.with_suffix(".json")
        if kept.exists() and record.exists():
            return kept.read_bytes(), json.loads(record.read_text())["encode_seconds"]
    started = time.perf_counter()
    stream = _ffmpeg(command, planes, codec)
    seconds = time.perf_counter() - started
    if kept is not None:
        cache.mkdir(parents=True, exist_ok=True)
        write_text(record, json.dumps({"encode_seconds": seconds, "ffmpeg": command}) + "\n")
        write_bytes(kept, stream)  # last, so that a stream that is there has its record
    return stream, seconds


@functools.cache
def ffmpeg_version() -> str:
    """Returns the first line that the bundled ffmpeg says of itself."""
    return ffmpeg.listing("-version").partition("\n")[0].strip()


def _decode(stream: bytes, container: str, height: int, width: int) -> list[np.ndarray]:
    """Returns the frames [height, width, 3] uint8 of an elementary stream."""
    command = ["-f", container, "-i", "-", "-fps_mode", "passthrough"]
    command += ["-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-"]
    samples = np.frombuffer(_ffmpeg(command, stream, container), "<u2")
    rows, columns = coded_size(height, width, _MIN_SIDE)
    luma, chroma = rows * columns, rows * columns // 4
    frames = []
    for picture in samples.reshape(-1, luma + 2 * chroma):
        y, cb, cr = np.split(picture, [luma, luma + chroma])
        half = (rows // 2, columns // 2)
        rgb = yuv420_to_rgb(y.reshape(rows, columns), cb.reshape(half), cr.reshape(half), BITS)
        frames.append(crop(rgb, height, width))
    return frames


def _ffmpeg(arguments: list[str], data: bytes, what: str) -> bytes:
    """Returns what ffmpeg writes to its output; AnchorError with its last line: it failed."""
    try:
        made = ffmpeg.run(arguments, data)
    except ffmpeg.FfmpegError as error:
        raise AnchorError(f"ffmpeg failed on {what}: {error}") from error
    if not made:
        raise AnchorError(f"ffmpeg failed on {what}: it wrote nothing")
    return made


def _resize(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns a frame at another size by Lanczos filtering; itself where the size is right."""
    if frame.shape[:2] == (height, width):
        return frame
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS))
