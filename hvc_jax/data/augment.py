"""The random view of a training pair: crop, flip and colour, the same for key and target.

Everything runs in Pillow's C loops on 8-bit pictures; the body vectors follow the picture.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from hvc_jax.body.params import CAMERA, mirror

_LUMA = np.array([0.2126, 0.7152, 0.0722])


class View(NamedTuple):
    """What happens to both pictures of a pair."""

    # (left, top, right, bottom) of the crop in [0, 1] of the picture
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    flip: bool = False  # Whether the crop is mirrored
    matrix: np.ndarray | None = None  # [3, 4] colour matrix on RGB in [0, 255], None for no change
    gamma: float = 1.0  # Exponent on each channel in [0, 1] after the matrix


def random_view(
    rng: np.random.Generator, flip: float = 0.5, crop: float = 1.0, jitter: float = 0.0
) -> View:
    """Returns a random view, mirrored with probability `flip`.

    `crop` is the smallest side of the crop as a share of the picture, in (0, 1]; 1 keeps it whole.
    `jitter` is the strength of the colour change; 0.2 is gains of +-20 %, and saturation and gamma
    alike.
    """
    side = rng.uniform(crop, 1.0)
    left, top = rng.uniform(0, 1 - side, 2)
    flipped = bool(rng.random() < flip)
    gains = rng.uniform(1 - jitter, 1 + jitter, 3)
    tint = rng.uniform(1 - jitter / 3, 1 + jitter / 3, 3)
    gamma = float(np.exp(rng.uniform(-jitter, jitter)))
    matrix = None
    if jitter > 0:
        brightness, contrast, saturation = gains
        mix = saturation * np.eye(3) + (1 - saturation) * np.outer(np.ones(3), _LUMA)
        mix = brightness * contrast * tint[:, None] * mix
        matrix = np.concatenate([mix, np.full((3, 1), 127.5 * (1 - contrast))], axis=1)
    return View((left, top, left + side, top + side), flipped, matrix, gamma)


def apply_view(view: View, picture: Image.Image, size: int) -> np.ndarray:
    """Returns a picture under `view`, uint8 `[size, size, 3]`; pixels are averaged by area."""
    width, height = picture.size
    left, top, right, bottom = view.box
    box = (left * width, top * height, right * width, bottom * height)
    if picture.mode != "RGB":
        picture = picture.convert("RGB")
    if (width, height) != (size, size) or view.box != (0.0, 0.0, 1.0, 1.0):
        shrinks = (right - left) * width >= size
        method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
        # A box filter at a ratio near 1 duplicates columns; a triangle filter is smooth there.
        if shrinks and (right - left) * width < 1.5 * size:
            method = Image.Resampling.BILINEAR
        picture = picture.resize((size, size), method, box=box)
    if view.flip:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if view.matrix is not None:
        picture = picture.convert("RGB", tuple(view.matrix.ravel()))
        table = 255 * (np.arange(256) / 255) ** view.gamma
        picture = picture.point(np.tile(np.rint(table), 3).astype(int).tolist())
    return np.asarray(picture)


def view_body(view: View, body: np.ndarray) -> np.ndarray:
    """Returns the body vectors `[*, 188]` as seen in the cropped, mirrored picture.

    Under u' = (u - c) / s the weak-perspective camera u = scale (X + x), v = -scale (Y + y) becomes
    scale' = scale / s, x' = x - c_u / scale, y' = y + c_v / scale. Vectors with scale 0 (no body
    known) keep their camera.
    """
    left, top, right, bottom = view.box
    side = right - left
    centre_u, centre_v = left + right - 1.0, top + bottom - 1.0
    out = np.array(body, np.float32)
    scale, x, y = np.moveaxis(out[..., CAMERA], -1, 0)
    known = scale > 0
    safe = np.where(known, scale, 1.0)
    camera = np.stack([scale / side, x - centre_u / safe, y + centre_v / safe], axis=-1)
    out[..., CAMERA] = np.where(known[..., None], camera, out[..., CAMERA])
    return mirror(out).astype(np.float32) if view.flip else out
