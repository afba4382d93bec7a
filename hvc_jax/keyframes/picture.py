"""What every key-picture codec shares: its error, and padding to a size that it can code."""

from collections.abc import Sequence

import av
import numpy as np


class KeyPictureError(ValueError):
    """A key picture cannot be written or read; the message is one plain sentence."""


def coded_size(height: int, width: int, minimum: int) -> tuple[int, int]:
    """Returns (height, width) of the picture that is coded: multiples of 8, not below `minimum`.

    Eight is the smallest coding unit of VVC; padding here keeps the codec's own cropping fields
    out of the stream.
    """
    return max(-(-height // 8) * 8, minimum), max(-(-width // 8) * 8, minimum)


def pad(pictures: Sequence[np.ndarray], minimum: int) -> list[np.ndarray]:
    """Pictures [H, W, 3] with borders repeated to `coded_size`; KeyPictureError: sizes differ."""
    if len({picture.shape for picture in pictures}) != 1:
        raise KeyPictureError("Key pictures of one run must have one size; code them separately.")
    height, width = pictures[0].shape[:2]
    rows, columns = coded_size(height, width, minimum)
    edges = ((0, rows - height), (0, columns - width), (0, 0))
    return [np.pad(picture, edges, mode="edge") for picture in pictures]


def crop(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns the top left [height, width, 3] of a padded picture."""
    return np.ascontiguousarray(picture[:height, :width])


def planes_of(frame: av.VideoFrame) -> list[np.ndarray]:
    """Returns the planes (Y, Cb, Cr) of a decoded yuv420p10le frame, [rows, columns] uint16."""
    return [
        np.frombuffer(plane, "<u2").reshape(plane.height, -1)[:, : plane.width]
        for plane in frame.planes
    ]
