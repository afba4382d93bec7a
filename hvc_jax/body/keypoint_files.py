"""Keypoints that others have found, as the 17 COCO keypoints of one person per frame.

| layout | file | points |
|---|---|---|
| COCO-17 | .json: a list of results (`image_id`, `keypoints` 51, `score`), as of COCO, AlphaPose, MMPose; or an object with `annotations` | pixels |
| OpenPose-25 | a folder with one .json a frame (`people[].pose_keypoints_2d`, 75 numbers) | pixels |
| BlazePose-33 | .json: a list of frames, each a list of 33 landmarks (`x`, `y`, `visibility`), or null | in [0, 1] |
| BlazePose-33 | .csv: a row a frame, 33 groups of x, y, z, visibility, after an optional frame number and header | in [0, 1] |
| any of them | .npy, or .npz with `keypoints`: [T, 17 or 25, 3] (x, y, confidence), [T, 33, 4 or 5] (x, y, z, visibility) | the same |

Pixel coordinates have integers at pixel centres. Where there are several people the first is the
one most surely seen, and then whoever is nearest to where they were. Imports no jax.
"""  # noqa: E501

import csv
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from hvc_jax.body.parameter_cameras import View

# For each of the 17 COCO keypoints its place among the others.
_OPENPOSE = np.array([0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11])
_BLAZEPOSE = np.array([0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28])


class KeypointFileError(ValueError):
    """A file that holds no keypoints in a known layout; the message says what was expected."""


def read_keypoints(
    path: str | os.PathLike, view: View, frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns keypoints [T, 17, 2] (u, v) of the coded square and confidence [T, 17] in [0, 1].

    Frames that the file lacks have confidence 0.

    Args:
      path: file or folder, see the module's table.
      view: how the square was made of the picture in which the keypoints were found.
      frames: T of the clip.

    Raises:
      KeypointFileError: the layout is not known, or the file has more frames than the clip.
    """
    path = Path(path)
    try:
        people = _read(path)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, KeypointFileError):
            raise
        raise KeypointFileError(
            f"{path}: no keypoints can be read ({error}); give COCO-17, OpenPose-25 or "
            "BlazePose-33 keypoints, see hvc fit --help"
        ) from error
    if len(people) > frames:
        raise KeypointFileError(
            f"{path} has keypoints of {len(people)} frames, the clip {frames}; cut one of them"
        )
    points, confidence = np.zeros((frames, 17, 2), np.float32), np.zeros((frames, 17), np.float32)
    last = None
    for t, found in enumerate(people):
        candidates = [_as_coco(person, path) for person in found]
        if not candidates:
            continue
        pixels, sure, unit = _follow(candidates, last)
        last = pixels, sure
        size = np.array([view.width, view.height], np.float32)
        pixels = pixels * size if unit else pixels + 0.5
        points[t] = (2 * pixels - size) / view.side
        confidence[t] = sure
    ok = np.isfinite(points).all(-1) & np.isfinite(confidence)
    points, confidence = np.where(ok[..., None], points, 0), np.where(ok, confidence, 0)
    inside = (np.abs(points) <= 1).all(-1)
    return points, np.clip(confidence, 0, 1) * inside


def _read(path: Path) -> list[list[np.ndarray]]:
    """Returns for every frame its people, each [17 or 25, 3] or [33, 4]."""
    if path.is_dir():
        files = sorted(path.glob("*.json"), key=_natural)
        if not files:
            raise KeypointFileError(f"{path} has no .json in it; give a folder of OpenPose")
        return [
            [_rows(p["pose_keypoints_2d"], 3) for p in json.loads(f.read_text())["people"]]
            for f in files
        ]
    if path.suffix == ".json":
        return _from_json(json.loads(path.read_text()))
    if path.suffix == ".csv":
        return [[_rows(row, 4)] for row in _csv_rows(path)]
    if path.suffix in (".npy", ".npz"):
        array = np.load(path, allow_pickle=False)
        array = array["keypoints"] if path.suffix == ".npz" else array
        if array.ndim != 3:
            raise ValueError(f"shape {list(array.shape)}, not [frames, points, numbers]")
        if array.shape[1] == 33 and array.shape[2] >= 4:
            array = array[..., :4]
        return [[frame.astype(np.float32)] for frame in array]
    raise KeypointFileError(f"{path}: keypoints come as .json, .csv, .npy, .npz or a folder")


def _from_json(content: Any) -> list[list[np.ndarray]]:
    """People by frame of COCO results or of lists of landmarks."""
    if isinstance(content, dict):
        content = content["annotations"]
    results = [entry for entry in content if isinstance(entry, dict)]
    if not results:
        return [
            [np.array([[p["x"], p["y"], 0, p.get("visibility", 1)] for p in frame], np.float32)]
            if frame
            else []
            for frame in content
        ]
    by_frame: dict[Any, list[np.ndarray]] = {}
    for entry in results:
        by_frame.setdefault(entry["image_id"], []).append(_rows(entry["keypoints"], 3))
    names = list(by_frame)
    if all(isinstance(name, int) for name in names):
        return [by_frame.get(number, []) for number in range(min(names), max(names) + 1)]
    return [by_frame[name] for name in sorted(names, key=lambda n: _natural(str(n)))]


def _csv_rows(path: Path) -> Iterable[list[float]]:
    with path.open(newline="") as file:
        for number, row in enumerate(csv.reader(file)):
            try:
                values = [float(cell) if cell.strip() else np.nan for cell in row]
            except ValueError:
                if number == 0:
                    continue  # a header
                raise
            yield values[len(values) % 4 :]


def _rows(values: Any, numbers: int) -> np.ndarray:
    array = np.asarray(values, np.float32).reshape(-1, numbers)
    if len(array) not in (17, 25, 33):
        raise ValueError(f"{len(array)} points; 17, 25 and 33 are known")
    return array


def _as_coco(person: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray, bool]:
    """Returns points [17, 2], confidence [17] and whether they are in [0, 1] and not pixels."""
    if person.shape == (17, 3):
        chosen = person
    elif person.shape == (25, 3):
        chosen = person[_OPENPOSE]
    elif person.shape == (33, 4):
        return person[_BLAZEPOSE, :2], person[_BLAZEPOSE, 3], True
    else:
        raise KeypointFileError(
            f"{path}: {list(person.shape)} numbers a person; give [17, 3], [25, 3] or [33, 4]"
        )
    # COCO's ground truth has 0, 1, 2 in the place of a confidence: 0 is no point.
    return chosen[:, :2], np.minimum(chosen[:, 2], 1.0), False


def _follow(
    candidates: list[tuple[np.ndarray, np.ndarray, bool]],
    last: tuple[np.ndarray, np.ndarray] | None,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Returns the candidate that goes on from the last person, or the surest at the beginning."""
    if last is None or len(candidates) == 1:
        return max(candidates, key=lambda c: float(np.nansum(c[1])))

    def apart(candidate: tuple[np.ndarray, np.ndarray, bool]) -> float:
        weight = candidate[1] * last[1] + 1e-6
        return float(
            (weight * np.linalg.norm(candidate[0] - last[0], axis=-1)).sum() / weight.sum()
        )

    return min(candidates, key=apart)


def _natural(name: str | Path) -> list[Any]:
    """A key that sorts frame_2 before frame_10."""
    return [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", str(name))]
