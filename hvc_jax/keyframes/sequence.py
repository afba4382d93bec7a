"""Key pictures as a sparse inter-coded sequence: an intra picture, and others predicted from it.

    coded = encode_sequence([picture, picture, ...], qp=38, low_delay=False)
    decoder = SequenceDecoder(height, width)
    for key in coded:                                   # in coded order
        shown = decoder.push(key.codec, key.payload)    # what pictures[key.index] looks like

One payload gives one picture, at once: all that it is predicted from was pushed before. An intra
payload starts a new sequence; one that `hvc_jax.keyframes.encode` wrote is such a payload.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hvc_jax.keyframes import av1, gop, vvc
from hvc_jax.keyframes.codecs import MODULES, VVC, check, choose
from hvc_jax.keyframes.decoder import PictureDecoder
from hvc_jax.keyframes.picture import KeyPictureError


class CodedKey(NamedTuple):
    """A coded key picture of a sequence."""

    index: int  # which of the pictures handed to `encode_sequence` it shows
    codec: int  # the codec's number in the stream
    payload: bytes  # its bytes, without anything that both ends know


def encode_sequence(
    pictures: Sequence[np.ndarray],
    qp: int,
    *,
    low_delay: bool,
    codec: str = "auto",
    preset: str = "medium",
    perceptual: bool = True,
    structure: gop.Structure | None = None,
) -> list[CodedKey]:
    """Returns pictures coded as one sequence, in coded order; the first picture is intra.

    A single picture costs and shows exactly what `hvc_jax.keyframes.encode` makes of it.

    Args:
        pictures: [H, W, 3] uint8 RGB each, all of one shape, in the order of display.
        qp: quality, 0 (finest) to 63: of the intra picture, on the scale of VVC.
        low_delay: whether pictures are predicted from past ones only, coded in the order of
            display. Otherwise `CodedKey.index` tells the order.
        codec: "vvc", "av1", or "auto" for the best that this machine can write.
        preset: of libvvenc: "fast", "medium" or "slow"; others work and cost 60 bytes more.
        perceptual: whether QPs follow local activity in VVC (libvvenc's QPA): 12 % fewer bytes at
            equal LPIPS, 11 % more at equal PSNR. Without it a QP lower by about 6 gives as many.
        structure: which VVC picture is predicted from which, and QP offsets; None for
            `gop.LOW_DELAY` or `gop.REORDERED`.

    Raises KeyPictureError: the codec is unknown, missing here or failed, the QP is out of range, or
    the shapes differ.
    """
    number = choose(codec, qp)
    if not pictures:
        return []
    if structure is None:
        structure = gop.LOW_DELAY if low_delay else gop.REORDERED
    if structure.low_delay != low_delay:
        raise KeyPictureError("The GOP structure and low_delay disagree; give one of them only.")
    order = range(len(pictures))
    if len(pictures) == 1:
        payloads = [MODULES[number].encode(pictures[0], qp)]
    elif number == VVC:
        payloads = vvc.encode_sequence(pictures, qp, structure, preset, perceptual)
        order = gop.coded_order(len(pictures), structure)
    else:
        payloads = av1.encode_sequence(pictures, qp, low_delay)
    return [CodedKey(i, number, data) for i, data in zip(order, payloads, strict=True)]


class SequenceDecoder:
    """Decodes the payloads of key pictures one at a time, in coded order.

    It holds one decoder with the pictures that may still be referred to (at most 17 of the coded
    size), however long the sequence is.
    """

    def __init__(self, height: int, width: int):
        """Makes a decoder for pictures of height x width pixels; an intra payload comes first."""
        self._size = height, width
        self._codec = 0
        self._decoder: PictureDecoder | None = None

    def push(self, codec: int, payload: bytes) -> np.ndarray:
        """Returns the picture [height, width, 3] uint8 of the next payload in coded order.

        After an error, predicted payloads are refused until an intra one comes. Where a payload
        is lost, call `lose` in its place: a decoder cannot always tell that one is missing.
        Raises KeyPictureError: the codec number is unknown, the payload is damaged, or it is
        predicted and a picture before it is missing.
        """
        check(codec)
        if codec != self._codec or self._decoder is None:
            self._codec, self._decoder = codec, MODULES[codec].Decoder(*self._size)
        try:
            return self._decoder.push(payload)
        except KeyPictureError:
            raise
        except ValueError as error:
            raise KeyPictureError(f"The key picture is damaged ({error}).") from error

    def lose(self) -> None:
        """Makes the decoder refuse predicted payloads until the next intra one."""
        self._decoder = None
