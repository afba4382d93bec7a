"""The generator of displacement fields: weighs key pictures, displaced and as they are.

    hvc data fields CLIPS/train fields/train
    hvc data fields CLIPS/development fields/development
    hvc train --config configs/field.py:size=small,data=fields --workdir runs/field

Arguments of the string after the colon: see configs/base.py; `res` is the side of the crops that
are trained on.
"""

from ml_collections import ConfigDict

from hvc_jax.configs.base import get_base

WIDTHS = {"tiny": 16, "small": 32, "base": 64}
"""Channels; "small" takes .15 GMAC a frame of 256x256."""


def get_config(argument: str | None = None) -> ConfigDict:
    kinds = {size: ConfigDict({"kind": "field", "size": size}) for size in WIDTHS}
    config = get_base(argument, kinds)
    motion = config.model.motion
    with config.unlocked():
        config.model = ConfigDict({"motion": motion, "width": WIDTHS[motion.size]})
        config.data.size = min(config.data.size, 128)
        config.loss.warped = config.loss.warped_perceptual = 0.0  # the blend has no parameters
        config.loss.perceptual_scales = 1
    return config
