"""An open codec for video of people, in JAX/Flax.

>>> import hvc_jax as hvc
>>> "semantic" in hvc.list_models()
True
>>> body = hvc.body.load()
>>> vertices, joints = body()
>>> joints.shape
(55, 3)

Names are imported on first use, so that `import hvc_jax` needs neither jax nor numpy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hvc_jax import body
    from hvc_jax.codec.codec import Codec
    from hvc_jax.codec.load import load
    from hvc_jax.codec.options import EncodeOptions
    from hvc_jax.data.clips import read_clip
    from hvc_jax.evaluation.evaluate import evaluate
    from hvc_jax.models.find import list_models
    from hvc_jax.models.find import open_stream_file as open_stream
    from hvc_jax.stream.opened import Stream

__version__ = "0.2.0.dev0"

__all__ = [
    "Codec",
    "EncodeOptions",
    "Stream",
    "body",
    "evaluate",
    "list_models",
    "load",
    "open_stream",
    "read_clip",
]

_HOME = {
    "Codec": ("codec.codec", "Codec"),
    "EncodeOptions": ("codec.options", "EncodeOptions"),
    "Stream": ("stream.opened", "Stream"),
    "body": ("body", None),
    "evaluate": ("evaluation.evaluate", "evaluate"),
    "list_models": ("models.find", "list_models"),
    "load": ("codec.load", "load"),
    "open_stream": ("models.find", "open_stream_file"),
    "read_clip": ("data.clips", "read_clip"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hvc_jax' has no attribute {name!r}")
    module, attribute = _HOME[name]
    found = importlib.import_module(f"hvc_jax.{module}")
    return found if attribute is None else getattr(found, attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
