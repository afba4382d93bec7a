"""Implicit motion: compact features guide attention over the key picture (IMT, arXiv 2506.10453).

    hvc train --config configs/implicit.py:size=tiny --workdir runs/implicit

Arguments of the string after the colon: see configs/base.py.
"""

from ml_collections import ConfigDict

from hvc_jax.configs.base import get_base


def motion_config(size: str) -> ConfigDict:
    motion = ConfigDict()
    motion.kind = "implicit"
    motion.map_side = 8  # cells along each side of the map that the token is; 0 = no map
    motion.map_channels = 4  # numbers a cell
    motion.token_size = 32  # numbers a frame, if the token is no map
    motion.initial_step = 0.1  # quantisation step before it is learned
    motion.side = 128  # of the analysed pictures, pixels
    motion.token_width = {"tiny": 16, "small": 32, "base": 48}[size]
    motion.style = {"tiny": 32, "small": 64, "base": 128}[size]
    # Channels of motion features at 1/32, 1/16, 1/8 and 1/4 of the picture.
    motion.motion_widths = {
        "tiny": (32, 32, 32, 16),
        "small": (64, 64, 64, 24),
        "base": (192, 160, 128, 64),
    }[size]
    motion.match_width = 16  # of what queries look for and keys show, beside positions
    motion.window = 8  # cells at 1/4, and half as many around; what moves farther is found at 1/8
    motion.null_keys = 4
    motion.key_dropout = 0.05  # share of the key picture's cells that are hidden in training
    motion.heads = 4
    motion.transformer_blocks = {  # by scale, coarsest first; IMF has 4 at each
        "tiny": (1, 1, 0, 0),
        "small": (1, 1, 0, 0),
        "base": (4, 4, 2, 0),
    }[size]
    return motion


def get_config(argument: str | None = None) -> ConfigDict:
    return get_base(argument, {size: motion_config(size) for size in ("tiny", "small", "base")})
