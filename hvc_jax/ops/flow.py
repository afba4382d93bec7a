"""Dense optical flow by OpenCV, which is optional."""

import functools

import numpy as np


class MissingFlowError(ValueError):
    """OpenCV is not installed; the message says how to get it."""


def dense_flow(target: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Where a picture shows what another does: [H, W, 2] float32, displacement (x, y) in pixels.

    Dense inverse search (Kroeger et al., ECCV 2016) as in OpenCV, preset medium. Pixels of `target`
    [H, W] uint8 are looked for in `key` [H, W] uint8. Raises MissingFlowError: OpenCV is not
    installed.
    """
    return _estimator().calc(target, key, None)


def require_opencv() -> None:
    """Raises MissingFlowError where OpenCV is not installed."""
    _estimator()


def grey(frame: np.ndarray) -> np.ndarray:
    """BT.601 luma [H, W] uint8 of a picture [H, W, 3] uint8."""
    return np.round(frame @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)


@functools.cache
def _estimator():  # noqa: ANN202
    try:
        import cv2
    except ImportError as error:
        raise MissingFlowError(
            "optical flow is found with OpenCV, which is not installed; "
            "pip install opencv-python-headless, or leave flow-oracle and data.teacher_flow out"
        ) from error
    return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
