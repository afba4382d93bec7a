"""Layouts of keypoints, and the unit of their coordinates. Imports no jax."""

from typing import NamedTuple

import numpy as np

_BODY = tuple(range(17))


class Layout(NamedTuple):
    """A way to list the keypoints of a person."""

    name: str  # as its authors call it
    coco: tuple[int, ...]  # for each of the 17 COCO keypoints its place in the list
    # whether coordinates are fractions of the picture by default, not pixels
    fraction: bool = False


LAYOUTS: dict[int, Layout] = {
    17: Layout("COCO-17", _BODY),
    18: Layout("OpenPose-18", (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)),
    25: Layout("OpenPose-25", (0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11)),
    26: Layout("Halpe-26", _BODY),
    33: Layout(
        "BlazePose-33",
        (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28),
        fraction=True,
    ),
    133: Layout("COCO-WholeBody-133", _BODY),
    136: Layout("Halpe-136", _BODY),
    308: Layout("Sapiens-308", (*range(9), 62, 41, *range(9, 15))),
}
"""Number of keypoints -> layout."""

KNOWN = ", ".join(str(count) for count in LAYOUTS)
SEEN = 0.05
"""Confidence from which on a point says something about the unit."""
PICTURES_WIDE = 2.0
"""Nobody is meant who is smaller than this many pixels in every frame: these are fractions."""


class PersonPoints(NamedTuple):
    """17 COCO keypoints [17, 2] of a person in a frame, in the file's unit, and confidence [17]."""

    points: np.ndarray
    confidence: np.ndarray

    @property
    def height(self) -> float:
        """Of the box around the points that are seen, in the file's unit."""
        seen = self.points[self.confidence > SEEN]
        return float(np.ptp(seen, axis=0).max()) if len(seen) else 0.0

    @property
    def prominence(self) -> float:
        """How large and how surely the person is seen."""
        return self.height * float(self.confidence.sum())


def as_coco(rows: np.ndarray) -> PersonPoints:
    """Returns the COCO keypoints of a person's rows.

    `rows`: [N, 3] x, y, confidence with N of a known layout; numbers that are not finite are points
    that are not seen. COCO's ground truth has 0, 1, 2 for the confidence.
    Raises ValueError: the layout is not known.
    """
    if rows.ndim != 2 or rows.shape[1] != 3 or len(rows) not in LAYOUTS:
        raise ValueError(f"{list(rows.shape)} numbers a person; {KNOWN} points are known")
    chosen = rows[list(LAYOUTS[len(rows)].coco)].astype(np.float64)
    good = np.isfinite(chosen).all(-1) & (np.abs(chosen) < 1e9).all(-1)
    chosen = np.where(good[:, None], chosen, 0)
    return PersonPoints(chosen[:, :2], np.clip(chosen[:, 2], 0, 1))


def unit_of(people: list[PersonPoints], fraction: bool) -> str:
    """Returns a file's unit: "pixels", "whole pixels", "fractions" or "signed" fractions.

    `people` are all of the file; `fraction` is what the layout has by default.
    """
    seen = [p.points[p.confidence > SEEN] for p in people]
    values = np.concatenate(seen) if seen else np.zeros((0, 2))
    if not len(values):
        return "fractions" if fraction else "pixels"
    if fraction:
        # Fractions that somebody multiplied by the size: integers are corners of pixels.
        return "whole pixels" if np.median(np.abs(values)) > PICTURES_WIDE else "fractions"
    if np.quantile(np.abs(values), 0.99) > PICTURES_WIDE:
        return "pixels"
    return "signed" if (values < 0).mean() > 0.02 else "fractions"


def to_picture(points: np.ndarray, unit: str, size: np.ndarray) -> np.ndarray:
    """Returns points [*, 2], in a unit of `unit_of`, with integers at the corners of pixels.

    "pixels" have integers at their centres, "whole pixels" at corners; `size` [2] is width and
    height of the picture, pixels.
    """
    if unit in ("pixels", "whole pixels"):
        return points + 0.5 * (unit == "pixels")
    return (points if unit == "fractions" else (points + 1) / 2) * size
