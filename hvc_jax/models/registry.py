"""The network that a model block of a configuration describes."""

from typing import Any

import flax.linen as nn
from ml_collections import FrozenConfigDict

from hvc_jax.models.codec_model import CodecModel
from hvc_jax.models.field_generator import FieldGenerator
from hvc_jax.stream.header import WITH_FIELD


def make_model(config: Any) -> nn.Module:
    """The module of a model block, whose `motion.kind` names it: `model(batch, train=...)`."""
    kind = FieldGenerator if config.motion.kind in WITH_FIELD else CodecModel
    return kind(FrozenConfigDict(config))
