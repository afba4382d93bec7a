"""Body side-cars of a data set: the body vectors of every frame of every clip."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hvc_jax.data.frames import FrameDataset
from hvc_jax.ops.files import atomic_path
from hvc_jax.pose.estimator import bodies_from_keypoints, estimate_bodies, load_regressor
from hvc_jax.pose.pseudo_labels import PseudoLabels, load_labels


def every_frame(labels: PseudoLabels, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints of all frames of a clip from those of some, linear in time between them.

    Args:
      labels: Of N frames of the clip, in order.
      frames: Frames T of the clip.

    Returns:
      Keypoints [T, 17, 2] (u, v) in [-1, 1], and confidence [T, 17] in [0, 1].
    """
    time = np.arange(frames)

    def between(values: np.ndarray) -> np.ndarray:
        flat = values.reshape(len(values), -1)
        columns = [np.interp(time, labels.frame_indexes, column) for column in flat.T]
        return np.stack(columns, -1).reshape(frames, *values.shape[1:]).astype(np.float32)

    return between(labels.keypoints), between(labels.confidence)


def write_bodies(
    dataset: FrameDataset, labels: Path | None = None, effort: int = 1
) -> Iterator[Path]:
    """Writes the side-car of every clip that has none, and yields its path.

    Args:
      dataset: The data set; side-cars lie in `dataset.directory/body/`.
      labels: Folder of pseudo labels, `<clip>.npz`: bodies are fitted to their keypoints. None
        takes the keypoints that the shipped regressor finds, as an encoder does.
      effort: 0 to 3, how long bodies are fitted.

    Raises:
      FileNotFoundError: A clip has no file in `labels`.
    """
    regressor = load_regressor()
    folder = dataset.directory / "body"
    folder.mkdir(exist_ok=True)
    for number, clip in enumerate(dataset.clips):
        path = folder / f"{clip.name}.npy"
        if path.exists():
            continue
        if labels is None:
            frames = np.stack([dataset.frame(number, t) for t in range(clip.frames)])
            vectors, _ = estimate_bodies(frames, effort, regressor)
        else:
            source = labels / f"{clip.name}.npz"
            if not source.is_file():
                raise FileNotFoundError(f"{source}: no labels of this clip; leave --labels out")
            points, confidence = every_frame(load_labels(source), clip.frames)
            vectors, _ = bodies_from_keypoints(points, confidence, regressor, effort)
        with atomic_path(path) as part, part.open("wb") as file:
            np.save(file, np.asarray(vectors, np.float32))
        yield path
