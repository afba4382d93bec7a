"""Keypoints that two pose networks agree upon; training time only.

MoveNet is the better of the two small networks but is sometimes sure of a wrong place: a leg of a
chair for a shin, the left arm for the right. PoseNet (Papandreou et al., "PersonLab", ECCV 2018)
was trained apart from it and seldom makes the same mistake, so what both see is trusted more, and
what PoseNet surely sees elsewhere is trusted less.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from hvc_jax.body.landmarks import COCO_MIRROR
from hvc_jax.pose.pseudo_labels import LiteNetwork, square_crop


def posenet_keypoints(network: LiteNetwork, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns keypoints [17, 2] in [-1, 1] and confidence [17] of the most prominent person.

    Papandreou et al., "PersonLab", 2018: each keypoint is the best cell of its heat map plus the
    offset there, in pixels of the network's input. The heat of the quantised network, the one of
    257 pixels that takes [0, 1], ends at 0: of cells that reach it together the mean counts.

    Raises:
        ValueError: the network has no such outputs.
    """
    side = network.input_shape[1]
    fitted = Image.fromarray(frame).resize((side, side), Image.Resampling.BILINEAR)
    outputs = network(np.asarray(fitted, np.float32)[None] / 255)
    maps = {output.shape[-1]: output[0] for output in outputs}
    if 17 not in maps or 34 not in maps:
        raise ValueError("the network is neither MoveNet nor PoseNet; give another file")
    heat, offsets = maps[17], maps[34]
    best = heat.max((0, 1))
    weight = (heat == best).astype(np.float64)
    stride = (side - 1) / (heat.shape[0] - 1)
    rows, columns = np.indices(heat.shape[:2])[..., None] * stride
    places = columns + offsets[..., 17:], rows + offsets[..., :17]
    points = np.stack([(place * weight).sum((0, 1)) / weight.sum((0, 1)) for place in places], -1)
    points = points / (side - 1) * 2 - 1
    return points.astype(np.float32), (1 / (1 + np.exp(-best))).astype(np.float32)


def posenet_in_box(
    network: LiteNetwork, picture: np.ndarray, box: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns keypoints [17, 2] in [-1, 1] and confidence [17] through a window, seen both ways.

    Args:
      network: PoseNet.
      picture: [H, W, 3] uint8, square.
      box: (u, v, half side) of the person.
    """
    crop = square_crop(picture, box, network.input_shape[1])
    plain, c0 = posenet_keypoints(network, crop)
    mirrored, c1 = posenet_keypoints(network, np.ascontiguousarray(crop[:, ::-1]))
    mirrored, c1 = mirrored[COCO_MIRROR] * np.array([-1, 1], np.float32), c1[COCO_MIRROR]
    share = (c0 / (c0 + c1 + 1e-6))[:, None]
    apart = np.linalg.norm(plain - mirrored, axis=-1)
    points = box[:2] + (plain * share + mirrored * (1 - share)) * box[2]
    confidence = (c0 + c1) / 2 * np.exp(-((apart / 0.12) ** 2))
    return points.astype(np.float32), confidence.astype(np.float32)


def agree(
    points: np.ndarray,
    confidence: np.ndarray,
    others: np.ndarray,
    other_confidence: np.ndarray,
    size: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns keypoints [17, 2] and confidence [17] in [0, 1] of two opinions.

    Points that lie within 6 % of the person's size of each other are averaged (MoveNet's counting
    three times as much) and gain half of the confidence that they lack, as far as the other network
    is sure; points more than 15 % apart lose up to three quarters of theirs.

    Args:
      points: [17, 2] of MoveNet.
      confidence: [17] of MoveNet.
      others: [17, 2] of PoseNet, in the same units.
      other_confidence: [17] of PoseNet.
      size: side of the window around the person, in the same units.
    """
    apart = np.linalg.norm(points - others, axis=-1) / size
    together = np.clip((0.15 - apart) / 0.09, 0, 1)
    sure = np.clip((other_confidence - 0.2) / 0.4, 0, 1)
    weight = (0.25 * together * sure)[:, None]
    gained = confidence + 0.5 * together * sure * (1 - confidence) * (confidence > 0.1)
    lost = gained * (1 - 0.75 * (1 - together) * sure)
    return (points * (1 - weight) + others * weight).astype(np.float32), lost.astype(np.float32)
