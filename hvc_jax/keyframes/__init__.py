"""Key pictures: picture <-> bytes, by conventional intra codecs.

`encode` and `decode` are the whole interface of the codec: VVC where the bundled ffmpeg has
libvvenc, AV1 elsewhere, the choice written in the stream as a small number.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hvc_jax.keyframes import avif, vvc
from hvc_jax.keyframes.picture import KeyPictureError

__all__ = ["AV1", "VVC", "KeyPicture", "KeyPictureError", "decode", "encode", "encode_pictures"]

VVC, AV1 = 1, 2
"""Codec numbers in the stream."""

_NAMES = {"vvc": VVC, "av1": AV1}


class KeyPicture(NamedTuple):
    """A coded key picture: the codec's number and its bytes, parameter sets left out."""

    codec: int
    payload: bytes


def encode(picture: np.ndarray, qp: int = 32, codec: str = "auto") -> KeyPicture:
    """Returns a coded picture.

    Args:
        picture: [H, W, 3] uint8 RGB of any size up to 4096 pixels a side.
        qp: 0 (finest) to 63 on the scale of VVC.
        codec: "vvc", "av1", or "auto" for the best that this machine can write.

    Raises:
        KeyPictureError: the codec is unknown or missing here, or the QP is out of range.
    """
    number = _choose(codec, qp)
    return KeyPicture(number, (vvc if number == VVC else avif).encode(picture, qp))


def decode(codec: int, payload: bytes, height: int, width: int) -> np.ndarray:
    """Returns the picture [height, width, 3] uint8 RGB of a coded key picture.

    Raises:
        KeyPictureError: the codec number is unknown, or the payload is damaged.
    """
    if codec not in (VVC, AV1):
        raise KeyPictureError(f"Key picture codec {codec} is unknown; update hvc_jax.")
    try:
        return (vvc if codec == VVC else avif).decode(payload, height, width)
    except KeyPictureError:
        raise
    except ValueError as error:
        raise KeyPictureError(f"The key picture is damaged ({error}).") from error


def encode_pictures(
    pictures: Sequence[np.ndarray], qp: int, preset: str = "fast", codec: str = "auto"
) -> list[np.ndarray]:
    """Returns pictures as a decoder would see them, coded by one run: for training data.

    Args:
        pictures: [H, W, 3] uint8 RGB each, all of one shape.
        qp: 0 to 63.
        preset: libvvenc's; "fast" costs 2 % more bytes than "medium" at a quarter of the time.
        codec: as in `encode`.

    Returns:
        Pictures [H, W, 3] uint8, in the same order.
    """
    if not pictures:
        return []
    number = _choose(codec, qp)
    height, width = pictures[0].shape[:2]
    if number == VVC:
        payloads = vvc.encode_many(pictures, qp, preset)
    else:
        payloads = [avif.encode(picture, qp, preset=6) for picture in pictures]
    return [decode(number, payload, height, width) for payload in payloads]


def _choose(codec: str, qp: int) -> int:
    """Returns the codec number of a name that can be written here."""
    if not 0 <= qp <= 63:
        raise KeyPictureError(f"Key picture QP {qp} is out of range; use 0 (finest) to 63.")
    if codec == "auto":
        return VVC if vvc.available() else AV1
    if codec not in _NAMES:
        raise KeyPictureError(f"Key picture codec {codec!r} is unknown; use auto, vvc or av1.")
    if not (vvc if codec == "vvc" else avif).available():
        raise KeyPictureError(f"This machine cannot write {codec} key pictures; use auto.")
    return _NAMES[codec]
