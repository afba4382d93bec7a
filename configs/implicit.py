"""The implicit model; see hvc_jax/configs/implicit.py."""

from hvc_jax.configs.implicit import get_config

__all__ = ["get_config"]
