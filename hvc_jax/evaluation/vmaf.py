"""VMAF, by the libvmaf in the ffmpeg program that imageio-ffmpeg bundles."""

import functools
import json
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np

from hvc_jax.ops import ffmpeg
from hvc_jax.ops.color import rgb_to_yuv420
from hvc_jax.ops.ssim import MetricError, check_frames


@functools.cache
def check_vmaf() -> None:
    """Raises MetricError unless the bundled ffmpeg has libvmaf."""
    if " libvmaf " not in ffmpeg.listing("-filters"):
        raise MetricError("The bundled ffmpeg has no libvmaf; leave vmaf out.")


def vmaf(original: np.ndarray, decoded: np.ndarray, fps: Fraction | float = 25) -> np.ndarray:
    """Returns the score of each frame by VMAF v0.6.1, 0 to 100; equal frames score about 97 to 100.

    Both stacks [T, H, W, 3] uint8 RGB, sides even, are converted to 8-bit BT.709 4:2:0 by our own
    code and compared at their own size; the model was trained on 1080p seen from three picture
    heights, so at 256 pixels its scores only rank codecs. Raises MetricError: the shapes differ, or
    ffmpeg has no libvmaf.
    """
    check_frames(original, decoded)
    height, width = original.shape[1:3]
    rate = Fraction(fps).limit_denominator(60000)
    source = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{height}"]
    source += ["-r", f"{rate.numerator}/{rate.denominator}", "-i"]
    with tempfile.TemporaryDirectory() as folder:
        # Names inside the folder, so that no path needs the filter syntax's own quoting.
        for name, frames in (("decoded.yuv", decoded), ("original.yuv", original)):
            with (Path(folder) / name).open("wb") as file:
                for frame in frames:
                    for plane in rgb_to_yuv420(frame, bits=8):
                        file.write(plane.astype(np.uint8).tobytes())
        command = [*source, "decoded.yuv", *source, "original.yuv", "-lavfi"]
        model = "model='version=vmaf_v0.6.1'"
        command += [f"[0:v][1:v]libvmaf={model}:log_fmt=json:log_path=scores.json"]
        command += ["-f", "null", "-"]
        scores = Path(folder) / "scores.json"
        try:
            ffmpeg.run(command, folder=folder)
        except ffmpeg.FfmpegError as error:
            raise MetricError(f"ffmpeg could not compute VMAF: {error}") from error
        if not scores.exists():
            raise MetricError("ffmpeg could not compute VMAF: it wrote no scores")
        frames = json.loads(scores.read_text())["frames"]
    return np.asarray([frame["metrics"]["vmaf"] for frame in frames])
