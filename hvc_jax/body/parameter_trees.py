"""Parameter files opened, and the people found in them.

Files are .npz, .npy, .pkl (also joblib's), .pt, .json, or a folder with one of them a frame. What
they hold is nested in many ways: a dictionary of people (VIBE, WHAM), of frames (ROMP, PHALP),
lists of either, parameters beside the camera (4D-Humans) or one of several sets (GVHMR). Nothing in
a file is executed.
"""

import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hvc_jax.body.files import BodyFileError
from hvc_jax.body.frame_numbers import natural, numbers_of
from hvc_jax.ops.files import text_of
from hvc_jax.ops.npz import read_npy, read_npz
from hvc_jax.ops.plain_values import Budget, UnpickleError, plain_array
from hvc_jax.ops.torch_files import load_torch_tree, tensor_names
from hvc_jax.ops.unpickle import load_pickle

KINDS = ".npz, .npy, .pkl, .pt, .json or .bvh, or a folder with one file a frame"
POSE_FIELDS = (
    *("bodies", "poses", "pose", "global_orient", "root_orient", "global_pose", "smpl_thetas"),
    *("pred_rotmat", "pred_pose", "pred_thetas", "pred_body_pose", "fullpose"),
)
"""A dictionary with one of these is that of a person."""
_INNER = (
    *(
        "smpl_params_incam",
        "smplx_cam",
        "smpl_cam",
        "pred_smpl_params",
        "smplx_params",
        "smpl_params",
        "smpl",
        "smplx",
    ),
    *("params", "body"),
)
"""Where the parameters are one level deeper than the camera."""
_TRACKS = ("track_id", "person_id", "tid", "id", "bbox_id")
_FRAMES = ("frame_id", "frame", "frame_idx", "img_path", "imgname", "image_id")
FRAME_IDS = (
    *("frame_ids", "frame_id", "frames", "frame", "frame_idx", "frame_indices", "frame_idxs"),
    *("frame_numbers", "frame_nums", "image_ids", "img_ids"),
)
"""Fields that number the frame of every row."""
_LENS = ("img_focal", "img_center")
"""What TRAM and PromptHMR say of the camera, for all people."""
_TRACK_IN_NAME = re.compile(r"(?:^|_)(?:track|person|subject|id)_?(\d{1,9})$", re.I)
_PHALP_FOCAL = 5000.0
_NESTED = 8
_ROWS = ("smpl_thetas", "poses", "pose", "global_orient", "cam")
"""Fields whose first axis is frames, or people in a frame."""
_NAMES = re.compile(r"(^|_)(img|image|frame|file|pic|picture)", re.I)
"""Fields that name the picture of every row, where they hold text."""


class NobodyError(BodyFileError):
    """A file that can be read and holds nobody's parameters."""


class Record(NamedTuple):
    """The fields of a person, for one frame or for many."""

    track: int | str | None  # number or name of the person; None where there is one only
    frame: int | str | None  # number or name of the frame, where the record is of one
    fields: dict[str, np.ndarray]  # arrays by name
    first: int = 0  # the number of the first frame where the format says so


def read_records(path: str | os.PathLike) -> list[Record]:
    """Returns the people of a file or folder; BodyFileError with its name: none, or unreadable."""
    path = Path(path)
    try:
        if path.is_dir():
            return _read_folder(path)
        most, tree = path.stat().st_size, _read(path)
        found = _apart(list(_walk(tree, Record(None, None, {}), most, 0)))
        if any("pred_trans" in record.fields for record in found):
            found = [r._replace(fields={**_tram_camera(path), **r.fields}) for r in found]
    except UnpickleError as error:
        named = str(error).startswith(str(path))
        raise BodyFileError(str(error) if named else f"{path}: {error}") from None
    except OSError as error:
        raise BodyFileError(f"{path} cannot be read ({error.strerror or error})") from None
    except (ValueError, TypeError, LookupError, RecursionError, ArithmeticError) as error:
        if isinstance(error, BodyFileError):
            raise
        said = " ".join(str(error)[:120].split()) or type(error).__name__
        raise BodyFileError(f"{path} is damaged ({said}); kinds that are read: {KINDS}") from error
    if not found:
        raise NobodyError(
            f"{path}: none of {', '.join(map(repr, POSE_FIELDS[1:6]))} is present{_held(tree)}; "
            f"give a file of hvc fit, AMASS, or an estimator's SMPL or SMPL-X parameters ({KINDS})"
        )
    return found


def _held(tree: Any) -> str:
    """What a file has instead, for a message."""
    if not isinstance(tree, Mapping) or not tree:
        return ""
    names = ", ".join(repr(name)[:24] for name in itertools.islice(tree, 6))
    return f", but {names}{', ...' if len(tree) > 6 else ''}"


def _read(path: Path) -> Any:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return read_npz(path)
    if suffix == ".npy":
        array = read_npy(path)
        numbers = isinstance(array, np.ndarray) and not array.dtype.hasobject
        return {"bodies": array} if numbers else array
    if suffix in (".pt", ".pth"):
        return load_torch_tree(path)
    if suffix == ".json":
        return json.loads(text_of(path))
    if suffix in (".pkl", ".pickle", ".joblib", ".p"):
        return load_pickle(path, tensor_names(Budget(path.stat().st_size)))
    raise BodyFileError(f"{path} is no file of parameters; kinds that are read: {KINDS}")


def _apart(records: list[Record]) -> list[Record]:
    """Returns a record a person where the rows of a frame's record are people (ROMP)."""
    if len({record.frame for record in records}) < 2:
        return records
    out = []
    for record in records:
        lengths = [len(v) for k, v in record.fields.items() if k in _ROWS and v.ndim > 1]
        count = lengths[0] if lengths else 1
        if record.track is not None or count == 1 or set(lengths) != {count}:
            out.append(record)
            continue
        tracks = record.fields.get("track_ids", np.arange(count)).reshape(-1)
        for k in range(count):
            rows = {
                n: v[k : k + 1] if v.shape[:1] == (count,) else v for n, v in record.fields.items()
            }
            track = int(tracks[k]) if k < len(tracks) and np.isfinite(tracks[k]) else k
            out.append(record._replace(track=track, fields=rows))
    return out


def _tram_camera(path: Path) -> dict[str, np.ndarray]:
    """Returns the lens that TRAM writes beside the folder of its people, or nothing."""
    for folder in (path.parent, path.parent.parent):
        if (folder / "camera.npy").is_file():
            content = read_npy(folder / "camera.npy")
            if isinstance(content, Mapping):
                return _lens(content)
    return {}


def _lens(camera: Mapping) -> dict[str, np.ndarray]:
    return _numbers({name: camera[name] for name in _LENS if name in camera}, 1 << 10)


def _read_folder(path: Path) -> list[Record]:
    """A file a frame; SMPLer-X names it <frame>_<person> and keeps the camera in ../meta."""
    endings = (".npz", ".npy", ".pkl", ".pt", ".json")
    files = [file for file in path.iterdir() if file.suffix.lower() in endings]
    files = files or [f for f in path.glob("*/*_param.pkl")]  # PIXIE
    out: list[Record] = []
    for file in sorted(files, key=lambda file: natural(file.name)):
        try:
            records = read_records(file)
        except NobodyError:
            continue  # settings and the like; frames that lack a body are told by their numbers
        except BodyFileError as error:
            raise BodyFileError(f"{error}; take it out of the folder") from None
        frame, _, person = file.stem.rpartition("_")
        known = frame and frame.isdecimal() and person.isdecimal()
        meta = path.parent / "meta" / f"{file.stem}.json"
        extra = _numbers(json.loads(text_of(meta)), 1 << 16) if meta.is_file() else {}
        track = _TRACK_IN_NAME.search(file.stem)  # TRAM: all frames of a person
        if track and all(record.track is None for record in records):
            out += [record._replace(track=int(track[1])) for record in records]
            continue
        for record in records:
            out.append(
                Record(
                    int(person[:9]) if known else record.track,
                    int(frame[:9]) if known else file.name,
                    {**extra, **record.fields},
                    int(bool(known)),  # SMPLer-X counts from 1
                )
            )
    if not out:
        raise BodyFileError(f"{path} holds no parameter files; kinds that are read: {KINDS}")
    return out


def _walk(node: Any, at: Record, most: int, depth: int) -> Iterator[Record]:
    if depth > _NESTED:
        raise ValueError("nested too deeply")
    if isinstance(node, np.ndarray) and node.dtype.hasobject:
        node = node.ravel().tolist()
    if isinstance(node, Mapping):
        yield from _walk_fields(node, at, most, depth)
    elif isinstance(node, list | tuple):
        for k, entry in enumerate(node):
            if isinstance(entry, Mapping | list | tuple | np.ndarray):
                named = isinstance(entry, Mapping) and any(n in entry for n in _TRACKS)
                here = at if named or at.frame is not None else at._replace(frame=k)
                yield from _walk(entry, here if len(node) > 1 else at, most, depth + 1)


def _walk_fields(node: Mapping, at: Record, most: int, depth: int) -> Iterator[Record]:
    if isinstance(node.get("smpl"), list) and isinstance(node.get("tid"), list):
        yield from _phalp(node, at, most)
        return
    track = next((node[n] for n in _TRACKS if type(node.get(n)) in (int, str)), at.track)
    frame = next((node[n] for n in _FRAMES if type(node.get(n)) in (int, str)), at.frame)
    at = at._replace(track=track, frame=frame)
    if isinstance(node.get("camera"), Mapping):
        at = at._replace(fields={**at.fields, **_lens(node["camera"])})
    for name in _INNER:
        inner = node.get(name)
        if isinstance(inner, Mapping) and any(field in inner for field in POSE_FIELDS):
            parts = (at.fields, _numbers(node, most), _numbers(inner, most))
            yield at._replace(fields={name: v for part in parts for name, v in part.items()})
            return
    if any(field in node for field in POSE_FIELDS):
        yield at._replace(fields={**at.fields, **_numbers(node, most)})
        return
    frames = len(node) > 1 and at.frame is None and all(map(_is_frame, node.items()))
    for key, value in node.items():
        if not isinstance(value, Mapping | list | tuple | np.ndarray):
            continue
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            continue
        number = key if type(key) is int else int(key) if _is_number(key) else None
        if frames:
            here = at._replace(frame=number)
        elif number is not None and at.track is None:
            here = at._replace(track=number)
        elif any(c.isdigit() for c in str(key)) and at.frame is None:
            here = at._replace(frame=key)
        else:
            here = at
        yield from _walk(value, here, most, depth + 1)


def _is_frame(item: tuple[Any, Any]) -> bool:
    """Whether a number stands for a single body: so many people have not one row each."""
    key, value = item
    if not (type(key) is int or _is_number(key)) or not isinstance(value, Mapping):
        return False
    if any(name in value for name in (*_TRACKS, *FRAME_IDS)):
        return False
    shapes = [np.shape(value[n]) for n in POSE_FIELDS if isinstance(value.get(n), np.ndarray)]
    return bool(shapes) and all(shape[:1] == (1,) or len(shape) == 1 for shape in shapes)


def _is_number(key: Any) -> bool:
    return isinstance(key, str) and key.isdecimal() and len(key) < 10


def _phalp(node: Mapping, at: Record, most: int) -> Iterator[Record]:
    """PHALP and 4D-Humans on videos: lists over the people of a frame."""
    cameras = node.get("camera")
    for k, (track, smpl) in enumerate(zip(node["tid"], node["smpl"], strict=False)):
        if not isinstance(smpl, Mapping) or type(track) is not int:
            continue
        fields = _numbers(smpl, most)
        if isinstance(cameras, list) and k < len(cameras):
            fields["pred_cam_t_full"] = plain_array(cameras[k], most).reshape(1, -1)
            fields["scaled_focal_length"] = np.array(_PHALP_FOCAL)
        yield at._replace(track=track, fields=fields)


def _texts(value: Any) -> list[str] | None:
    """Several pieces of text, or None where the value is none."""
    texts = value.ravel().tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(texts, list) or len(texts) < 2:
        return None
    return texts if all(isinstance(text, str) for text in texts) else None


def _numbers(node: Mapping, most: int) -> dict[str, np.ndarray]:
    """Returns the fields that are numbers, as arrays."""
    out: dict[str, np.ndarray] = {}
    named: np.ndarray | None = None
    for key, value in node.items():
        if not isinstance(key, str):
            continue
        names = _texts(value) if _NAMES.search(key) else None
        if names is not None:
            numbers = numbers_of(names)
            if numbers is not None and max(numbers) < 1 << 40:
                named = np.array(numbers)
            continue
        if isinstance(value, np.ndarray) and value.dtype.kind == "U" and value.size == 1:
            value = str(value.reshape(-1)[0])
        if isinstance(value, str) and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
            value = float(value)
        try:
            array = plain_array(value, most)
        except ValueError as error:
            if key in (*POSE_FIELDS, "body_pose", "pose_body"):
                raise ValueError(f"field {key!r}: {error}") from None
            continue
        if array.dtype.kind in "fiub":
            out[key] = array
    if named is not None and not any(name in out for name in FRAME_IDS):
        out["frame_ids"] = named
    return out
