"""People's keypoints out of JSON as the common programs write it. Imports no jax.

The same few things have many names and are nested in many ways, so the content is searched: for
frames (by their names and numbers), people among them, and their points. Read are OpenPose, COCO
results and ground truth, AlphaPose, MMPose 0.x and 1.x, Sapiens, ViTPose, Ultralytics, MediaPipe
(solutions and tasks, Python and JavaScript), TensorFlow.js and OpenPifPaf.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from hvc_jax.body.keypoint_layouts import LAYOUTS
from hvc_jax.body.keypoint_names import NAMES, coco_places, order_of
from hvc_jax.ops.plain_values import plain_array

_POINTS = (
    "pose_keypoints_2d",
    "pose_keypoints",
    "keypoints",
    "pose_landmarks",
    "poseLandmarks",
    "landmarks",
    "landmark",
    "keypoints_2d",
    "joints",
)
_SCORES = ("keypoint_scores", "keypoints_scores", "scores", "visible", "confidence", "score")
_FRAMES = (
    *("frame_id", "frame", "frame_idx", "frame_index", "frame_number", "frame_num", "frameId"),
    *("frameIndex", "frameNumber", "image_id", "image_name", "imgname", "file_name", "image"),
    *("image_path", "img_path"),
)
_IMAGE_NAMES = ("frame_id", "frame_index", "file_name")
_PEOPLE = ("people", "instances", "persons", "bodies")
_CONTAINERS = ("annotations", "instance_info", "predictions", "results", "frames", "data", "poses")
_TRACKS = ("track_id", "idx", "person_id", "tracking_id", "instance_id")
_TIMES = ("timestamp_ms", "timestampMs", "timestamp", "time_ms", "timestamp_us", "time")
_VISIBILITY = ("visibility", "score", "confidence", "likelihood", "presence")
_NAME_OF_POINT = ("name", "part", "bodyPart", "label")
_NUMBER_OF_POINT = ("id", "index", "idx")
_SIZES = (("canvas_width", "canvas_height"), ("image_width", "image_height"), ("width", "height"))
_NESTED = 10
_NUMBERS_AT_MOST = 5 * max(LAYOUTS)


class Seen(NamedTuple):
    """A person in a frame."""

    frame: int | str | None  # the number or name of the frame; None where the file has one only
    track: int | None  # number of the person, or None
    rows: np.ndarray  # [N, 3] x, y, confidence
    # when, in some unit, where the file says times and no frames; else None
    time: float | None = None


def find_people(content: Any) -> Iterator[Seen]:
    """Yields every person of decoded JSON; ValueError: points in an unknown layout."""
    swap = isinstance(content, dict) and "skeleton" in content and "keypoints" in content
    order = _order_of_categories(content)
    for person in _walk(content, Seen(None, None, np.zeros((0, 3))), 0):
        rows = person.rows
        if order and len(order) == len(rows):
            rows = rows[order]
        # easy_ViTPose writes y before x
        yield person._replace(rows=rows[:, [1, 0, 2]] if swap else rows)


def _order_of_categories(content: Any) -> list[int] | None:
    """The order of the points that COCO's list of categories names, where it is another one."""
    categories = content.get("categories") if isinstance(content, dict) else None
    for category in categories if isinstance(categories, list) else ():
        names = category.get("keypoints") if isinstance(category, dict) else None
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return order_of(names)
    return None


def picture_size(content: Any) -> tuple[int, int] | None:
    """Returns width and height of the picture that the file says its points are of, or None."""
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        node, known = next(iter(content["images"]), None), _SIZES
    elif isinstance(content, list):  # there, width and height may be those of a person's box
        node, known = next(iter(content), None), _SIZES[:2]
    else:
        node, known = content, _SIZES
    if not isinstance(node, dict):
        return None
    for names in known:
        width, height = (node.get(name) for name in names)
        if all(type(n) in (int, float) and 1 <= n < 1e6 for n in (width, height)):
            return round(width), round(height)
    return None


def listed_frames(content: Any) -> dict[int | str, int | str | None] | None:
    """Returns the ids of COCO's images, each with its number or name, if told; None: no list."""
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
        return None
    listed = {}
    for image in images:
        if not isinstance(image.get("id"), int | str):
            return None
        listed[image["id"]] = _label({k: v for k, v in image.items() if k in _IMAGE_NAMES})
    return listed or None


def named_frames(content: Any) -> list[int | str]:
    """Returns the numbers or names that the rows of a list give, with and without people."""
    rows = content.get("frames") if isinstance(content, dict) else content
    labels = [_label(row) for row in rows] if _is_rows(rows) else []
    return [label for label in labels if label is not None]


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def parse(text: str) -> Any:
    """Returns decoded JSON; of several lines of JSON (OpenPifPaf) a list; else ValueError."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if not error.msg.startswith("Extra data") or len(lines) < 2:
            raise
        return [json.loads(line) for line in lines]


def first_frame(content: Any) -> int:
    """Returns the number of the first frame: MMPose counts from 1."""
    return int(isinstance(content, dict) and "instance_info" in content)


def _walk(node: Any, seen: Seen, depth: int) -> Iterator[Seen]:
    if depth > _NESTED:
        raise ValueError("nested too deeply")
    if isinstance(node, dict):
        yield from _walk_object(node, seen, depth)
    elif isinstance(node, list):
        person = _person(node, None)
        if person is not None:
            yield seen._replace(rows=person, frame=0 if seen.frame is None else seen.frame)
            return
        for k, entry in enumerate(node):
            here = seen._replace(frame=k) if seen.frame is None and not _has_frame(entry) else seen
            if entry:
                yield from _walk(entry, here, depth + 1)


def _walk_object(node: dict, seen: Seen, depth: int) -> Iterator[Seen]:
    frame = _label(node)
    if frame is not None:
        seen = seen._replace(frame=frame)
    track = next((t for t in (_track(node.get(key)) for key in _TRACKS) if t is not None), None)
    if track is not None:
        seen = seen._replace(track=track)
    time = next((node[key] for key in _TIMES if isinstance(node.get(key), int | float)), None)
    if time is not None and frame is None:
        seen = seen._replace(time=float(time))
    scores = next((node[k] for k in _SCORES if isinstance(node.get(k), list)), None)
    for key in _POINTS:
        if node.get(key):
            person = _person(node[key], scores)
            if person is not None:
                yield seen._replace(rows=person, frame=0 if seen.frame is None else seen.frame)
            elif _is_flat(node[key]):
                raise ValueError(f"{len(node[key])} numbers in {key!r} are no known layout")
            else:
                yield from _walk(node[key], seen, depth + 1)
            return
    found = [key for key in (*_CONTAINERS, *_PEOPLE) if isinstance(node.get(key), list | dict)]
    for key in found:
        alone = key in _PEOPLE and seen.frame is None
        yield from _walk(node[key], seen._replace(frame=0) if alone else seen, depth + 1)
        if key == "people":
            _check_people(node[key])
    if found or frame is not None:
        return
    # Frames, or people in a frame, by their names.
    for key, value in node.items():
        if isinstance(value, list | dict) and any(c.isdigit() for c in key):
            if seen.frame is None:
                here = seen._replace(frame=int(key) if key.isdecimal() and len(key) < 19 else key)
            else:
                here = seen._replace(track=int(key) if key.isdecimal() and len(key) < 19 else None)
            yield from _walk(value, here, depth + 1)


def _check_people(people: Any) -> None:
    for person in people if isinstance(people, list) else ():
        if isinstance(person, dict) and person and not any(key in person for key in _POINTS):
            fields = ", ".join(map(repr, list(person)[:4]))
            raise ValueError(f"people with {fields[:80]}, none of which is known")


def _label(node: dict) -> int | str | None:
    for key in _FRAMES:
        value = node.get(key)
        if isinstance(value, str) or (type(value) is int and abs(value) < 1 << 60):
            return int(value) if isinstance(value, str) and value.isdecimal() else value
        if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
            return int(value)
    return None


def _track(value: Any) -> int | None:
    """A person's number: 3, the 3.0 of AlphaPose, or the [3] of OpenPose; its [-1] is none."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 16:
        value = int(value)
    if type(value) not in (int, float) or not 0 <= value < 1 << 53 or value != int(value):
        return None
    return int(value)


def _has_frame(entry: Any) -> bool:
    return isinstance(entry, dict) and _label(entry) is not None


def _is_flat(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(v, int | float) for v in value[:9])


def _person(value: Any, scores: Any) -> np.ndarray | None:
    """Returns rows [N, 3] where `value` is the points of one person, else None."""
    if isinstance(value, dict):
        if isinstance(value.get("x"), list) and isinstance(value.get("y"), list):
            columns = [value["x"], value["y"], value.get("visible") or [1] * len(value["x"])]
            return _known(plain_array(columns, _NUMBERS_AT_MOST).T)
        if isinstance(value.get("landmark"), list):
            return _person(value["landmark"], scores)
        return _by_name(value)
    if not isinstance(value, list) or len(value) > _NUMBERS_AT_MOST or not value:
        return None
    if isinstance(value[0], dict):
        if len(value) not in LAYOUTS or not all("x" in p and "y" in p for p in value):
            return None
        rows = np.array([_point(p) for p in value])
        order = _order_of_points(value)
        return rows if order is None else rows[order]
    if _is_flat(value):
        return _from_flat(plain_array(_filled(value), _NUMBERS_AT_MOST), scores)
    if len(value) not in LAYOUTS or not all(
        isinstance(p, list) and 2 <= len(p) <= 5 for p in value
    ):
        return None
    value = [_filled(p) for p in value]
    if not all(isinstance(number, int | float) for p in value for number in p):
        return None
    return from_columns(plain_array(value, _NUMBERS_AT_MOST), scores)


def _filled(numbers: list) -> list:
    """A point that is not seen is null in some files."""
    return [np.nan if number is None else number for number in numbers]


def _point(point: Any) -> list[float]:
    """Returns x, y, confidence of {"x": ..., "y": ...} or [x, y, ...], as numbers or NaN."""
    if isinstance(point, dict):
        sure = next((point[k] for k in _VISIBILITY if k in point), 1)
        point = [point.get("x"), point.get("y"), sure]
    if not isinstance(point, list) or not 2 <= len(point) <= 5:
        raise ValueError("a point that is no [x, y, confidence]")
    row = [*_filled(point), 1][: max(3, len(point))]
    return [float(row[i]) for i in (0, 1, 2 if len(row) == 3 else 3)]


def _by_name(points: dict) -> np.ndarray | None:
    """Rows of {"left_hip": [x, y], ...}; those of COCO that are missing are not seen."""
    order = order_of(list(points)) if len(points) in NAMES else None
    values = list(points.values())
    if order is not None:
        return np.array([_point(values[k]) for k in order])
    places = coco_places(list(points)) if len(points) <= _NUMBERS_AT_MOST else None
    if places is None:
        return None
    lost = [np.nan, np.nan, 0.0]
    return np.array([_point(values[places[n]]) if n in places else lost for n in NAMES[17]])


def _order_of_points(points: list[dict]) -> list[int] | None:
    """The order of points that say which one they are, by name or number."""
    for key in _NAME_OF_POINT:
        if all(isinstance(point.get(key), str) for point in points):
            return order_of([point[key] for point in points])
    for key in _NUMBER_OF_POINT:
        numbers = [point.get(key) for point in points]
        if all(type(number) is int for number in numbers):
            ranked = sorted(range(len(points)), key=numbers.__getitem__)
            whole = [numbers[k] - numbers[ranked[0]] for k in ranked] == list(range(len(points)))
            return ranked if whole else None
    return None


def _from_flat(values: np.ndarray, scores: Any) -> np.ndarray | None:
    for width in (3, 4, 5, 2):
        known = LAYOUTS if width < 4 else (33,)
        if values.ndim == 1 and len(values) % width == 0 and len(values) // width in known:
            return from_columns(values.reshape(-1, width), scores)
    return None


def from_columns(values: np.ndarray, scores: Any = None) -> np.ndarray:
    """Returns rows [N, 3] (x, y, confidence) of points with 2 to 5 numbers.

    `values` are [N, 2] x, y; [N, 3] x, y, confidence (x, y, z of BlazePose); or [N, 4 or 5] x, y,
    z, visibility and presence. `scores`: N confidences that are listed apart, or None.
    """
    count, width = values.shape
    if scores is not None and len(scores) == count:
        sure = plain_array(scores, count).reshape(-1)
    elif width == 2 or (width == 3 and count == 33):
        sure = np.ones(count)
    else:
        sure = values[:, 2 if width == 3 else 3]
    return np.column_stack([values[:, :2], sure])


def _known(rows: np.ndarray) -> np.ndarray | None:
    return rows if len(rows) in LAYOUTS and rows.shape[1:] == (3,) else None
