"""The cameras of estimators' files, as the weak-perspective camera of a square picture.

| camera | fields | what it says |
|---|---|---|
| weak, of a square crop | `pred_cam`, `camera`, `cam` [T, 3] | (s, tx, ty): u = s (X + tx), v = s (Y + ty), v down, in the crop |
| the same, with its crop | and `bboxes` [T, 4] (VIBE and its heirs) | crops of width w around (cx, cy), pixels: (cx, cy, w, h) |
| weak, of the picture | `orig_cam` [T, 4] (VIBE and its heirs) | (sx, sy, tx, ty), u and v in [-1, 1] over the picture |
| perspective | `transl`, `pred_cam_t`, `cam_t` or `global_t` [T, 3], with `K`, `intrinsics`, or `focal_length`, `focal_l` or `focal` (and `princpt`), pixels | the body is at the translation, metres, OpenCV axes |

Where a file does not say where its crop was, the crop is taken as the coded picture. A perspective
camera becomes the weak one that agrees with it at the pelvis. X and Y are vertices as the
estimator's model places them, not centred at the pelvis.
"""  # noqa: E501

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from hvc_jax.body.files import BodyFileError

# Rest pelvis of the mean shapes, metres; it moves by about a centimetre with the shape.
PELVIS = {"smpl": (-0.002, -0.223, 0.028), "smplx": (0.003, -0.351, 0.012)}

_CROP = ("pred_cam", "camera", "cam")
_TRANSL = ("transl", "pred_cam_t", "cam_t", "global_t")
_MATRIX = ("K", "intrinsics")
_FOCAL = ("focal_length", "focal_l", "focal")


class View(NamedTuple):
    """How the coded square was made of the picture that an estimator saw.

    Attributes:
      width: of the estimator's picture, pixels.
      height: of it, pixels.
      fit: "crop" (the centre) or "pad".
    """

    width: int
    height: int
    fit: str = "crop"

    @property
    def side(self) -> int:
        """Side of the square in pixels of the estimator's picture."""
        return (min if self.fit == "crop" else max)(self.width, self.height)


def read_camera(
    raw: Mapping[str, Any], frames: int, pelvis: np.ndarray, view: View | None, path: Any
) -> np.ndarray | None:
    """Returns the weak-perspective cameras [T, 3] of a file (see `camera.project`), or None.

    Args:
      raw: fields of the file.
      frames: T.
      pelvis: [3] or [T, 3] rest pelvis of the estimator's model, metres.
      view: of the picture that the estimator saw; None for a square one.
      path: of the file, for messages.

    Raises:
      BodyFileError: a field has a wrong shape, or a translation comes without a focal length.
    """
    pelvis = np.broadcast_to(np.asarray(pelvis, np.float32), (frames, 3))
    if "orig_cam" in raw:
        sx, _, tx, ty = _rows(raw, "orig_cam", frames, 4, path).T
        scale = sx * (view.width / view.side if view else 1.0)
        return np.stack([scale, tx + pelvis[:, 0], -(ty + pelvis[:, 1])], -1)
    if name := next((n for n in _CROP if n in raw), None):
        scale, tx, ty = _rows(raw, name, frames, 3, path).T
        if "bboxes" in raw and view is not None:
            x, y, width, _ = _rows(raw, "bboxes", frames, 4, path).T
            scale = scale * width / view.side
            tx = tx + (2 * x - view.width) / view.side / scale
            ty = ty + (2 * y - view.height) / view.side / scale
        return np.stack([scale, tx + pelvis[:, 0], -(ty + pelvis[:, 1])], -1)
    lens = next((n for n in (*_MATRIX, *_FOCAL) if n in raw), None)
    name = next((n for n in _TRANSL if n in raw), None)
    if name is None or (lens is None and name == "transl"):
        return None  # a translation in the world is no camera
    if lens is None or view is None:
        needed = "a focal length (focal_length or K)" if lens is None else "the picture's size"
        raise BodyFileError(f"{path}: field {name!r} is of no use without {needed}")
    at = _rows(raw, name, frames, 3, path) + pelvis
    if (at[:, 2] <= 0).any():
        raise BodyFileError(f"{path}: field {name!r} puts the body behind the camera (z <= 0)")
    focal, centre = _intrinsics(raw, lens, frames, view, path)
    # Pixels from the middle of the picture, which is the middle of the square.
    middle = centre + 0.5 - np.array([view.width, view.height]) / 2
    scale = 2 * focal / at[:, 2] / view.side
    x = at[:, 0] + 2 * middle[:, 0] / view.side / scale
    y = -(at[:, 1] + 2 * middle[:, 1] / view.side / scale)
    return np.stack([scale, x, y], -1).astype(np.float32)


def _intrinsics(
    raw: Mapping[str, Any], name: str, frames: int, view: View, path: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Returns focal lengths [T] and principal points [T, 2], pixels, integers at pixel centres."""
    values = np.asarray(raw[name], np.float32)
    if name in _MATRIX:
        if values.shape not in ((3, 3), (frames, 3, 3)):
            raise BodyFileError(f"{path}: field {name!r} has shape {values.shape}, not [T, 3, 3]")
        matrix = np.broadcast_to(values, (frames, 3, 3))
        return (matrix[:, 0, 0] + matrix[:, 1, 1]) / 2, matrix[:, :2, 2]
    if values.size not in (1, 2, frames, 2 * frames):
        raise BodyFileError(f"{path}: field {name!r} has shape {values.shape}, not [T] pixels")
    if values.size in (2 * frames, 2) and values.shape[-1] == 2:
        values = values.mean(-1)
    focal = np.broadcast_to(values.reshape(-1), (frames,))
    centre = np.array([view.width - 1, view.height - 1], np.float32) / 2
    if "princpt" in raw:
        centre = np.asarray(raw["princpt"], np.float32)
    return focal, np.broadcast_to(centre.reshape(-1, 2), (frames, 2))


def _rows(raw: Mapping[str, Any], name: str, frames: int, count: int, path: Any) -> np.ndarray:
    """Returns a field of `count` numbers for every frame [T, count]."""
    values = np.atleast_2d(np.asarray(raw[name], np.float32))
    if values.size != frames * count or values.shape[-1] != count:
        raise BodyFileError(
            f"{path}: field {name!r} has shape {values.shape}, not ({frames}, {count})"
        )
    return values.reshape(frames, count)
