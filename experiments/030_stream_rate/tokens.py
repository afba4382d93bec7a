"""Implicit tokens of real clips, as tracks: what the token encoder of a model makes of them."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from hvc_jax.body.params import BODY_VECTOR_SIZE
from hvc_jax.data.clips import read_clip
from hvc_jax.models.codec_model import CodecModel
from hvc_jax.models.export import Export
from hvc_jax.ops.compile import fast_jit

_BATCH = 16


def token_tracks(export: Export, folder: Path, clips: int, frames: int) -> list[np.ndarray]:
    """Returns the tokens [T, D] of the first frames of clips spread over a folder.

    Args:
      export: an implicit model.
      folder: holds video files.
      clips: how many, at most.
      frames: T at most.
    """
    model, side = CodecModel(export.config.model), int(export.config.data.size)
    params = export.params

    @fast_jit
    def analyse(params: Any, pictures: Any) -> Any:
        bodies = jnp.zeros((len(pictures), BODY_VECTOR_SIZE))
        unit = pictures.astype(jnp.float32) / 255
        return model.apply({"params": params}, unit, unit, bodies, method="analyse")

    files = sorted(folder.glob("*.mp4"))
    chosen = np.linspace(0, len(files) - 1, min(clips, len(files))).astype(int)
    tracks = []
    for path in [files[i] for i in chosen]:
        pictures = read_clip(path, side, frames=frames).frames
        whole = len(pictures) // _BATCH * _BATCH  # one shape, one compilation
        parts = [analyse(params, pictures[i : i + _BATCH]) for i in range(0, whole, _BATCH)]
        tracks.append(np.concatenate([np.asarray(part) for part in parts]).astype(np.float32))
        print(path.stem, tracks[-1].shape, flush=True)
    return tracks
