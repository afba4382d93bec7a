"""Pictures of a whole stream: bits of every frame as bars, key frames, gaps, where one is."""

from collections.abc import Iterable, Sequence

import numpy as np

from hvc_jax.body.shade import color_wheel
from hvc_jax.stream.units import Unit, UnitType, motion_group

HEIGHT, WIDTH = 72, 512

_PAPER, _BAR, _KEY = (246, 246, 246), (90, 130, 190), (205, 70, 60)
_GAP, _NOW, _RANGE = (240, 170, 60), (20, 20, 20), (224, 234, 246)
_OF_FRAMES = (UnitType.MOTION, UnitType.FIELD, UnitType.EDIT)
_OF_KEYS = (UnitType.KEY, UnitType.STATIC)


def bits_of_frames(units: Iterable[Unit], count: int) -> tuple[np.ndarray, list[int]]:
    """Bits [count] that every frame takes, framing included, and the numbers of the key frames.

    A unit of several frames is divided evenly among them; key pictures and their numbers are those
    of their frame. Headers, notes and the index belong to no frame.

    `units`: of the stream, in order; `count`: frames of the clip.
    """
    bits, keys = np.zeros(count), []
    for unit in units:
        if unit.type in _OF_KEYS and unit.frame < count:
            bits[unit.frame] += 8 * unit.size
            if unit.type == UnitType.KEY:
                keys.append(unit.frame)
        elif unit.type in _OF_FRAMES:
            frames = 1 if unit.type == UnitType.FIELD else motion_group(unit).count
            part = bits[unit.frame : unit.frame + frames]
            part += 8 * unit.size / max(len(part), 1)
    return bits, keys


def draw_bars(
    bits: np.ndarray,
    keys: Sequence[int],
    now: int,
    held: Iterable[int] = (),
    span: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """A picture [HEIGHT, WIDTH, 3] uint8 of bits [T] over time, on a scale of their logarithm.

    `keys` frames are drawn in red, `now` is under the black line, `held` are lost ones, marked in
    orange, `span` those that edits change, on a blue ground.
    """
    picture = np.full((HEIGHT, WIDTH, 3), _PAPER, np.uint8)
    count = max(len(bits), 1)
    edges = np.linspace(0, WIDTH, count + 1).astype(int)
    picture[:, edges[min(span[0], count)] : edges[min(span[1], count)]] = _RANGE
    top = np.log2(1 + max(float(bits.max(initial=0)), 1.0))
    lost, first = set(held), set(keys)
    for frame in range(len(bits)):
        left, right = edges[frame], max(edges[frame + 1], edges[frame] + 1)
        tall = round((HEIGHT - 6) * np.log2(1 + bits[frame]) / top)
        if frame in lost:
            picture[:5, left:right] = _GAP
        if tall:
            # A gap between bars where there is room for one.
            end = right - 1 if right - left > 3 else right
            picture[HEIGHT - tall :, left:end] = _KEY if frame in first else _BAR
    middle = (edges[min(now, count - 1)] + edges[min(now, count - 1) + 1]) // 2
    picture[:, middle : middle + 2] = _NOW
    return picture


def draw_motion(grid: np.ndarray | None, height: int, width: int) -> np.ndarray:
    """A sampling grid [h, w, 2] as colours [height, width, 3] uint8; white where nothing moves.

    Hue is the direction in which to look in the key picture, full colour an eighth of the picture.
    """
    if grid is None:
        return np.full((height, width, 3), 255, np.uint8)
    rows, columns = grid.shape[:2]
    u = (2 * np.arange(columns) + 1) / columns - 1
    v = (2 * np.arange(rows) + 1) / rows - 1
    colours = color_wheel(grid - np.stack(np.meshgrid(u, v), -1), 0.25)
    return colours.repeat(-(-height // rows), 0).repeat(-(-width // columns), 1)[:height, :width]
