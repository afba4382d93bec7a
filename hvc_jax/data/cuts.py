"""Where one scene ends and the next begins, from one frame to the next. Imports no jax."""

import numpy as np

_GRID = 16
_LEVELS = 24.0
_FACTOR = 4.0


class CutDetector:
    """Finds cuts as frames come in.

    A cut is a frame whose mean change on a coarse grid is large (24 levels of 255) and four times
    that of late; a coarse grid is blind to a person moving, and a fast pan changes it steadily.
    """

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._usual = 0.0

    def push(self, picture: np.ndarray) -> bool:
        """Returns whether `picture` [H, W, 3] uint8 begins another scene than the one before."""
        cells = _coarse(picture)
        change = 0.0 if self._last is None else float(np.abs(cells - self._last).mean())
        cut = change > max(_LEVELS, _FACTOR * self._usual)
        self._last = cells
        self._usual += 0.2 * ((0.0 if cut else change) - self._usual)
        return cut


def alike(picture: np.ndarray, other: np.ndarray) -> bool:
    """Returns whether two pictures [H, W, 3] uint8 could follow each other without a cut."""
    return float(np.abs(_coarse(picture) - _coarse(other)).mean()) <= _LEVELS


def _coarse(picture: np.ndarray) -> np.ndarray:
    """Returns the mean grey levels [16, 16] of a picture's cells."""
    height, width = picture.shape[:2]
    rows, columns = np.arange(_GRID) * height // _GRID, np.arange(_GRID) * width // _GRID
    cells = np.add.reduceat(picture.astype(np.float32).mean(-1), rows, 0)
    return np.add.reduceat(cells, columns, 1) * (_GRID * _GRID / (height * width))


def scene_starts(pictures: np.ndarray, cuts: CutDetector) -> list[int]:
    """Returns which pictures [T, H, W, 3] uint8 begin a scene; `cuts` has seen those before."""
    return [t for t, picture in enumerate(pictures) if cuts.push(picture)]
