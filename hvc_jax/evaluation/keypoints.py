"""Motion fidelity: are the body's points where they were, as an independent pose network sees it?

Siarohin et al., "Animating arbitrary objects via deep motion transfer", CVPR 2019, define both
scores: AKD is the average distance of keypoints that the network finds in the original and in the
decoded frame, MKR the share of the original's keypoints that it no longer finds.
"""

from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image

from hvc_jax.data.pseudo_labels import LiteNetwork, movenet_keypoints
from hvc_jax.evaluation.learned_metrics import MetricError

FOUND = 0.3
"""Least confidence of a keypoint that counts as found."""


def lite_network(path: str | PathLike) -> LiteNetwork:
    """Returns the network of a .tflite file.

    Raises:
        MetricError: the file or the package ai-edge-litert is missing, or it is no network.
    """
    try:
        return LiteNetwork(path)
    except ImportError:
        raise MetricError(
            "Networks in .tflite files need the package ai-edge-litert, which is not installed; "
            "run: pip install 'hvc_jax[pseudo-labels]'."
        ) from None
    except (FileNotFoundError, ValueError) as error:
        raise MetricError(f"{path} is no .tflite network that can be read; check it.") from error


class PoseNet:
    """A pose network with the 17 COCO keypoints as a function of square frames.

    Two layouts are known by their shapes: MoveNet (one person, [1, 1, 17, 3]; looked through five
    windows around the person) and PoseNet (heat maps [1, h, w, 17] with offsets [1, h, w, 34]).

    Args:
        path: a .tflite file.

    Raises:
        MetricError: the file cannot be used.
    """

    def __init__(self, path: str | PathLike) -> None:
        self.name = Path(path).name
        self._network = lite_network(path)
        self._is_movenet = self._network.input_shape[1:3] == (192, 192)

    def __call__(
        self, frame: np.ndarray, box: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Returns keypoints [17, 2] (x, y) in pixels, confidence [17], and the person's box.

        Args:
            frame: [S, S, 3] uint8.
            box: of the person, as returned for this or the frame before; None searches.
        """
        if self._is_movenet:
            points, confidence, box = movenet_keypoints(self._network, frame, box)
        else:
            points, confidence = posenet_keypoints(self._network, frame)
        return (points + 1) / 2 * frame.shape[0], confidence, box


def posenet_keypoints(network: LiteNetwork, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns keypoints [17, 2] in [-1, 1] and confidence [17] of the most prominent person.

    Papandreou et al., "PersonLab", 2018: each keypoint is the best cell of its heat map plus the
    offset there, in pixels of the network's input. The heat of the quantised network, the one of
    257 pixels that takes [0, 1], ends at 0: of cells that reach it together the mean counts.

    Raises:
        MetricError: the network has no such outputs.
    """
    side = network.input_shape[1]
    fitted = Image.fromarray(frame).resize((side, side), Image.Resampling.BILINEAR)
    outputs = network(np.asarray(fitted, np.float32)[None] / 255)
    maps = {output.shape[-1]: output[0] for output in outputs}
    if 17 not in maps or 34 not in maps:
        raise MetricError("The pose network is neither MoveNet nor PoseNet; give another file.")
    heat, offsets = maps[17], maps[34]
    best = heat.max((0, 1))
    weight = (heat == best).astype(np.float64)
    stride = (side - 1) / (heat.shape[0] - 1)
    rows, columns = np.indices(heat.shape[:2])[..., None] * stride
    places = columns + offsets[..., 17:], rows + offsets[..., :17]
    points = np.stack([(place * weight).sum((0, 1)) / weight.sum((0, 1)) for place in places], -1)
    points = points / (side - 1) * 2 - 1
    return points.astype(np.float32), (1 / (1 + np.exp(-best))).astype(np.float32)


def distance_and_missing(
    points: np.ndarray, confidence: np.ndarray, other: np.ndarray, other_confidence: np.ndarray
) -> tuple[float, float]:
    """Returns (AKD in pixels, MKR in [0, 1]) of a clip; NaN where no keypoint is to be compared.

    Args:
        points: [T, 17, 2] pixels, of the original.
        confidence: [T, 17].
        other: [T, 17, 2] pixels, of the decoded frames.
        other_confidence: [T, 17].
    """
    there, found = confidence > FOUND, other_confidence > FOUND
    both = there & found
    distance = np.linalg.norm(points - other, axis=-1)
    akd = float(distance[both].mean()) if both.any() else float("nan")
    mkr = float((there & ~found).sum() / there.sum()) if there.any() else float("nan")
    return akd, mkr
