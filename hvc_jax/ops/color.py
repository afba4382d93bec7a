"""RGB <-> Y'CbCr 4:2:0 for the key-picture codecs, in our own numpy, so that every machine agrees.

ITU-R BT.709 matrix, limited ("studio") range: a key picture cut out of a stream plays right in any
player, and at 10 bits the range costs nothing. Chroma samples sit at the centre of their 2x2 luma
block: shrinking is the mean of the four, growing is linear (weights 9, 3, 3, 1 of 16). Video
libraries choose other filters silently and differ from one another by up to 16 levels.
"""

import numpy as np

# Y' weights of ITU-R BT.709-6, item 3.2.
_KR, _KB = 0.2126, 0.0722
_KG = 1.0 - _KR - _KB


def rgb_to_yuv420(rgb: np.ndarray, bits: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns a picture as limited-range BT.709 4:2:0: Y [H, W], Cb and Cr [H/2, W/2], all uint16.

    `rgb`: [H, W, 3] uint8; H and W even; `bits`: per sample, 8 to 16. Raises ValueError: a side is
    odd.
    """
    height, width, _ = rgb.shape
    if height % 2 or width % 2:
        raise ValueError(f"4:2:0 needs even sides, not {width}x{height}; pad the picture first.")
    scale = float(1 << (bits - 8))
    red, green, blue = (rgb[..., i].astype(np.float32) * np.float32(1 / 255) for i in range(3))
    luma = _KR * red + _KG * green + _KB * blue
    cb, cr = (blue - luma) / (2 * (1 - _KB)), (red - luma) / (2 * (1 - _KR))

    def quantise(plane: np.ndarray, gain: float, offset: float) -> np.ndarray:
        return np.rint(plane * (gain * scale) + offset * scale).astype(np.uint16)

    return quantise(luma, 219, 16), quantise(_halve(cb), 224, 128), quantise(_halve(cr), 224, 128)


def yuv420_to_rgb(y: np.ndarray, cb: np.ndarray, cr: np.ndarray, bits: int = 10) -> np.ndarray:
    """Returns the picture [H, W, 3] uint8 of limited-range BT.709 planes.

    `y`: [H, W] samples, H and W even; `cb`, `cr`: [H/2, W/2] samples; `bits`: per sample.
    """
    scale = np.float32(1 << (bits - 8))
    luma = (y.astype(np.float32) / scale - 16) * np.float32(1 / 219)
    blue_difference = (_double(cb.astype(np.float32)) / scale - 128) * np.float32(1 / 224)
    red_difference = (_double(cr.astype(np.float32)) / scale - 128) * np.float32(1 / 224)
    red = luma + np.float32(2 * (1 - _KR)) * red_difference
    blue = luma + np.float32(2 * (1 - _KB)) * blue_difference
    green = (luma - np.float32(_KR) * red - np.float32(_KB) * blue) / np.float32(_KG)
    rgb = np.stack([red, green, blue], axis=-1)
    return np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)


def _halve(plane: np.ndarray) -> np.ndarray:
    """Returns the means of 2x2 blocks: [H, W] -> [H/2, W/2]."""
    height, width = plane.shape
    return plane.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))


def _double(plane: np.ndarray) -> np.ndarray:
    """Returns the plane at twice the size by centre-sited linear interpolation, edges held."""
    for axis in (0, 1):
        lines = np.moveaxis(plane, axis, 0)
        padded = np.concatenate([lines[:1], lines, lines[-1:]])
        doubled = np.empty((2 * len(lines), *lines.shape[1:]), plane.dtype)
        doubled[0::2] = 0.25 * padded[:-2] + 0.75 * lines
        doubled[1::2] = 0.25 * padded[2:] + 0.75 * lines
        plane = np.moveaxis(doubled, 0, axis)
    return plane
