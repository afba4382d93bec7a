"""What every key-picture codec shares: its error, and padding to a multiple of eight."""

import numpy as np


class KeyPictureError(ValueError):
    """A key picture cannot be written or read; the message is one plain sentence."""


def pad_to_eight(picture: np.ndarray) -> np.ndarray:
    """Returns a picture [H, W, 3] with its last row and column repeated to multiples of 8.

    Eight is the smallest coding unit of VVC; padding here keeps the codec's own cropping fields
    out of the stream.
    """
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, -height % 8), (0, -width % 8), (0, 0)), mode="edge")


def crop(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns the top left [height, width, 3] of a padded picture."""
    return np.ascontiguousarray(picture[:height, :width])
