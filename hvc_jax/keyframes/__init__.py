"""Key pictures: picture <-> bytes, by conventional codecs.

`encode` and `decode` are for one intra picture, `encode_sequence` and `SequenceDecoder` for sparse
pictures predicted from one another: VVC where the bundled ffmpeg has libvvenc, AV1 elsewhere, the
choice written in the stream as a small number.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hvc_jax.keyframes import av1, vvc
from hvc_jax.keyframes.codecs import AV1, MODULES, VVC, choose
from hvc_jax.keyframes.picture import KeyPictureError
from hvc_jax.keyframes.sequence import CodedKey, SequenceDecoder, encode_sequence

__all__ = [
    "AV1",
    "VVC",
    "CodedKey",
    "KeyPicture",
    "KeyPictureError",
    "SequenceDecoder",
    "decode",
    "encode",
    "encode_pictures",
    "encode_sequence",
]


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

    Raises KeyPictureError: the codec is unknown or missing here, or the QP is out of range.
    """
    number = choose(codec, qp)
    return KeyPicture(number, MODULES[number].encode(picture, qp))


def decode(codec: int, payload: bytes, height: int, width: int) -> np.ndarray:
    """Returns the picture [height, width, 3] uint8 RGB of a payload; else KeyPictureError."""
    return SequenceDecoder(height, width).push(codec, payload)


def encode_pictures(
    pictures: Sequence[np.ndarray], qp: int, preset: str = "fast", codec: str = "auto"
) -> list[np.ndarray]:
    """Returns pictures [H, W, 3] uint8 RGB as a decoder would see them, coded by one run.

    They are for training data, all of one shape. `preset`: libvvenc's; "fast" costs 2 % more bytes
    than "medium" at a quarter of the time. `qp`, `codec`: as in `encode`.
    """
    if not pictures:
        return []
    number = choose(codec, qp)
    height, width = pictures[0].shape[:2]
    if number == VVC:
        payloads = vvc.encode_many(pictures, qp, preset)
    else:
        payloads = [av1.encode(picture, qp, preset=6) for picture in pictures]
    return [decode(number, payload, height, width) for payload in payloads]
