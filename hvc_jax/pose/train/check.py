"""How well the picture half finds keypoints and masks of people that it was not trained with."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.models.keypoint_network import HEATMAP_SIZE, INPUT_SIZE, Keypoints
from hvc_jax.ops.compile import fast_jit
from hvc_jax.pose.pose_error import correct_keypoints, mask_iou, torso_size
from hvc_jax.pose.pseudo_labels import PseudoLabels, person_box, square_crop
from hvc_jax.pose.regressor import BodyRegressor

_BATCH = 16


class Held(NamedTuple):
    """Windows around people that training does not see.

    Attributes:
      pictures: [N, 128, 128, 3] uint8.
      points: [N, 17, 2] in [-1, 1] of the window.
      confidence: [N, 17] in [0, 1].
      torso: [N] in the same units.
      mask: [N, 32, 32] bool.
      clip: [N] int, the clip that each comes from.
    """

    pictures: np.ndarray
    points: np.ndarray
    confidence: np.ndarray
    torso: np.ndarray
    mask: np.ndarray
    clip: np.ndarray


def held_windows(clips: list[PseudoLabels], per_clip: int = 16) -> Held:
    """Returns evenly spaced frames of held-out clips, seen through a window around the person."""
    parts: list[list[np.ndarray]] = [[] for _ in Held._fields]
    for number, clip in enumerate(clips):
        pick = np.linspace(0, len(clip.pictures) - 1, min(per_clip, len(clip.pictures)))
        torso = torso_size(clip.keypoints, clip.confidence)
        for i in pick.round().astype(int):
            box = person_box(clip.keypoints[i], clip.confidence[i])
            mask = np.repeat(clip.mask[i][..., None], 3, -1)
            row = (
                square_crop(clip.pictures[i], box, INPUT_SIZE),
                (clip.keypoints[i] - box[:2]) / box[2],
                clip.confidence[i],
                torso[i] / box[2],
                square_crop(mask, box, HEATMAP_SIZE)[..., 0] > 127,
                np.int32(number),
            )
            for part, value in zip(parts, row, strict=True):
                part.append(np.asarray(value))
    return Held(*(np.stack(part) for part in parts))


class HeldScore:
    """Scores of parameters on held-out windows; compiled once.

    Args:
      model: the network.
      held: the windows.
    """

    def __init__(self, model: BodyRegressor, held: Held) -> None:
        self._held = held

        def find(params: Any, pictures: jax.Array) -> Keypoints:
            return model.apply(params, pictures.astype(jnp.float32) / 255, method="find")

        self._find = fast_jit(find)

    def __call__(self, params: Any) -> dict[str, float]:
        """Returns PCK@0.1, PCK@0.2 of the torso and mask IoU, means over clips.

        Args:
          params: {"params": {"keypoints": ...}}.
        """
        held, points, masks = self._held, [], []
        for first in range(0, len(held.pictures), _BATCH):
            chunk = held.pictures[first : first + _BATCH]
            filled = np.concatenate([chunk, np.repeat(chunk[-1:], _BATCH - len(chunk), 0)])
            found = self._find(params, filled)
            points.append(np.asarray(found.points)[: len(chunk)])
            masks.append(np.asarray(found.mask)[: len(chunk)] > 0)
        counted = held.confidence > 0.3
        overlap = mask_iou(np.concatenate(masks), held.mask)
        rows = []
        for clip in np.unique(held.clip):
            mine = held.clip == clip
            right = [
                correct_keypoints(np.concatenate(points), held.points, held.torso, fraction)
                for fraction in (0.1, 0.2)
            ]
            rows.append([r[mine][counted[mine]].mean() for r in right] + [overlap[mine].mean()])
        mean = np.mean(rows, axis=0)
        return {"pck_10": float(mean[0]), "pck_20": float(mean[1]), "iou": float(mean[2])}
