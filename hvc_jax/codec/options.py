"""What the caller decides about a stream, and what the networks can work on."""

import dataclasses
from collections.abc import Sequence

from hvc_jax.stream.header import MAX_QUANTISER
from hvc_jax.stream.vectors import QUANTISER_ONE

LATENT_KEY_QP, FIELD_KEY_QP = 32, 42
"""Quantisation parameters of key pictures where none is given: one picture, or many."""

SIDE_MULTIPLE = 32
"""Sides are multiples of it: the networks work down to 1/32 of the picture."""
MIN_SIDE, MAX_SIDE = 64, 2048


class CodecError(ValueError):
    """Frames or a stream that this codec cannot work on; the message says what to change."""


@dataclasses.dataclass(frozen=True)
class EncodeOptions:
    """What the caller decides about a stream.

    Attributes:
      key_qp: 0 (finest) to 63, quantisation parameter of key pictures on the scale of VVC; None for
        the variant's own. Variants with a displacement field choose everything else to match.
      key_every: frames from one key frame to the next; 0 = only the first frame.
      key_codec: "vvc", "av1", or "auto" for the best that this machine writes.
      quantiser: scales the steps of all parameters by quantiser / 64.
      group_frames: frames a MOTION unit; 1 has the lowest delay, more are smaller.
      resync_groups: every so many MOTION units one that decodes on its own; 0 = only at keys.
      cuts: whether a scene cut gets a key frame.
      rate_weight: error that saving a bit may cost, in squared steps; 0 rounds to the nearest.
      hold: whether frames that motion would make worse show the key picture instead.
      effort: 0 to 3, how long bodies are fitted to keypoints and pixels and how far the encoder
        looks ahead; from 2 on vectors and tokens are polished by gradient through the decoder, and
        errors of a semantic stream count by the pixels that the mesh moves.
      lookahead: None, or 0 for variants with a displacement field: then a frame's bytes leave when
        the frame came, and nothing before a frame depends on it.
      key_spacing: frames between inter-coded key pictures of a variant with a displacement field; 0
        chooses by rate-distortion.
      target_bytes: size of the whole stream of such a variant; 0 for what `key_qp` gives.
      target_kbps: the same as kilobits (1000 bits) a second.
      lmbda: mean squared error of a frame, 8-bit steps, that a bit is worth, for such a variant; 0
        for what belongs to `key_qp`.
    """

    key_qp: int | None = None
    key_every: int = 0
    key_codec: str = "auto"
    quantiser: int = QUANTISER_ONE
    group_frames: int = 256
    resync_groups: int = 0
    cuts: bool = True
    rate_weight: float = 0.2
    hold: bool = True
    effort: int = 1
    lookahead: int | None = None
    key_spacing: int = 0
    target_bytes: int = 0
    target_kbps: float = 0.0
    lmbda: float = 0.0

    def __post_init__(self) -> None:
        if self.key_qp is not None and not 0 <= self.key_qp <= 63:
            raise CodecError(f"key_qp is {self.key_qp}; use 0 (finest) to 63")
        if not 1 <= self.quantiser <= MAX_QUANTISER:
            raise CodecError(f"quantiser is {self.quantiser}; use 64, or 1 to {MAX_QUANTISER}")
        if self.key_spacing < 0:
            raise CodecError(f"key_spacing is {self.key_spacing}; give frames, or 0 to choose")
        if min(self.target_bytes, self.target_kbps, self.lmbda) < 0:
            raise CodecError("target_bytes, target_kbps and lmbda are 0 (none) or more")
        if self.lookahead not in (None, 0):
            raise CodecError(f"lookahead is {self.lookahead}; give 0 for no delay, or leave it out")
        if self.lookahead == 0 and (self.target_bytes or self.target_kbps):
            raise CodecError(
                "a stream without lookahead meets no target; give key_qp or lmbda instead"
            )
        given = self.target_bytes, self.target_kbps, self.lmbda, self.key_qp is not None
        if sum(map(bool, given)) > 1:
            raise CodecError("give one of key_qp, lmbda, target_bytes and target_kbps")
        if self.key_every < 0:
            raise CodecError(f"key_every is {self.key_every}; give frames >= 1, or 0 for one key")


@dataclasses.dataclass(frozen=True)
class Source:
    """How the clip was fitted to the picture, for the header."""

    fit: str = "none"  # "none", "crop" or "pad"
    width: int = 0  # of the clip, pixels
    height: int = 0  # of the clip, pixels
    # what else was done to it, for a META unit; read at the end of encoding
    notes: Sequence[str] = ()

    @classmethod
    def made_square(cls, width: int, height: int, fit: str, notes: Sequence[str] = ()) -> "Source":
        """The source of a square picture from a clip of width x height pixels, by `fit`."""
        return cls(notes=notes) if width == height else cls(fit, width, height, notes)

    def describe(self) -> str:
        """How the clip was fitted, in words."""
        if self.fit == "none":
            return "scaled as a whole"
        if self.fit == "crop":
            return f"centre cropped from {self.width}x{self.height} (--fit pad keeps all of it)"
        return f"padded with black from {self.width}x{self.height}"


def check_side(name: str, pixels: int) -> int:
    """`pixels`, if networks can work on such a side, else CodecError, which proposes another."""
    if pixels % SIDE_MULTIPLE == 0 and MIN_SIDE <= pixels <= MAX_SIDE:
        return pixels
    near = round(pixels / SIDE_MULTIPLE) * SIDE_MULTIPLE
    near = min(max(near, MIN_SIDE), MAX_SIDE)
    raise CodecError(
        f"{name} {pixels} is not a multiple of {SIDE_MULTIPLE} from {MIN_SIDE} to {MAX_SIDE}; "
        f"use {near}"
    )
