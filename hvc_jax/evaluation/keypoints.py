"""Motion fidelity: are the body's points where they were, as an independent pose network sees it?

Siarohin et al., "Animating arbitrary objects via deep motion transfer", CVPR 2019, define both
scores: AKD is the average distance of keypoints that the network finds in the original and in the
decoded frame, MKR the share of the original's keypoints that it no longer finds.
"""

from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image

from hvc_jax.evaluation.lite_networks import LiteNetwork, movenet_keypoints
from hvc_jax.ops.ssim import MetricError

FOUND = 0.3
"""Least confidence of a keypoint that counts as found."""


class PersonLab:
    """The keypoint heads of a PoseNet or BodyPix network in an .onnx file.

    It has the outputs heatmaps [1, h, w, 17] and short_offsets [1, h, w, 34], as Google's PoseNet
    and BodyPix have them; input [1, S, S, 3] in [-1, 1]. Raises MetricError: the file or the
    package onnxruntime is missing, or it is no such network.
    """

    side = 257
    """Of the pictures it looks at: a multiple of every stride and one more."""

    def __init__(self, path: str | PathLike) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise MetricError(
                "Networks in .onnx files need the package onnxruntime, which is not installed; "
                "run: pip install onnxruntime."
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(str(path), options)
        except Exception as error:  # its classes have no public base
            raise MetricError(f"{path} is no .onnx network that can be read; check it.") from error
        self._outputs = ["heatmaps", "short_offsets"]
        if not {*self._outputs} <= {output.name for output in self._session.get_outputs()}:
            raise MetricError(f"{path} has no heads of PoseNet or BodyPix; give another file.")
        self._input = self._session.get_inputs()[0].name

    def __call__(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the heat maps [h, w, 17] and offsets [h, w, 34] of a picture [S, S, 3]."""
        heat, offsets = self._session.run(self._outputs, {self._input: picture[None]})
        return heat[0], offsets[0]


class PoseNet:
    """A pose network with the 17 COCO keypoints as a function of square frames.

    Two kinds are known: MoveNet (.tflite; one person, [1, 1, 17, 3]; looked through five windows
    around the person) and the heads of PoseNet and BodyPix (.onnx; the whole picture at once).
    `path`: a .tflite or .onnx file.
    Raises MetricError: the file cannot be used.
    """

    def __init__(self, path: str | PathLike) -> None:
        self._is_movenet = Path(path).suffix != ".onnx"
        self._network = LiteNetwork(path) if self._is_movenet else PersonLab(path)
        if self._is_movenet and self._network.input_shape[1:3] != (192, 192):
            raise MetricError(f"{path} is not MoveNet; give its file, or a PoseNet as .onnx.")

    def __call__(
        self, frame: np.ndarray, box: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Returns keypoints [17, 2] (x, y) in pixels, confidence [17], and the person's box.

        `frame` is [S, S, 3] uint8, `box` as returned for this or the frame before; None searches.
        """
        if self._is_movenet:
            points, confidence, box = movenet_keypoints(self._network, frame, box)
        else:
            points, confidence = personlab_keypoints(self._network, frame)
        return (points + 1) / 2 * frame.shape[0], confidence, box


def personlab_keypoints(network: PersonLab, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns keypoints [17, 2] in [-1, 1] and confidence [17] of the most prominent person.

    Papandreou et al., "PersonLab", 2018: each keypoint is the best cell of its heat map plus the
    offset there, in pixels of the network's input. `frame` is [S, S, 3] uint8.
    """
    side = network.side
    fitted = Image.fromarray(frame).resize((side, side), Image.Resampling.BILINEAR)
    heat, offsets = network(np.asarray(fitted, np.float32) / 127.5 - 1)
    cells, numbers = heat.reshape(-1, 17).argmax(0), np.arange(17)
    rows, columns = np.unravel_index(cells, heat.shape[:2])
    stride = (side - 1) / (heat.shape[0] - 1)
    x = columns * stride + offsets[rows, columns, 17 + numbers]
    y = rows * stride + offsets[rows, columns, numbers]
    points = np.stack([x, y], -1) / (side - 1) * 2 - 1
    confidence = 1 / (1 + np.exp(-heat[rows, columns, numbers]))
    return points.astype(np.float32), confidence.astype(np.float32)


def distance_and_missing(
    points: np.ndarray, confidence: np.ndarray, other: np.ndarray, other_confidence: np.ndarray
) -> tuple[float, float]:
    """Returns (AKD in pixels, MKR in [0, 1]) of a clip; NaN where no keypoint is to be compared.

    Points are [T, 17, 2] pixels with confidence [T, 17], of the original and of `other`, decoded.
    """
    there, found = confidence > FOUND, other_confidence > FOUND
    both = there & found
    distance = np.linalg.norm(points - other, axis=-1)
    akd = float(distance[both].mean()) if both.any() else float("nan")
    mkr = float((there & ~found).sum() / there.sum()) if there.any() else float("nan")
    return akd, mkr
