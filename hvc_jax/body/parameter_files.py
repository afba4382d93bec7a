"""Body vectors from the parameter files that others write: AMASS, BVH and estimators.

Files are opened by `parameter_trees`, rotations understood by `parameter_poses`, cameras by
`parameter_cameras`; rows are put on the clip's frames here: where the file says which frames its
rows are of they belong to those, rows that are not finite are gaps, and motion capture is resampled
to the clip's rate. Shape coefficients do not carry over to the open body, and are kept only on
request. Files of `hvc fit` (`bodies` [T, 188]) come back as they are.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hvc_jax.body import parameter_cameras
from hvc_jax.body.files import BodyFileError
from hvc_jax.body.frame_numbers import FrameNumberError, place
from hvc_jax.body.parameter_cameras import PELVIS, View
from hvc_jax.body.parameter_poses import Pose, read_pose, upright
from hvc_jax.body.parameter_rows import numbered, rate_of
from hvc_jax.body.parameter_timeline import Rows, on_frames, resampled
from hvc_jax.body.parameter_trees import Record, read_records
from hvc_jax.body.params import BODY_VECTOR_SIZE, NUM_JOINTS, BodyParams, pack

if TYPE_CHECKING:
    from hvc_jax.body.assets import Body

_STAND_IN = (0.9, 0.0, 0.0)
_SAME_RATE = 0.01
_SAME_RATE_OF_CAPTURE = 5e-4
FRAMES_AT_MOST = 1_000_000


class Parameters(NamedTuple):
    """What a file says of a clip."""

    bodies: np.ndarray  # [T, 188] body vectors
    # [T], 0 where no row of the file is of the frame and the body is filled in
    confidence: np.ndarray
    source: str  # what kind of file it is, in words
    notes: tuple[str, ...]  # sentences on what was assumed


class _Converted(NamedTuple):
    """A record in our terms: rows, the frame of each (None: one after the other), rate."""

    rows: Rows
    numbers: np.ndarray | None
    rate: float | None
    pose: Pose
    camera: parameter_cameras.CameraNotice


def load_parameters(
    path: str | os.PathLike,
    *,
    keep_shape: bool = False,
    pelvis: np.ndarray | None = None,
    view: View | None = None,
    frames: int | None = None,
    fps: float | None = None,
    start: int = 0,
    person: int | None = None,
    body: "Body | None" = None,
) -> Parameters:
    """Returns the body vectors of one person in a parameter file.

    Args:
      path: the file, or a folder with one a frame.
      keep_shape: take betas and expression as they are; only right for the model they belong to.
      pelvis: [3] or [T, 3] rest pelvis of that model (`Body.J_template[0]`), for cameras that act
        on uncentred vertices; by default that of `body`, or of the mean SMPL or SMPL-X body.
      view: of the picture that is coded; None for a square one.
      frames: of the clip, for rows that name theirs; by default up to the last one named.
      fps: of the clip, to resample motion capture; None leaves its rate.
      start: the clip's frame that is the first one wanted; rows without frame numbers begin there.
      person: track number, or place in the file; None for who has most frames.
      body: the model that the parameters are of, for its pelvis and the mean pose of its hands.

    Raises BodyFileError: the file is of no known kind, a field has a wrong shape, its camera is of
    an unknown convention, or there is no such person.
    """
    if Path(path).suffix.lower() == ".bvh":
        return _from_bvh(path, fps)
    records = read_records(path)
    if any("bodies" in record.fields for record in records):
        return _own(records[0].fields, path)
    notes: list[str] = []
    chosen = _choose(records, person, path, notes)
    with np.errstate(all="ignore"):  # rows that are not finite become gaps
        parts = [_convert(r, keep_shape, pelvis, view, body, path) for r in chosen]
    rows = Rows(*(np.concatenate(column) for column in zip(*(p.rows for p in parts), strict=True)))
    numbers = _numbers(chosen, parts, frames, path)
    first = parts[0]
    if first.pose.relative_hands and (body is None or body.hands_mean is None):
        notes.append(
            "hands are relative to the mean pose of SMPL-X, which is not in the file; give it by "
            "--body SMPLX_NEUTRAL.npz"
        )
    notes += [part.camera.note for part in parts if part.camera.note][:1]
    rate = first.rate
    # Rows of an estimator are those of a video, whose rate it may have rounded.
    same = _SAME_RATE if first.pose.turn > 0 else _SAME_RATE_OF_CAPTURE
    if rate and not fps:
        notes.append(f"has {rate:g} frames/s, and every row is taken as a frame")
    if rate and fps and numbers is None and abs(rate / fps - 1) > same:
        rows = resampled(rows, rate, fps)
        notes.append(f"has {rate:g} frames/s and is resampled to the clip's {fps:g}")
    try:
        rows, confidence = _on_clip(rows, numbers, frames, start)
    except ValueError as error:
        raise BodyFileError(f"{path}: {error}") from None
    if lost := int((confidence == 0).sum()):
        notes.append(f"has no body for {lost} of {len(confidence)} frames, which are filled in")
    return Parameters(
        _vectors(rows), confidence, _source(first, len(parts)), tuple(f"{path} {n}" for n in notes)
    )


def describe(path: str | os.PathLike) -> str:
    """Returns what kind of parameters a file holds, in a line; ValueError: none known."""
    found = load_parameters(path, view=View(1000, 1000))
    gaps = int((found.confidence == 0).sum())
    missing = f" ({gaps} without a body)" if gaps else ""
    others = [note.removeprefix(f"{path} ") for note in found.notes if "people" in note]
    return "; ".join([f"{found.source}, {len(found.bodies)} frames{missing}", *others])


def _choose(records: list[Record], person: int | None, path: Any, notes: list[str]) -> list[Record]:
    """Returns the records of one person."""
    people: dict[Any, list[Record]] = {}
    for record in records:
        people.setdefault(record.track, []).append(record)
    if person is None:
        # Rows say how long somebody is in the file: many records, or long ones.
        track = max(people, key=lambda t: sum(_length(r) for r in people[t]))
        if len(people) > 1:
            named = ", ".join(map(str, list(people)[:10]))
            notes.append(f"has {len(people)} people ({named}): {track} is taken; see --person")
    elif person in people:
        track = person
    elif not any(isinstance(t, int) for t in people) and 0 <= person < len(people):
        track = list(people)[person]
    else:
        named = ", ".join(str(t) for t in list(people)[:10] if t is not None) or "0"
        raise BodyFileError(f"{path}: there is no person {person}; it has {named}")
    return people[track]


def _length(record: Record) -> int:
    return max((len(value) for value in record.fields.values() if value.ndim), default=1)


def _convert(
    record: Record,
    keep_shape: bool,
    pelvis: np.ndarray | None,
    view: View | None,
    body: "Body | None",
    path: Any,
) -> _Converted:
    raw = record.fields
    components = None if body is None or body.hands_components is None else body.hands_components
    camera_like = parameter_cameras.has_camera(raw)
    pose = read_pose(raw, camera_like, None if components is None else np.asarray(components), path)
    frames = len(pose.rotations)
    if frames > FRAMES_AT_MOST:
        raise BodyFileError(f"{path} has {frames} frames; cut it into parts")
    rotations = upright(pose)
    if pose.relative_hands and body is not None and body.hands_mean is not None:
        rotations[:, 25:] += np.asarray(body.hands_mean).reshape(30, 3)
    shape = np.concatenate(
        [
            _shape(raw, ("betas", "smpl_betas", "pred_shape", "shape"), frames, keep_shape),
            _shape(raw, ("expression", "exp", "expr"), frames, keep_shape),
        ],
        1,
    )
    if pelvis is None:
        pelvis = _pelvis(raw, frames, body, pose.joints)
    found = parameter_cameras.read_camera(raw, frames, pelvis, view, path)
    camera = np.tile(_STAND_IN, (frames, 1)) if found.camera is None else found.camera
    # A scale of 0 shows nobody: a lost frame as zeros.
    camera = np.where(camera[:, :1] > 1e-6, camera, np.nan)
    valid, numbers = numbered(raw, frames, path)
    lost = ~valid
    if pose.turn > 0:
        zero = (pose.rotations == 0).all((1, 2))  # lost, where others are not
        lost |= zero & ~zero.all()
    rotations[lost] = np.nan
    rate = rate_of(raw, path)
    return _Converted(
        Rows(rotations, np.concatenate([shape, camera], 1)), numbers, rate, pose, found
    )


def _shape(
    raw: Mapping[str, np.ndarray], names: tuple[str, ...], frames: int, keep: bool
) -> np.ndarray:
    out = np.zeros((frames, 10))
    found = next((raw[n] for n in names if n in raw), None)
    if keep and found is not None and found.size:
        values = found.reshape(-1, found.shape[-1])[:, :10]
        if len(values) in (1, frames):
            out[:, : values.shape[1]] = values
    return out


def _pelvis(
    raw: Mapping[str, np.ndarray], frames: int, body: "Body | None", joints: int
) -> np.ndarray:
    """Returns the rest pelvis [3] or [T, 3] of the model of the parameters."""
    if body is None:
        hands = joints == NUM_JOINTS or any(
            n in raw for n in ("left_hand_pose", "jaw_pose", "pose_hand", "global_pose")
        )
        return np.array(PELVIS["smplx" if hands else "smpl"])
    rest = np.asarray(body.J_template[0], np.float64)
    directions = np.asarray(body.J_shapedirs[: body.num_betas, 0], np.float64)
    betas = _shape(raw, ("betas", "smpl_betas", "pred_shape", "shape"), frames, True)
    return rest + betas[:, : len(directions)] @ directions


def _numbers(
    records: list[Record], parts: list[_Converted], frames: int | None, path: Any
) -> np.ndarray | None:
    """Returns the frame of every row, or None where rows come one after the other."""
    if len(parts) == 1:
        return parts[0].numbers
    if any(len(part.rows.pose) > 1 for part in parts):
        raise BodyFileError(f"{path} holds several takes of one person; give one of them")
    labels = [k if record.frame is None else record.frame for k, record in enumerate(records)]
    if len(set(labels)) != len(labels):
        raise BodyFileError(f"{path} has several people in a frame without numbers to tell them")
    if frames is None:
        frames = max([len(labels), *(n + 1 for n in labels if isinstance(n, int) and n < 1 << 31)])
    try:
        return np.array(place(labels, frames, records[0].first))
    except FrameNumberError as error:
        raise BodyFileError(f"{path} {error}") from None


def _on_clip(
    rows: Rows, numbers: np.ndarray | None, frames: int | None, start: int
) -> tuple[Rows, np.ndarray]:
    if numbers is None:
        return on_frames(rows, np.arange(len(rows.pose)), len(rows.pose))
    if frames is not None and numbers.max() == frames and numbers.min() >= 1:
        numbers = numbers - 1  # counted from 1
    last = int(numbers.max())
    if frames is not None and last >= frames:
        raise ValueError(f"frame_ids name frame {last}, the clip has {frames} (from 0)")
    if last >= FRAMES_AT_MOST:
        raise ValueError(f"frame_ids name frame {last}, which is no frame of a clip")
    rows, confidence = on_frames(rows, numbers, last + 1 if frames is None else frames)
    return Rows(rows.pose[start:], rows.rest[start:]), confidence[start:]


def _vectors(rows: Rows) -> np.ndarray:
    vector = pack(
        BodyParams(
            betas=rows.rest[:, :10],
            expression=rows.rest[:, 10:20],
            global_orient=rows.pose[:, 0],
            body_pose=rows.pose[:, 1:],
            camera=rows.rest[:, 20:],
        )
    )
    return np.asarray(vector, np.float32)


def _source(part: _Converted, records: int) -> str:
    axes = "an estimator's" if part.pose.turn > 0 else "motion capture"
    camera = f", camera of {part.camera.name}" if part.camera.name else ", no camera"
    rate = f", {part.rate:g} frames/s" if part.rate else ""
    return f"parameters in {part.pose.field!r} ({axes}{camera}{rate})"


def _from_bvh(path: Any, fps: float | None) -> Parameters:
    """Motion capture with a stand-in camera that follows the body, but not up and down."""
    from hvc_jax.body.assets import load_body
    from hvc_jax.body.bvh_retarget import metres_per_unit, pelvis_places, read_motion

    rest = np.asarray(load_body().J_template)
    try:
        motion, pose = read_motion(path, rest)
    except (ValueError, OSError) as error:
        raise BodyFileError(str(error)) from None
    place = pelvis_places(motion) * metres_per_unit(motion, rest)
    height = (place - place[:1])[:, 1]
    camera = np.tile(_STAND_IN, (len(pose), 1))
    camera[:, 2] = height.clip(-2, 2)
    rows = Rows(pose.astype(np.float64), np.concatenate([np.zeros((len(pose), 20)), camera], 1))
    notes = [f"{path} has no camera: the body stays in the middle at a fixed size"]
    if fps and abs(motion.fps / fps - 1) > _SAME_RATE:
        rows = resampled(rows, motion.fps, fps)
        notes.append(f"{path} has {motion.fps:.4g} frames/s and is resampled to the clip's {fps:g}")
    source = f"BVH motion, {len(motion.names)} joints, {motion.fps:.4g} frames/s"
    return Parameters(_vectors(rows), np.ones(len(rows.pose), np.float32), source, tuple(notes))


def _own(raw: Mapping[str, np.ndarray], path: Any) -> Parameters:
    """Returns the body vectors of a file of our own, checked."""
    bodies = raw["bodies"]
    if bodies.ndim != 2 or bodies.shape[1] != BODY_VECTOR_SIZE or bodies.dtype.kind != "f":
        raise BodyFileError(
            f"{path}: holds {bodies.dtype} {list(bodies.shape)} and no body vectors [T, 188]; "
            "write it with hvc fit"
        )
    if not len(bodies) or not (np.abs(bodies) < 1e6).all():
        raise BodyFileError(f"{path}: holds numbers that are not finite; write it with hvc fit")
    confidence = raw.get("confidence", np.ones(0))
    if confidence.shape != (len(bodies),):
        confidence = np.ones(len(bodies))
    confidence = np.nan_to_num(confidence.astype(np.float64)).clip(0, 1).astype(np.float32)
    return Parameters(bodies.astype(np.float32), confidence, "body vectors of hvc fit", ())
