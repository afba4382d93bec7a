"""Small pretrained networks that judge: MoveNet Lightning and MediaPipe selfie segmentation.

They are read from files that the user has, with LiteRT (``pip install ai-edge-litert``).

A single look at the full picture misses small or cut-off people. Each frame is therefore looked at
again through two square crops around the person, plain and mirrored; the looks are averaged with
their scores as weights, and their disagreement lowers the confidence.
"""

from os import PathLike
from typing import Any

import numpy as np
from PIL import Image

from hvc_jax.body.landmarks import COCO_MIRROR
from hvc_jax.ops.ssim import MetricError


class LiteNetwork:
    """A .tflite file as a function of one array; MetricError: it, or ai-edge-litert, is missing."""

    def __init__(self, path: str | PathLike) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise MetricError(
                "Networks in .tflite files need the package ai-edge-litert, which is not "
                "installed; run: pip install ai-edge-litert."
            ) from None
        try:
            self._net: Any = Interpreter(str(path), num_threads=1)
            self._net.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise MetricError(
                f"{path} is no .tflite network that can be read; check it."
            ) from error
        self._input = self._net.get_input_details()[0]
        self._outputs = self._net.get_output_details()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the array that the network takes."""
        return tuple(int(n) for n in self._input["shape"])

    def __call__(self, array: np.ndarray) -> list[np.ndarray]:
        """Returns every output for one input of the network's own shape and dtype."""
        self._net.set_tensor(self._input["index"], array)
        self._net.invoke()
        return [self._net.get_tensor(output["index"]).copy() for output in self._outputs]


def square_crop(picture: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """Returns a square of a picture [H, W, 3] uint8 with `size` pixels, black beyond its edge.

    `box`: (centre u, centre v, half side) in units of [-1, 1] over the picture.
    """
    height, width = picture.shape[:2]
    u, v, half = (float(x) for x in box)
    left, right = ((u - half + 1) / 2 * width, (u + half + 1) / 2 * width)
    top, bottom = ((v - half + 1) / 2 * height, (v + half + 1) / 2 * height)
    coefficients = ((right - left) / size, 0, left, 0, (bottom - top) / size, top)
    image = Image.fromarray(picture)
    # Reduce first where the window is much larger than the result: transform() does not average.
    step = max(1, int((right - left) / size))
    if step > 1:
        image = image.reduce(step)
        coefficients = tuple(c / step for c in coefficients)
    return np.asarray(image.transform((size, size), Image.AFFINE, coefficients, Image.BILINEAR))


def person_box(keypoints: np.ndarray, confidence: np.ndarray, margin: float = 1.3) -> np.ndarray:
    """Returns (u, v, half side) of a square around the confident keypoints [17, 2] of a person."""
    good = keypoints[confidence > 0.2]
    if len(good) < 3:
        return np.array([0.0, 0.0, 1.0], np.float32)
    low, high = good.min(0), good.max(0)
    half = float(np.clip((high - low).max() / 2 * margin, 0.25, 1.3))
    return np.array([*((low + high) / 2), half], np.float32)


def _look(
    network: LiteNetwork, picture: np.ndarray, box: np.ndarray, mirror: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Returns MoveNet's keypoints [17, 2] in picture units and scores [17], through one window."""
    crop = square_crop(picture, box, 192)
    if mirror:
        crop = crop[:, ::-1]
    rows = network(np.ascontiguousarray(crop)[None])[0].reshape(17, 3)
    uv = np.stack([rows[:, 1], rows[:, 0]], -1) * 2 - 1
    score = rows[:, 2]
    if mirror:
        uv = uv[COCO_MIRROR] * np.array([-1, 1])
        score = score[COCO_MIRROR]
    return box[:2] + uv * box[2], score


def movenet_keypoints(
    network: LiteNetwork, picture: np.ndarray, start: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns keypoints [17, 2] in [-1, 1], confidence [17] in [0, 1] and the person's box.

    `network` is MoveNet Lightning (192x192 uint8), `picture` [H, H, 3] uint8, `start` the person's
    box in the frame before, if known.
    """
    first_box = np.array([0.0, 0.0, 1.0], np.float32) if start is None else start
    looks = [_look(network, picture, first_box, False)]
    box = person_box(*looks[0])
    for margin, mirror in ((1.0, False), (1.0, True), (1.25, False), (1.25, True)):
        looks.append(_look(network, picture, box * np.array([1, 1, margin]), mirror))
    points = np.stack([look[0] for look in looks[1:]])
    scores = np.stack([look[1] for look in looks[1:]])
    weight = scores**2 + 1e-6
    weight = weight / weight.sum(0)
    centre = (weight[..., None] * points).sum(0)
    # Looks that disagree by d are worth exp(-(d / 8 % of the person's size)^2).
    spread = np.sqrt((weight * ((points - centre) ** 2).sum(-1)).sum(0))
    confidence = scores.mean(0) * np.exp(-((spread / (0.08 * 2 * box[2])) ** 2))
    inside = (np.abs(centre) <= 1.0).all(-1)
    return centre.astype(np.float32), (confidence * inside).astype(np.float32), box


def person_mask(network: LiteNetwork, picture: np.ndarray, size: int) -> np.ndarray:
    """Returns where a person is in a picture [H, H, 3] uint8, [size, size] uint8, 255 = surely.

    `network`: MediaPipe selfie segmentation or one like it: [1, S, S, 3] float32 in [0, 1] to [1,
    S, S, 1] in [0, 1].
    """
    side = network.input_shape[1]
    fitted = Image.fromarray(picture).resize((side, side), Image.BILINEAR)
    soft = network(np.asarray(fitted, np.float32)[None] / 255.0)[0][0, :, :, 0]
    mask = Image.fromarray((np.clip(soft, 0, 1) * 255).astype(np.uint8))
    return np.asarray(mask.resize((size, size), Image.BILINEAR))
