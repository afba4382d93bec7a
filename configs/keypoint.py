"""The keypoint model; see hvc_jax/configs/keypoint.py."""

from hvc_jax.configs.keypoint import get_config

__all__ = ["get_config"]
