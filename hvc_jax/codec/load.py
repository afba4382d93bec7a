"""The codec of a variant or of a model file."""

import os
from pathlib import Path

from hvc_jax.codec.codec import Codec
from hvc_jax.models.export import load_export


def load(model: str | os.PathLike[str]) -> Codec:
    """The codec of a shipped variant, or of a model file made by `hvc export`.

    Args:
      model: A name of `list_models()`, or a path.

    Raises:
      ExportError: No such model, or a file that is none.
    """
    return Codec(load_export(Path(model) if os.path.sep in os.fspath(model) else model))
