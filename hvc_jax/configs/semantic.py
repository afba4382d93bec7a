"""Explicit motion: body parameters posed as meshes give the flow (IHVC, arXiv 2505.16152).

    hvc train --config configs/semantic.py:size=tiny --workdir runs/semantic

Arguments of the string after the colon: see configs/base.py.
"""

from ml_collections import ConfigDict

from hvc_jax.configs.base import get_base


def motion_config(size: str) -> ConfigDict:
    motion = ConfigDict()
    motion.kind = "semantic"
    motion.schema = "upper31"  # the 31 published numbers, or "full_body"
    motion.camera = True  # the camera's three numbers go with every frame
    motion.width = {"tiny": 24, "small": 40, "base": 64}[size]  # channels of the flow refiner
    return motion


def get_config(argument: str | None = None) -> ConfigDict:
    config = get_base(argument, {size: motion_config(size) for size in ("tiny", "small", "base")})
    config.model.past = 9  # as many as the stream's coder looks back; of bodies alone they are free
    return config
