"""See hvc_jax/configs/field.py."""

from hvc_jax.configs.field import get_config

__all__ = ["get_config"]
