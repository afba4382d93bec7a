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
import math
import subprocess
from fractions import Fraction
from typing import NamedTuple

import imageio_ffmpeg
import numpy as np
from PIL import Image

from hvc_jax import keyframes
from hvc_jax.keyframes.picture import coded_size, crop, pad
from hvc_jax.ops.color import rgb_to_yuv420, yuv420_to_rgb

BITS = 10
_MIN_SIDE = 64
_NO_REFRESH = 1 << 20
"""An intra period that no clip reaches."""


class AnchorError(ValueError):
    """An anchor cannot be coded; one sentence with the reason and the fix."""


class Anchor(NamedTuple):
    """A clip that a conventional codec coded and decoded.

    Attributes:
        codec: a name of `CODECS`, or "hold".
        qp: the encoder's quality setting (QP of VVC and hold, CRF of HEVC and AV1).
        scale: size at which it was coded, relative to the clip.
        bytes: length of the elementary stream.
        frames: [T, H, W, 3] uint8 RGB, decoded from that stream.
    """

    codec: str
    qp: int
    scale: float
    bytes: int
    frames: np.ndarray


class _Encoder(NamedTuple):
    """How ffmpeg is asked for a codec; `presets` are for effort "fast" and "best"."""

    library: str
    format: str
    presets: dict[str, str]
    qp_range: tuple[int, int]
    first_guess: int


CODECS = {
    # Random access: hierarchical groups of 32 pictures, libvvenc's default and best.
    "vvc": _Encoder("libvvenc", "vvc", {"fast": "faster", "best": "medium"}, (10, 63), 47),
    # Low delay: decoding order is display order, groups of 8.
    "vvc-ld": _Encoder("libvvenc", "vvc", {"fast": "faster", "best": "medium"}, (10, 63), 49),
    "hevc": _Encoder("libx265", "hevc", {"fast": "medium", "best": "veryslow"}, (10, 51), 44),
    "av1": _Encoder("libsvtav1", "obu", {"fast": "7", "best": "3"}, (10, 63), 60),
}


@functools.cache
def available(codec: str) -> bool:
    """Returns whether the bundled ffmpeg has the encoder of a codec of `CODECS`."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-encoders"]
    listed = subprocess.run(command, capture_output=True, check=False)
    return CODECS[codec].library.encode() in listed.stdout


def code_clip(
    frames: np.ndarray,
    fps: Fraction | float,
    codec: str,
    qp: int,
    effort: str = "fast",
    scale: float = 1.0,
) -> Anchor:
    """Returns a clip coded at one quality setting, and decoded again.

    Args:
        frames: [T, H, W, 3] uint8 RGB.
        fps: frames per second.
        codec: a name of `CODECS`.
        qp: QP (VVC) or CRF (HEVC, AV1).
        effort: "fast" for a demonstration, "best" for published figures.
        scale: below 1, the clip is shrunk first and enlarged again by Lanczos filters.

    Raises:
        AnchorError: the encoder is missing or failed.
    """
    if codec not in CODECS:
        raise AnchorError(f"Anchor {codec!r} is unknown; use one of {', '.join(CODECS)}.")
    if not available(codec):
        raise AnchorError(f"The bundled ffmpeg has no {CODECS[codec].library}; leave {codec} out.")
    height, width = frames.shape[1:3]
    small = [_resize(f, round(height * scale), round(width * scale)) for f in frames]
    stream = _encode(small, Fraction(fps).limit_denominator(60000), codec, qp, effort)
    decoded = _decode(stream, CODECS[codec].format, *small[0].shape[:2])
    if len(decoded) != len(frames):
        raise AnchorError(f"{codec} gave back {len(decoded)} of {len(frames)} frames.")
    enlarged = np.stack([_resize(f, height, width) for f in decoded])
    return Anchor(codec, qp, scale, len(stream), enlarged)


def nearest_rate(
    frames: np.ndarray,
    fps: Fraction | float,
    codec: str,
    target_bytes: int,
    effort: str = "fast",
    trials: int = 4,
) -> Anchor:
    """Returns the coding whose size comes nearest to a target (in the ratio of the sizes).

    Searches the quality setting by secants on the logarithm of the size. Where even the coarsest
    setting is more than a tenth too large, it goes on at half the size.

    Args:
        frames: [T, H, W, 3] uint8 RGB.
        fps: frames per second.
        codec: a name of `CODECS`, or "hold".
        target_bytes: wanted size of the whole stream.
        effort: as in `code_clip`.
        trials: most codings at a size; 4 usually end within 5 %.
    """
    best: Anchor | None = None
    for scale in (1.0, 0.5):
        if scale < 1 and min(frames.shape[1:3]) * scale < _MIN_SIDE:
            break
        found = _search(frames, fps, codec, target_bytes, effort, trials, scale)
        if best is None or _miss(found, target_bytes) < _miss(best, target_bytes):
            best = found
        if best.bytes <= 1.1 * target_bytes or codec == "hold":
            break
    assert best is not None
    return best


def hold(frames: np.ndarray, qp: int | None) -> Anchor:
    """Returns the coded first frame shown for the whole clip: what sending no motion gives.

    Args:
        frames: [T, H, W, 3] uint8 RGB.
        qp: of the key picture; None holds the uncompressed frame (qp -1, the size of raw RGB).
    """
    if qp is None:
        return Anchor("hold", -1, 1.0, frames[0].size, np.broadcast_to(frames[:1], frames.shape))
    key = keyframes.encode(frames[0], qp)
    picture = keyframes.decode(*key, *frames.shape[1:3])
    still = np.broadcast_to(picture[None], frames.shape)
    return Anchor("hold", qp, 1.0, len(key.payload), still)


def _search(
    frames: np.ndarray,
    fps: Fraction | float,
    codec: str,
    target: int,
    effort: str,
    trials: int,
    scale: float,
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
        tried[qp] = one or code_clip(frames, fps, codec, qp, effort, scale)
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


def _arguments(codec: str, qp: int, effort: str) -> list[str]:
    """Returns ffmpeg's options for an encoder, each with its reason."""
    encoder = CODECS[codec]
    options = ["-c:v", encoder.library, "-preset", encoder.presets[effort]]
    if encoder.library == "libvvenc":
        # One intra picture; no access unit delimiters. Perceptual QP adaptation stays on: at
        # equal rate it costs no PSNR here and helps every perceptual score.
        fields = [f"intraperiod={_NO_REFRESH}", "accessunitdelimiter=0"]
        if codec == "vvc-ld":
            fields += ["gopsize=8", "picreordering=0", "decodingrefreshtype=none", "poc0idr=1"]
        return [*options, "-qp", str(qp), "-vvenc-params", ":".join(fields)]
    if encoder.library == "libx265":
        # keyint=-1: one intra picture; info=0: no 2 kB message with the settings; CRF beats
        # constant QP by its temporal weighting.
        fields = [f"crf={qp}", "keyint=-1", "info=0", "log-level=none", "bframes=8"]
        return [*options, "-x265-params", ":".join(fields)]
    return [*options, "-crf", str(qp), "-svtav1-params", "keyint=-1"]


def _encode(frames: list[np.ndarray], fps: Fraction, codec: str, qp: int, effort: str) -> bytes:
    """Returns the elementary stream of frames of one size."""
    padded = [pad(frame, _MIN_SIDE) for frame in frames]
    height, width = padded[0].shape[:2]
    command = ["-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", f"{width}x{height}"]
    command += ["-r", f"{fps.numerator}/{fps.denominator}", "-i", "-"]
    command += [*_arguments(codec, qp, effort), "-f", CODECS[codec].format, "-"]
    planes = b"".join(plane.tobytes() for f in padded for plane in rgb_to_yuv420(f, BITS))
    return _ffmpeg(command, planes, codec)


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
    """Returns what ffmpeg writes to its output.

    Raises:
        AnchorError: it failed; with the last line that it said.
    """
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error"]
    done = subprocess.run([*command, *arguments], input=data, capture_output=True, check=False)
    if done.returncode or not done.stdout:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise AnchorError(f"ffmpeg failed on {what}: {said[0]}")
    return done.stdout


def _resize(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns a frame at another size by Lanczos filtering; itself where the size is right."""
    if frame.shape[:2] == (height, width):
        return frame
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS))
