"""Keypoints that others have found, as the 17 COCO keypoints of one person per frame.

| file | points |
|---|---|
| .json, see `keypoint_json`: COCO, AlphaPose, MMPose, Sapiens, ViTPose, Ultralytics | pixels |
| .json of MediaPipe (solutions and tasks) | fractions of the picture |
| a folder with one .json a frame: OpenPose, MMPose, Sapiens | pixels, or the fractions of OpenPose's --keypoint_scale 3 and 4 |
| .csv, see `keypoint_csv` | fractions, or pixels |
| .npy, or .npz with `keypoints`: [T, N, 3] (x, y, confidence), [T, 33, 4 or 5] (x, y, z, visibility) | by the layout |

The layouts are those of `keypoint_layouts`, their order that of the names where points have some
(`keypoint_names`); whether coordinates are pixels or fractions is seen from them. Pixel coordinates
have integers at pixel centres. Rows belong to the frames that they
name. Of several people the one who is seen largest and most surely is followed. Imports no jax.
"""  # noqa: E501

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hvc_jax.body.frame_numbers import FrameNumberError, natural, numbers_of, place, place_times
from hvc_jax.body.keypoint_csv import read_csv
from hvc_jax.body.keypoint_json import (
    Seen,
    find_people,
    first_frame,
    from_columns,
    listed_frames,
    named_frames,
    parse,
    picture_size,
)
from hvc_jax.body.keypoint_layouts import LAYOUTS, SEEN, PersonPoints, as_coco, to_picture, unit_of
from hvc_jax.body.keypoint_people import follow
from hvc_jax.body.parameter_cameras import View
from hvc_jax.body.parameter_trees import FRAME_IDS
from hvc_jax.ops.files import text_of
from hvc_jax.ops.npz import read_npy, read_npz
from hvc_jax.ops.plain_values import UnpickleError, plain_array

_SUFFIX_OF_OPENPOSE = "_keypoints.json"

SAME_ASPECT = 0.02
"""Part by which the aspects of two sizes of one picture may differ."""

MANY_OUTSIDE = 0.2
"""Share of points outside the picture from which on it may be another picture."""

_UNITS = {
    "pixels": "pixels",
    "whole pixels": "pixels",
    "fractions": "fractions of the picture",
    "signed": "fractions in [-1, 1]",
}


class KeypointFileError(ValueError):
    """A file that holds no keypoints in a known layout; the message says what was expected."""


class Keypoints(NamedTuple):
    """What a file says of a clip."""

    points: np.ndarray  # [T, 17, 2] (u, v) of the coded square, in [-1, 1]
    confidence: np.ndarray  # [T, 17] in [0, 1]; 0 for frames that the file lacks and points outside
    notes: tuple[str, ...]  # sentences on what was assumed


class _File(NamedTuple):
    """Everybody in a file, the labels of its frames, how they are numbered, the picture's size."""

    people: Sequence[Seen]
    labels: Sequence[int | str]
    first: int = 0
    order: dict[int | str, int | str | None] | None = None
    notes: tuple[str, ...] = ()
    size: tuple[int, int] | None = None


def load_keypoints(
    path: str | os.PathLike,
    view: View,
    frames: int,
    *,
    total: int | None = None,
    fps: float | None = None,
    person: int | None = None,
) -> Keypoints:
    """Returns the keypoints of one person in the first frames of a clip.

    Args:
      path: file or folder, see the module's table.
      view: how the square was made of the picture in which the keypoints were found.
      frames: T, the frames that are wanted.
      total: frames of the whole clip that the file is of; T by default.
      fps: of the clip, for files that give times.
      person: the track number, or place in the list, of the person; None for the main one.

    Raises KeypointFileError: the layout is not known, the file's frames are not those of the clip,
    the person is not in it, or nothing lies inside the picture.
    """
    path, total = Path(path), max(total or 0, frames)
    try:
        file = _read(path)
        labels, seen = _placed(file, total, fps)
        coco = [as_coco(entry.rows) for entry in seen]
    except FrameNumberError as error:
        raise KeypointFileError(f"{path} {error}") from None
    except KeypointFileError:
        raise
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
            RecursionError) as error:  # fmt: skip
        said = " ".join(str(error)[:150].split()) or type(error).__name__
        raise KeypointFileError(
            f"{path}: no keypoints can be read ({said}); give COCO-17, OpenPose-25, BlazePose-33 "
            "or others of hvc fit --help"
        ) from error
    layouts = sorted({len(entry.rows) for entry in seen})
    blaze = layouts == [33]
    unit = unit_of(coco, blaze)
    try:
        track = follow(labels, [entry.track for entry in seen], coco, person)
    except ValueError as error:
        raise KeypointFileError(f"{path}: {error}") from None
    notes = list(file.notes)
    found_in = _found_in(file.size, unit, view, path, notes)
    points, confidence = _on_square(track, total, unit, found_in)
    if unit != ("fractions" if blaze else "pixels") and seen:
        notes.append(f"{path.name}: coordinates are taken as {_UNITS[unit]}")
    notes += _check_inside(points, confidence, path, unit, found_in)
    inside = (np.abs(points) <= 1).all(-1)
    return Keypoints(
        points[:frames].astype(np.float32),
        (confidence * inside)[:frames].astype(np.float32),
        tuple(notes),
    )


def describe(path: str | os.PathLike) -> str:
    """Returns what kind of keypoints a file holds, in a line; ValueError: none known."""
    file = _read(Path(path))
    counts = sorted({len(entry.rows) for entry in file.people})
    names = [LAYOUTS[n].name if n in LAYOUTS else f"{n} points" for n in counts]
    unit = unit_of([as_coco(entry.rows) for entry in file.people], counts == [33])
    tracks = {entry.track for entry in file.people} - {None}
    several = max(Counter(entry.frame for entry in file.people).values(), default=0)
    people = f", up to {several} people a frame" if several > 1 else ""
    people += f", tracks {', '.join(map(str, sorted(tracks)[:8]))}" if tracks else ""
    return (
        f"keypoints {' and '.join(names)} in {_UNITS[unit]}, {len(set(file.labels))} frames{people}"
    )


def _read(path: Path) -> _File:
    if path.is_dir():
        return _read_folder(path)
    if path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
        content = parse(text_of(path))
        people = list(find_people(content))
        if not people and not (isinstance(content, list | dict) and content):
            raise ValueError("it is empty")
        if not people and not _knows_frames(content):
            raise ValueError("neither 'keypoints' nor 'landmarks' nor 'annotations' is in it")
        labels = [*(entry.frame for entry in people), *named_frames(content)]
        return _File(
            people, labels, first_frame(content), listed_frames(content), size=picture_size(content)
        )
    if path.suffix.lower() == ".csv":
        people = read_csv(path)
        return _File(people, [entry.frame for entry in people])
    if path.suffix.lower() in (".npy", ".npz"):
        return _read_array(path)
    if not path.exists():
        raise KeypointFileError(f"{path} does not exist")
    raise KeypointFileError(f"{path}: keypoints come as .json, .csv, .npy, .npz or a folder")


def _knows_frames(content: object) -> bool:
    """Whether a file without people has frames nevertheless: nobody was seen."""
    known = ("annotations", "instance_info", "people", "frames", "predictions", "results")
    return (
        any(entry is None or entry == [] for entry in content)
        if isinstance(content, list)
        else isinstance(content, dict) and any(key in content for key in known)
    )


def _read_folder(path: Path) -> _File:
    """A .json a frame. Where some are named as OpenPose does, others are none of its."""
    files = [file for file in path.glob("*.json") if not file.name.startswith(".")]
    files.sort(key=lambda file: natural(file.name))
    if not files:
        raise KeypointFileError(f"{path} has no .json in it; give a folder of OpenPose or MMPose")
    named = [file for file in files if file.name.endswith(_SUFFIX_OF_OPENPOSE)]
    files, left_out = named or files, len(files) - len(named) if named else 0
    people: list[Seen] = []
    labels: list[int | str] = []
    for file in files:
        try:
            content = json.loads(text_of(file))
            found = list(find_people(content))
            frame_file = isinstance(content, list) or bool(found) or _knows_frames(content)
        except (ValueError, TypeError, LookupError, RecursionError, ArithmeticError) as error:
            said = " ".join(str(error)[:100].split())
            raise KeypointFileError(
                f"{file}: no keypoints can be read ({said}); take it out of the folder"
            ) from error
        if not frame_file:
            left_out += 1
            continue
        labels.append(file.name)
        people += [entry._replace(frame=file.name) for entry in found]
    if not labels:
        raise KeypointFileError(f"{path}: none of its .json files holds people's keypoints")
    note = f"{path}: {left_out} .json without keypoints left out" if left_out else ""
    return _File(people, labels, notes=(note,) if note else ())


def _read_array(path: Path) -> _File:
    try:
        content = read_npy(path) if path.suffix.lower() == ".npy" else read_npz(path)
    except UnpickleError as error:
        raise KeypointFileError(str(error)) from None
    fields = content if isinstance(content, dict) else {"keypoints": content}
    array = plain_array(fields["keypoints"], 1 << 28)
    if array.ndim == 4 and 1 in array.shape[:2]:  # of one person
        array = array.squeeze(0 if array.shape[0] == 1 else 1)
    if array.ndim != 3 or array.shape[1] not in LAYOUTS or not 2 <= array.shape[2] <= 5:
        raise ValueError(f"shape {list(array.shape)}, not [frames, points, numbers]")
    frames = len(array)
    sure = next((fields[n] for n in ("scores", "keypoint_scores") if n in fields), None)
    if sure is None or np.size(sure) != frames * array.shape[1]:
        sure = [None] * frames
    else:
        sure = plain_array(sure, 1 << 28).reshape(frames, -1)
    labels = next((fields[n] for n in FRAME_IDS if np.size(fields.get(n, 0)) == frames), None)
    labels = range(frames) if labels is None else np.reshape(labels, -1).tolist()
    numbers = [int(n) if isinstance(n, int | float) and n == n // 1 else str(n) for n in labels]
    people = [
        Seen(number, None, from_columns(rows, scores))
        for number, rows, scores in zip(numbers, array, sure, strict=True)
    ]
    return _File(people, numbers)


def _placed(file: _File, total: int, fps: float | None) -> tuple[list[int], list[Seen]]:
    """Returns the frames of the clip that people belong to, and the people."""
    people = list(file.people)
    if fps and people and all(entry.time is not None for entry in people):
        return place_times([entry.time for entry in people], total, fps), people
    labels = list(dict.fromkeys(file.labels))
    names = list((file.order or {}).values())
    if set(labels) <= set(file.order or ()) and None not in names and numbers_of(names):
        listed = dict(zip(file.order or (), place(names, total), strict=True))
        return [listed[entry.frame] for entry in people], people
    where = dict(zip(labels, place(labels, total, file.first, list(file.order or ())), strict=True))
    return [where[entry.frame] for entry in people], people


def _found_in(
    size: tuple[int, int] | None, unit: str, view: View, path: Path, notes: list[str]
) -> View:
    """Returns the view with the size of the picture in which the points are, where it is told."""
    if size is None or "pixels" not in unit or size == (view.width, view.height):
        return view
    if abs(size[0] * view.height / (size[1] * view.width) - 1) > SAME_ASPECT:
        raise KeypointFileError(
            f"{path}: its points are of a picture of {size[0]}x{size[1]}, the clip has "
            f"{view.width}x{view.height}: is it of another clip?"
        )
    notes.append(f"{path.name}: points of a picture of {size[0]}x{size[1]} are scaled to the clip")
    return View(*size, view.fit)


def _on_square(
    track: dict[int, PersonPoints], frames: int, unit: str, view: View
) -> tuple[np.ndarray, np.ndarray]:
    """Returns points [T, 17, 2] in the coded square and confidence [T, 17]."""
    size = np.array([view.width, view.height], np.float64)
    points, confidence = np.zeros((frames, 17, 2)), np.zeros((frames, 17))
    for t, person in track.items():
        points[t] = (2 * to_picture(person.points, unit, size) - size) / view.side
        confidence[t] = person.confidence
    return points, confidence


def _check_inside(
    points: np.ndarray, confidence: np.ndarray, path: Path, unit: str, view: View
) -> list[str]:
    """Returns what to say where many points lie outside the picture; raises where all do."""
    seen = points[confidence > SEEN]
    reach = np.array([view.width, view.height]) / view.side
    outside = 1 - float((np.abs(seen) <= reach + 1e-6).all(-1).mean()) if len(seen) else 0.0
    size = f"the picture of {view.width}x{view.height}"
    if outside == 1:
        raise KeypointFileError(
            f"{path}: no keypoint lies inside {size}; taken as {_UNITS[unit]}, are they of a "
            "picture of another size?"
        )
    if outside < MANY_OUTSIDE:
        return []
    return [
        f"{path.name}: {outside:.0%} of the keypoints lie outside {size} and count for nothing; "
        f"taken as {_UNITS[unit]}, are they of a picture of another size?"
    ]
