"""How the conventional encoders are asked: which there are, at which settings, and why.

Settings are those of the encoders in the ffmpeg program that imageio-ffmpeg bundles. What every
option does is said line by line in experiments/README.md.
"""

from typing import NamedTuple

BITS = 10
"""Fewer banding errors at equal rate than 8 bits, in all three codecs."""

NO_REFRESH = 1 << 20
"""An intra period that no clip reaches."""

HALF = "-half"
"""Ending of an anchor that is coded at half the width and height and enlarged again."""


class Encoder(NamedTuple):
    """How ffmpeg is asked for a codec; `presets` are for effort "fast", "good" and
    "best", which on a clip of 32 frames at 256x256 take 0.4, 2.2 and 5.5 CPU-seconds for VVC.
    """

    library: str  # ffmpeg's name of the encoder
    format: str  # ffmpeg's name of the elementary stream
    presets: dict[str, str]  # by effort
    qp_range: tuple[int, int]  # finest and coarsest quality setting that is used
    first_guess: int  # where a search for a rate begins
    default_qps: tuple[int, ...]  # rate points for evaluation, at full size
    half_qps: tuple[int, ...]  # at half size


_VVC = {"fast": "faster", "good": "medium", "best": "slow"}
_PROTOCOL, _COARSER = (37, 42, 47, 52), (32, 37, 42, 47)

CODECS = {
    # Random access: hierarchical groups of 32 pictures, libvvenc's default and best.
    "vvc": Encoder("libvvenc", "vvc", _VVC, (10, 63), 47, _PROTOCOL, _COARSER),
    # Low delay: decoding order is display order, groups of 8.
    "vvc-ld": Encoder("libvvenc", "vvc", _VVC, (10, 63), 49, _PROTOCOL, _COARSER),
    "hevc": Encoder(
        "libx265", "hevc", {"fast": "medium", "good": "slower", "best": "veryslow"},
        (10, 51), 44, (36, 41, 46, 51), (31, 36, 41, 46),
    ),
    "av1": Encoder(
        "libsvtav1", "obu", {"fast": "7", "good": "4", "best": "2"}, (10, 63), 60,
        (43, 50, 57, 63), (35, 43, 50, 57),
    ),
}  # fmt: skip

ANCHORS = tuple(f"{codec}{ending}" for codec in CODECS for ending in ("", HALF))
"""All anchors by name."""


def codec_and_scale(anchor: str) -> tuple[str, float]:
    """Returns a name of `CODECS` and the size relative to the clip for a name of `ANCHORS`."""
    codec = anchor.removesuffix(HALF)
    return codec, 1.0 if codec == anchor else 0.5


def default_qps(anchor: str) -> tuple[int, ...]:
    """Returns the quality settings at which an anchor is evaluated."""
    codec, scale = codec_and_scale(anchor)
    return CODECS[codec].default_qps if scale == 1 else CODECS[codec].half_qps


def encoder_options(codec: str, qp: int, effort: str) -> list[str]:
    """Returns ffmpeg's options for a codec of `CODECS`, each with its reason.

    `qp` is a QP (VVC) or CRF (HEVC, AV1), `effort` "fast", "good" or "best".
    """
    encoder = CODECS[codec]
    options = ["-c:v", encoder.library, "-preset", encoder.presets[effort]]
    if encoder.library == "libvvenc":
        # One intra picture; no access unit delimiters. Perceptual QP adaptation stays on: at
        # equal rate it costs no PSNR here and helps every perceptual score.
        fields = [f"intraperiod={NO_REFRESH}", "accessunitdelimiter=0"]
        if codec == "vvc-ld":
            fields += ["gopsize=8", "picreordering=0", "decodingrefreshtype=none", "poc0idr=1"]
        return [*options, "-qp", str(qp), "-vvenc-params", ":".join(fields)]
    if encoder.library == "libx265":
        # keyint=-1: one intra picture; info=0: no 2 kB message with the settings; CRF beats
        # constant QP by its temporal weighting.
        fields = [f"crf={qp}", "keyint=-1", "info=0", "log-level=none", "bframes=8"]
        return [*options, "-x265-params", ":".join(fields)]
    return [*options, "-crf", str(qp), "-svtav1-params", "keyint=-1"]
