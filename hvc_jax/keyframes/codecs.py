"""The codecs of key pictures: their numbers in the stream, and which of them can write here."""

from hvc_jax.keyframes import av1, vvc
from hvc_jax.keyframes.picture import KeyPictureError

VVC, AV1 = 1, 2
"""Codec numbers in the stream."""

MODULES = {VVC: vvc, AV1: av1}

_NAMES = {"vvc": VVC, "av1": AV1}


def choose(codec: str, qp: int) -> int:
    """Returns the number of a codec that can be written here at this QP.

    `codec`: "vvc", "av1", or "auto" for the best. Raises KeyPictureError: the codec is unknown or
    missing here, or the QP is not in 0..63.
    """
    if not 0 <= qp <= 63:
        raise KeyPictureError(f"Key picture QP {qp} is out of range; use 0 (finest) to 63.")
    if codec == "auto":
        return VVC if vvc.available() else AV1
    if codec not in _NAMES:
        raise KeyPictureError(f"Key picture codec {codec!r} is unknown; use auto, vvc or av1.")
    if not MODULES[_NAMES[codec]].available():
        raise KeyPictureError(f"This machine cannot write {codec} key pictures; use auto.")
    return _NAMES[codec]


def check(codec: int) -> None:
    """Raises KeyPictureError for a codec number that no stream of this version has."""
    if codec not in MODULES:
        raise KeyPictureError(f"Key picture codec {codec} is unknown; update hvc_jax.")
