"""The semantic model; see hvc_jax/configs/semantic.py."""

from hvc_jax.configs.semantic import get_config

__all__ = ["get_config"]
