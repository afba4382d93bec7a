"""Implicit motion: a learned token guides attention over the key frame (IMT, arXiv 2506.10453).

    hvc train --config configs/keypoint.py:size=tiny --workdir runs/keypoint

Arguments of the string after the colon: see configs/base.py.
"""

from ml_collections import ConfigDict

from hvc_jax.configs.base import get_base


def motion_config(size: str) -> ConfigDict:
    motion = ConfigDict()
    motion.kind = "keypoint"
    motion.token_size = 32  # numbers a frame
    motion.points = 13  # soft positions among them, two numbers each, 1 to 17
    motion.learn_positions = True  # False keeps what loss.points_only or init_from gave
    motion.initial_step = 0.05  # quantisation step before it is learned
    motion.token_width = {"tiny": 16, "small": 24, "base": 32}[size]
    motion.width = {"tiny": 24, "small": 40, "base": 56}[size]  # channels of motion features
    motion.blocks = {"tiny": 1, "small": 2, "base": 2}[size]
    motion.heads = 4
    motion.transformer_blocks = {"tiny": 1, "small": 2, "base": 2}[size]
    return motion


def get_config(argument: str | None = None) -> ConfigDict:
    return get_base(argument, {size: motion_config(size) for size in ("tiny", "small", "base")})
