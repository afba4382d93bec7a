"""What judges see in real clips: BodyPix' keypoints and person mask, and MoveNet's keypoints.

    python experiments/041_bodies/judge.py CLIPS NETS OUT [--every 8]

BodyPix (MobileNetV1 0.5, stride 8; Apache-2.0, read with onnxruntime) and MoveNet are other
networks than those that find bodies. Writes one .npz a clip; clips that have one are skipped.
"""

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from hvc_jax.body.landmarks import COCO_MIRROR
from hvc_jax.data.builders import videos_in
from hvc_jax.data.clips import read_clip
from hvc_jax.evaluation.lite_networks import LiteNetwork, movenet_keypoints, person_box, square_crop

BODYPIX = Path("seg", "bodypix_mnv1_x050_stride8_padfix.onnx")
MOVENET = Path("pose", "movenet_lightning_int8_ptq.tflite")
STRIDE = 8


class BodyPix:
    """BodyPix as a function of a square uint8 picture of any size."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        self._session = onnxruntime.InferenceSession(str(path), options)

    def _once(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        given = picture.astype(np.float32)[None] / 127.5 - 1
        names = ["heatmaps", "short_offsets", "segments"]
        heat, offsets, mask = self._session.run(names, {"input": given})
        heat, offsets = heat[0], offsets[0]
        rows, columns = np.unravel_index(heat.reshape(-1, 17).argmax(0), heat.shape[:2])
        k = np.arange(17)
        x = columns * STRIDE + offsets[rows, columns, 17 + k]
        y = rows * STRIDE + offsets[rows, columns, k]
        points = np.stack([x, y], -1) / (picture.shape[0] - 1) * 2 - 1
        score = 1 / (1 + np.exp(-heat[rows, columns, k]))
        return points, score, 1 / (1 + np.exp(-mask[0, :, :, 0]))

    def __call__(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns keypoints [17, 2] in [-1, 1], scores [17] and the mask [h, w], seen both ways."""
        plain, c0, mask = self._once(picture)
        mirrored, c1, turned = self._once(np.ascontiguousarray(picture[:, ::-1]))
        mirrored, c1 = mirrored[COCO_MIRROR] * [-1, 1], c1[COCO_MIRROR]
        share = (c0 / (c0 + c1))[:, None]
        apart = np.linalg.norm(plain - mirrored, axis=-1)
        # Left and right exchanged, or two people: no judge of this point.
        score = (c0 + c1) / 2 * (apart < 0.1)
        return plain * share + mirrored * (1 - share), score, (mask + turned[:, ::-1]) / 2


def main() -> None:
    """Labels every clip of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("nets", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=int, default=8, help="label every n-th frame")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    bodypix, movenet = BodyPix(given.nets / BODYPIX), LiteNetwork(given.nets / MOVENET)
    for video in videos_in(given.clips):
        target = given.out / f"{video.stem}.npz"
        if target.exists():
            continue
        frames = read_clip(video, 256).frames
        indexes = np.arange(given.every // 2, len(frames), given.every)
        rows = []
        for frame in frames[indexes]:
            fitted = np.asarray(Image.fromarray(frame).resize((257, 257), Image.BILINEAR))
            points, score, mask = bodypix(fitted)
            box = person_box(points, score * (score > 0.4))
            if box[2] < 0.7:  # a small person is seen better from near
                near, near_score, _ = bodypix(square_crop(frame, box, 257))
                points, score = box[:2] + near * box[2], near_score
            score = score * (np.abs(points) < 1).all(-1)
            rows.append((points, score, mask, *movenet_keypoints(movenet, frame)[:2]))
        names = ("points", "score", "mask", "movenet", "movenet_score")
        columns = [np.stack(column).astype(np.float32) for column in zip(*rows, strict=True)]
        arrays = dict(zip(names, columns, strict=True))
        arrays["mask"] = (arrays["mask"] * 255).round().astype(np.uint8)
        np.savez_compressed(target, frame=indexes.astype(np.int32), **arrays)
        print(f"{video.stem}: {len(indexes)} frames", flush=True)


if __name__ == "__main__":
    main()
