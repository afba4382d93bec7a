"""The cameras of estimators' files, as the weak-perspective camera of a square picture.

| camera | fields | what it says |
|---|---|---|
| ROMP | `cam` [T, 3] beside other fields of ROMP's | (s, tx, ty): u = s X + tx, v = s Y + ty, v down, over the picture padded to a square |
| weak, of the picture | `orig_cam` [T, 4] (VIBE and its heirs) | (sx, sy, tx, ty), u and v in [-1, 1] over the picture |
| weak, of a square crop | `pred_cam`, `pred_camera`, `camera`, `body_cam` [T, 3] | (s, tx, ty): u = s (X + tx), v = s (Y + ty), v down, in the crop |
| and where the crop was | `bboxes` (cx, cy, w, w); `box_center`, `box_size`; `bbx_xys`; `center`, `scale` (of 200 pixels); `bbox_top_left`, `bbox_scale_ratio` (of 224); `bbox` of PIXIE | pixels |
| perspective | `pred_cam_t_full`, `transl`, `pred_trans`, `trans`, `cam_t`, `global_t`, `pred_cam_t` [T, 3] with a lens | the body is at the translation, metres, OpenCV axes |
| and its lens | `K`, `K_fullimg`, `intrinsics`, `cam_K`, ... [3, 3] or [T, 3, 3]; `scaled_focal_length`, `focal_length`, `focal_l`, `focal`, `img_focal` (with `princpt`, `img_center`) | pixels; WHAM's is the picture's diagonal |

A crop's camera whose crop is not in the file is taken as that of the coded picture, and that is
said. A perspective camera becomes the weak one that agrees with it at the pelvis. X and Y are
vertices as the estimator's model places them, not centred at the pelvis.
"""  # noqa: E501

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from hvc_jax.body.files import BodyFileError

# Rest pelvis of the mean shapes, metres; it moves by about a centimetre with the shape.
PELVIS = {"smpl": (-0.002, -0.223, 0.028), "smplx": (0.003, -0.351, 0.012)}

_ROMP = ("smpl_betas", "smpl_thetas", "cam_trans", "center_confs", "center_preds", "pj2d_org")
_CROP = ("pred_cam", "pred_camera", "camera", "body_cam")
_TRANSL = (
    *("pred_cam_t_full", "transl", "pred_trans", "trans", "cam_t", "global_t", "pred_cam_t"),
)
_WORLD = ("transl", "trans")
"""Translations that say nothing of a camera where no lens is beside them."""
_MATRIX = (
    *("K", "K_fullimg", "intrinsics", "cam_K", "cam_intrinsics", "intrinsic", "cam_int"),
    *("Ks", "intrins", "camera_matrix"),
)
_FOCAL = ("scaled_focal_length", "focal_length", "focal_l", "focal", "img_focal")
_CENTRE = ("princpt", "img_center", "camera_center", "principal_point")
_WHAM = ("pose_world", "trans_world")
_CAMERA_LIKE = re.compile(
    r"(^|_)(cam|camera|cams|K|focal|intrinsics?|fov|persp|perspective)(_|$|\d)", re.I
)
_BESIDE = re.compile(r"(_R|_T|rot|world|slam|conf|image|path|angvel)$|^static|extrin", re.I)
_PIXIE_MARGIN = 1.1
_SAME_ASPECT = 0.02
_SHORTEST_FOCAL = 0.15
"""Focal length divided by the picture's longer side: shorter ones are not in pixels."""
_PERSON_HEIGHT, _SMALLEST_PERSON = 1.7, 0.01
"""Metres, and the part of the square below which nobody can have been seen."""


class View(NamedTuple):
    """How the coded square, "crop" (the centre) or "pad", was made of a picture, in its pixels."""

    width: int
    height: int
    fit: str = "crop"

    @property
    def side(self) -> int:
        """Side of the square in pixels of the estimator's picture."""
        return (min if self.fit == "crop" else max)(self.width, self.height)


class CameraNotice(NamedTuple):
    """A camera and what has to be said of it."""

    # [T, 3] weak-perspective (see `camera.project`), or None: the file has none
    camera: np.ndarray | None
    name: str = ""  # of the fields that it is from
    note: str = ""  # a part of a sentence, or ""


class _Scene(NamedTuple):
    raw: Mapping[str, np.ndarray]
    frames: int
    pelvis: np.ndarray
    view: View | None
    path: Any

    def rows(self, name: str, count: int, *, once: bool = False) -> np.ndarray:
        """Returns a field of `count` numbers for every frame [T, count], or `once` for all."""
        values = np.atleast_1d(self.raw[name]).astype(np.float64)
        if once and values.size == count:
            return np.broadcast_to(values.reshape(1, count), (self.frames, count))
        if values.size != self.frames * count:
            raise BodyFileError(
                f"{self.path}: field {name!r} has shape {values.shape}, not "
                f"({self.frames}, {count})"
            )
        return values.reshape(self.frames, count)

    def has(self, *names: str) -> str | None:
        """Returns the first of the names that is in the file."""
        return next((name for name in names if name in self.raw), None)


def read_camera(
    raw: Mapping[str, np.ndarray], frames: int, pelvis: np.ndarray, view: View | None, path: Any
) -> CameraNotice:
    """Returns the weak-perspective cameras of T frames of a record.

    Args:
      raw: fields of a person.
      frames: T.
      pelvis: [3] or [T, 3] rest pelvis of the estimator's model, metres.
      view: of the picture that is coded; None for a square one.
      path: of the file, for messages.

    Raises BodyFileError: a field has a wrong shape, a translation comes without a focal length, or
    the camera is of a convention that is not known.
    """
    pelvis = np.broadcast_to(np.asarray(pelvis, np.float64), (frames, 3))
    scene = _Scene(raw, frames, pelvis, _view_of_file(raw, view, path), path)
    for read in _READERS:
        found = read(scene)
        if found is not None:
            return found
    unknown = [n for n in raw if _CAMERA_LIKE.search(n) and not _BESIDE.search(n)]
    if unknown:
        raise BodyFileError(
            f"{path}: the camera in {', '.join(map(repr, unknown[:5]))} is of no known convention; "
            "known are pred_cam (u = s (X + tx)) with bboxes or box_center and box_size, orig_cam, "
            "and transl with K or focal_length: rename the field if it is one of them"
        )
    return CameraNotice(
        None,
        note="has no camera (looked for pred_cam, orig_cam, cam of ROMP, and a translation with K "
        "or a focal length): the body stands in the middle at a fixed size",
    )


def has_camera(raw: Mapping[str, np.ndarray]) -> bool:
    """Returns whether a field names a camera: then the file is an estimator's."""
    known = {"orig_cam", "cam", *_CROP, *_MATRIX, *_FOCAL}
    return any(name in known for name in raw)


def _view_of_file(raw: Mapping[str, np.ndarray], view: View | None, path: Any) -> View | None:
    """Returns the view with the size of the estimator's picture, where the file says it."""
    if view is None or "img_size" not in raw or raw["img_size"].size < 2:
        return view
    width, height = (float(n) for n in raw["img_size"].reshape(-1)[:2])
    if not (0 < width < 1e6 and 0 < height < 1e6):
        return view
    ratio = (width / height) / (view.width / view.height)
    if abs(ratio - 1) > _SAME_ASPECT:
        raise BodyFileError(
            f"{path}: field 'img_size' says {width:.0f}x{height:.0f}, the clip is "
            f"{view.width}x{view.height}: is it of another clip?"
        )
    return View(round(width), round(height), view.fit)


def _weak(scene: _Scene, scale: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns our camera of u = scale (X + x), v = scale (Y + y) over the square."""
    return np.stack([scale, x + scene.pelvis[:, 0], -(y + scene.pelvis[:, 1])], -1)


def _romp(scene: _Scene) -> CameraNotice | None:
    raw, view = scene.raw, scene.view
    if "cam" not in raw:
        return None
    scale, tx, ty = scene.rows("cam", 3).T
    if not scene.has(*_ROMP) and not ("poses" in raw and "global_orient" in raw):
        raise BodyFileError(
            f"{scene.path}: field 'cam' is of no known convention; rename it pred_cam if it means "
            "u = s (X + tx), or keep ROMP's other fields (cam_trans, smpl_thetas) beside it"
        )
    safe = np.where(np.abs(scale) > 1e-9, scale, np.nan)
    larger = max(view.width, view.height) / view.side if view else 1.0
    return CameraNotice(_weak(scene, scale * larger, tx / safe, ty / safe), "cam of ROMP")


def _of_picture(scene: _Scene) -> CameraNotice | None:
    if "orig_cam" not in scene.raw:
        return None
    sx, _, tx, ty = scene.rows("orig_cam", 4).T
    view = scene.view
    return CameraNotice(
        _weak(scene, sx * (view.width / view.side if view else 1), tx, ty), "orig_cam"
    )


def _box(scene: _Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Returns centre and side of the crops [T], pixels, or None where the file does not say."""
    raw, rows = scene.raw, scene.rows
    if "bboxes" in raw:
        x, y, side, high = rows("bboxes", 4).T
        seen = np.isfinite(side + high)
        if not np.allclose(side[seen], high[seen], rtol=0.02):
            raise BodyFileError(
                f"{scene.path}: field 'bboxes' has no square crops (cx, cy, w, w); give box_center "
                "and box_size instead"
            )
    elif "bbx_xys" in raw:
        x, y, side = rows("bbx_xys", 3).T
    elif centre := next(
        (n for n in ("box", "bbox") if {n + "_center", n + "_size"} <= set(raw)), ""
    ):
        (x, y), side = rows(centre + "_center", 2).T, rows(centre + "_size", 1)[:, 0]
    elif "bbox_top_left" in raw and "bbox_scale_ratio" in raw:
        side = 224 / rows("bbox_scale_ratio", 1)[:, 0]
        x, y = (rows("bbox_top_left", 2) + side[:, None] / 2).T
    elif "body_cam" in raw and "bbox" in raw:
        left, top, right, bottom = rows("bbox", 4).T
        x, y = (left + right) / 2, (top + bottom) / 2
        side = _PIXIE_MARGIN * np.maximum(right - left, bottom - top)
    elif "center" in raw and "scale" in raw and raw["scale"].size in (1, scene.frames):
        (x, y), side = rows("center", 2).T, 200 * rows("scale", 1)[:, 0]
    else:
        return None
    return x, y, side


def _of_crop(scene: _Scene) -> CameraNotice | None:
    name = scene.has(*_CROP)
    if name is None:
        return None
    box = _box(scene)
    if box is None and (_lens(scene) is not None and scene.has(*_TRANSL[:3])):
        return None  # the whole picture's camera is in the file
    if box is None and scene.has("pred_trans"):
        return None  # TRAM: refused for the focal length
    scale, tx, ty = scene.rows(name, 3).T
    if box is None or scene.view is None:
        note = f"does not say where the crop of {name} was: taken as that of the whole picture"
        return CameraNotice(_weak(scene, scale, tx, ty), name, note if box is None else "")
    x, y, side = box
    scale = scale * side / scene.view.side
    safe = np.where(np.abs(scale) > 1e-9, scale, np.nan)
    tx = tx + (2 * x - scene.view.width) / scene.view.side / safe
    ty = ty + (2 * y - scene.view.height) / scene.view.side / safe
    return CameraNotice(_weak(scene, scale, tx, ty), f"{name} in its crop")


def _lens(scene: _Scene) -> str | None:
    """Returns the field of the lens, or "" for WHAM's, which is not in the file."""
    name = scene.has(*_MATRIX, *_FOCAL)
    return "" if name is None and scene.has(*_WHAM) and "trans" in scene.raw else name


def _perspective(scene: _Scene) -> CameraNotice | None:
    lens, name = _lens(scene), scene.has(*_TRANSL)
    if lens == "":
        name = "trans"
    if name is None or (lens is None and name in _WORLD):
        return None
    if lens is None or scene.view is None:
        needed = "a focal length (focal_length or K)" if lens is None else "the picture's size"
        beside = "; TRAM keeps it as img_focal in camera.npy" if name == "pred_trans" else ""
        raise BodyFileError(f"{scene.path}: field {name!r} is of no use without {needed}{beside}")
    view = scene.view
    at = scene.rows(name, 3) + scene.pelvis
    seen = np.isfinite(at).all(-1)
    if (at[seen, 2] <= 0).any():
        raise BodyFileError(
            f"{scene.path}: field {name!r} puts the body behind the camera (z <= 0)"
        )
    focal, centre = _intrinsics(scene, lens, view)
    if seen.any() and np.median(focal[seen]) < _SHORTEST_FOCAL * max(view.width, view.height):
        raise BodyFileError(
            f"{scene.path}: field {lens!r} has a focal length of {np.median(focal[seen]):.4g} "
            f"pixels for a picture of {view.width}x{view.height}; give it in pixels"
        )
    # Pixels from the middle of the picture, which is the middle of the square.
    middle = centre + 0.5 - np.array([view.width, view.height]) / 2
    scale = 2 * focal / at[:, 2] / view.side
    if seen.any() and np.median(scale[seen]) * _PERSON_HEIGHT / 2 < _SMALLEST_PERSON:
        raise BodyFileError(
            f"{scene.path}: field {name!r} puts the body {np.median(at[seen, 2]):.4g} m away; are "
            "these millimetres?"
        )
    safe = np.where(np.abs(scale) > 1e-9, scale, np.nan)
    x = at[:, 0] + 2 * middle[:, 0] / view.side / safe
    y = -(at[:, 1] + 2 * middle[:, 1] / view.side / safe)
    said = lens or "the picture's diagonal as focal length"
    return CameraNotice(np.stack([scale, x, y], -1), f"{name} and {said}")


def _intrinsics(scene: _Scene, name: str, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Returns focal lengths [T] and principal points [T, 2], pixels, integers at pixel centres."""
    frames = scene.frames
    centre = np.tile(np.array([view.width - 1, view.height - 1]) / 2, (frames, 1))
    if not name:
        return np.full(frames, np.hypot(view.width, view.height)), centre
    if name in _MATRIX:
        matrix = scene.rows(name, 9, once=True)
        return (matrix[:, 0] + matrix[:, 4]) / 2, matrix[:, [2, 5]]
    values = scene.raw[name].astype(np.float64)
    if values.size not in (1, 2, frames, 2 * frames):
        raise BodyFileError(
            f"{scene.path}: field {name!r} has shape {values.shape}, not [T] pixels"
        )
    if values.size in (2 * frames, 2) and values.shape[-1] == 2:
        values = values.mean(-1)
    if point := scene.has(*_CENTRE):
        centre = scene.rows(point, 2, once=True)
    return np.broadcast_to(values.reshape(-1), (frames,)), centre


_READERS: tuple[Callable[[_Scene], CameraNotice | None], ...] = (
    _romp,
    _of_picture,
    _of_crop,
    _perspective,
)
