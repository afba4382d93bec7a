"""The human model: parameters, skinning, cameras, rasterising.

`load` opens a model as one callable; it is imported on first use, because it needs jax.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hvc_jax.body.layer import BodyLayer, load

__all__ = ["BodyLayer", "load"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from hvc_jax.body import layer

        return getattr(layer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
