"""A decoded frame as a player shows it: square pixels, upright, opaque, standard range.

The order is that of ISO/IEC 14496-12: colour, hidden borders, then the shape of the pixels, then
the matrix that turns or mirrors the picture.
"""

import math
from enum import Enum
from fractions import Fraction
from typing import Any

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from PIL import Image

from hvc_jax.data.cropping import Crop
from hvc_jax.data.tone_mapping import BT2020, HLG, P3, PQ, to_standard_gamut, tone_map

BACKGROUND = 0
"""Grey level that shows through transparent pixels and around turned pictures: black, as padding.

It is also what most players show behind a video."""

_MAX_PIXEL_ASPECT = 16
_HDR_NAMES = {PQ: "PQ", HLG: "HLG"}
_GAMUTS = {BT2020: "BT.2020", P3: "Display P3"}


def shown(
    frame: Any,  # The frame
    pixel_aspect: Fraction | None = None,  # Width of a pixel divided by its height; None is 1
    # Shortest side that is of use; larger HDR pictures may be halved before the costly tone
    # mapping, down to not less than this
    least_side: int | None = None,
    crop: Crop | None = None,  # What the container hides
) -> np.ndarray:
    """Returns a decoded `av.VideoFrame` as it is shown, `[H, W, 3]` uint8 RGB of BT.709."""
    picture = _rgb(frame, least_side)
    if crop is not None and any(crop):
        picture = _cropped(picture, crop, picture.shape[1] / frame.width)
    picture = _with_pixel_aspect(picture, pixel_aspect)
    matrix = display_matrix(frame)
    return np.ascontiguousarray(picture if matrix is None else turned(picture, matrix))


def _cropped(picture: np.ndarray, crop: Crop, scale: float) -> np.ndarray:
    height, width = picture.shape[:2]
    left, right, top, bottom = (round(scale * side) for side in crop)
    if left + right >= width or top + bottom >= height:
        return picture
    return picture[top : height - bottom, left : width - right]


def remarks(
    frame: Any, pixel_aspect: Fraction | None = None, crop: Crop | None = None
) -> list[str]:
    """Returns what `shown` does to such a frame that a user should know, as short phrases."""
    said = []
    transfer = getattr(frame, "color_trc", None)
    if transfer in _HDR_NAMES:
        name = _HDR_NAMES[transfer]
        said.append(f"HDR ({name}) tone-mapped to standard range by BT.2390")
    elif _wide_gamut(frame):
        said.append(f"colours of {_GAMUTS[frame.color_primaries]} brought to BT.709")
    if _has_alpha(frame) and (_array(frame, "rgba")[..., 3] < 255).any():
        said.append("transparent pixels put on black")
    if crop is not None and any(crop):
        said.append("borders that the container hides cut off")
    if _stretch(pixel_aspect) != 1:
        said.append(
            f"pixels of shape {pixel_aspect.numerator}:{pixel_aspect.denominator} made square"
        )
    matrix = display_matrix(frame)
    if matrix is not None and not np.array_equal(np.sign(matrix), np.eye(2)):
        mirrored = np.linalg.det(matrix) < 0
        said.append("mirrored as its display matrix says" if mirrored else "turned upright")
    return said


def over_background(picture: np.ndarray) -> np.ndarray:
    """Returns `[H, W, 4]` uint8 RGBA (straight alpha) over `BACKGROUND`, `[H, W, 3]` uint8."""
    alpha = picture[..., 3:].astype(np.uint16)
    mixed = picture[..., :3] * alpha + BACKGROUND * (255 - alpha) + 127
    return (mixed // 255).astype(np.uint8)


def _unnamed(kinds: type[Enum], value: int) -> Any:
    member = object.__new__(kinds)
    member._name_, member._value_ = f"UNNAMED_{value}", value
    return member


# PyAV gives none of a frame's side data where it has no name for the kind of one of them: that of
# Exif beside JPEG pictures, of the view of stereoscopic HEVC.
Type._missing_ = classmethod(_unnamed)  # type: ignore[assignment]


def display_matrix(frame: Any) -> np.ndarray | None:
    """Returns the 2x2 part `[[a, b], [c, d]]` of the display matrix of a frame, None for none.

    A point (x, y) of the stored picture, y downwards, is shown at (a x + c y, b x + d y), up to a
    shift (ISO/IEC 14496-12, 8.2.2).
    """
    try:
        # Not `frame.side_data`, which the frame keeps and which keeps the frame: all frames of a
        # clip would stay until the garbage collector comes.
        stored = SideDataContainer(frame)["DISPLAYMATRIX"]
    except (AttributeError, KeyError, TypeError):
        return None
    numbers = np.frombuffer(bytes(stored), np.int32)
    if len(numbers) != 9:
        return None
    matrix = numbers.reshape(3, 3)[:2, :2] / 65536
    return matrix if abs(np.linalg.det(matrix)) > 1e-6 else None


def turned(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Returns a picture `[H, W, 3]` uint8 after a display matrix `[[a, b], [c, d]]`.

    Turns by quarters and mirrorings are exact. Other matrices keep the size of the picture and its
    centre, with `BACKGROUND` in the corners, as ffmpeg does; their scale is left out.
    """
    unit = matrix / math.sqrt(abs(np.linalg.det(matrix)))
    whole = np.rint(unit)
    if np.abs(unit - whole).max() < 0.02 and abs(whole).sum() == 2:  # within a degree
        (a, b), (c, d) = whole
        if a:  # x stays x
            return picture[:: int(d), :: int(a)]
        return picture.swapaxes(0, 1)[:: int(b), :: int(c)]
    height, width = picture.shape[:2]
    centre = np.array([width, height]) / 2
    back = np.linalg.inv(unit)  # row vectors: stored = shown @ back
    shift = centre - centre @ back
    coefficients = (back[0, 0], back[1, 0], shift[0], back[0, 1], back[1, 1], shift[1])
    return np.asarray(
        Image.fromarray(picture).transform(
            (width, height),
            Image.Transform.AFFINE,
            coefficients,
            Image.Resampling.BICUBIC,
            fillcolor=(BACKGROUND,) * 3,
        )
    )


def _rgb(frame: Any, least_side: int | None) -> np.ndarray:
    """The colours of a frame, `[H, W, 3]` uint8."""
    if frame.color_trc in _HDR_NAMES:
        width, height = frame.width, frame.height
        while least_side and min(width, height) >= 2 * least_side:
            width, height = width // 2, height // 2
        signal = frame.reformat(width, height, format="rgb48le", interpolation="AREA", threads=1)
        return tone_map(signal.to_ndarray(), frame.color_trc)
    if _wide_gamut(frame) and not _has_alpha(frame):
        return to_standard_gamut(_array(frame, "rgb48le"), frame.color_primaries)
    if _has_alpha(frame):
        return over_background(_array(frame, "rgba"))
    return _array(frame, "rgb24")


def _array(frame: Any, layout: str) -> np.ndarray:
    # Bicubic chroma is what ffmpeg itself takes; PyAV's default is bilinear. Threads of its own
    # would stay with every frame until the garbage is collected: hundreds in a clip.
    return frame.reformat(format=layout, interpolation="BICUBIC", threads=1).to_ndarray()


def _has_alpha(frame: Any) -> bool:
    return frame.format.name == "pal8" or any(part.is_alpha for part in frame.format.components)


def _wide_gamut(frame: Any) -> bool:
    return getattr(frame, "color_primaries", None) in _GAMUTS


def _stretch(pixel_aspect: Fraction | None) -> Fraction:
    """The pixel aspect, 1 where there is none or none that could be meant."""
    if not pixel_aspect or not 1 <= max(pixel_aspect, 1 / pixel_aspect) <= _MAX_PIXEL_ASPECT:
        return Fraction(1)
    return pixel_aspect


def _with_pixel_aspect(picture: np.ndarray, pixel_aspect: Fraction | None) -> np.ndarray:
    """The picture with square pixels: the height stays, the width is scaled."""
    stretch = _stretch(pixel_aspect)
    if stretch == 1:
        return picture
    height, width = picture.shape[:2]
    wide = max(1, round(width * stretch))
    return np.asarray(Image.fromarray(picture).resize((wide, height), Image.Resampling.LANCZOS))
