"""Pseudo-labels of a real clip: what the small networks say of it, fused; training time only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from hvc_jax.pose.label_agreement import agree, posenet_in_box
from hvc_jax.pose.pseudo_labels import (
    LiteNetwork,
    PseudoLabels,
    movenet_keypoints,
    person_mask,
    square_crop,
)

MOVENET = Path("pose", "movenet_lightning_int8_ptq.tflite")
POSENET = Path("pose", "posenet_mnv1_100_257_quant.tflite")
SELFIE = Path("seg", "mediapipe_selfie_segmentation.tflite")


def mask_in_box(network: LiteNetwork, picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Returns where a person is, [H, W] uint8, looked at as a whole and through a window.

    The network sees more of a small person through the window; beyond it the whole picture counts.

    Args:
      network: as `person_mask` takes it.
      picture: [H, W, 3] uint8, square.
      box: (u, v, half side) of the person.
    """
    side = picture.shape[0]
    whole = person_mask(network, picture, side)
    if box[2] > 0.85:
        return whole
    near = person_mask(network, square_crop(picture, box, 256), 256)
    # square_crop with the inverse window puts it back; a frame of ones says where it came from.
    back = np.array([*(-box[:2] / box[2]), 1 / box[2]])
    stacked = np.stack([near, np.full_like(near, 255), np.zeros_like(near)], -1)
    placed = square_crop(stacked, back, side).astype(np.float32)
    inside = placed[..., 1] / 255
    mixed = inside * (0.7 * placed[..., 0] + 0.3 * whole) + (1 - inside) * whole
    return mixed.round().astype(np.uint8)


def label_frames(
    frames: np.ndarray, nets: str | Path, size: int = 192, stride: int = 2
) -> PseudoLabels:
    """Returns the pseudo-labels of a square clip.

    Args:
      frames: [T, H, W, 3] uint8, H = W.
      nets: folder with pose/movenet_lightning_int8_ptq.tflite,
        pose/posenet_mnv1_100_257_quant.tflite and seg/mediapipe_selfie_segmentation.tflite.
      size: side in pixels at which pictures and masks are kept.
      stride: label every stride-th frame.
    """
    pose, second = LiteNetwork(Path(nets) / MOVENET), LiteNetwork(Path(nets) / POSENET)
    segment = LiteNetwork(Path(nets) / SELFIE)
    indexes = np.arange(0, len(frames), stride, dtype=np.int32)
    pictures, keypoints, confidences, masks = [], [], [], []
    for index in indexes:
        frame = frames[index]
        points, confidence, box = movenet_keypoints(pose, frame)
        others = posenet_in_box(second, frame, box)
        points, confidence = agree(points, confidence, *others, size=2 * float(box[2]))
        keypoints.append(points)
        confidences.append(confidence)
        mask = Image.fromarray(mask_in_box(segment, frame, box * np.array([1, 1, 1.2])))
        masks.append(np.asarray(mask.resize((size, size), Image.BILINEAR)))
        pictures.append(np.asarray(Image.fromarray(frame).resize((size, size), Image.LANCZOS)))
    return PseudoLabels(
        indexes,
        np.stack(pictures),
        np.stack(keypoints),
        np.stack(confidences),
        np.stack(masks),
    )
