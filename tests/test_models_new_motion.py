"""A new motion model is one class and one line: here one that shifts the key picture."""

import io

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict, FrozenConfigDict

from hvc_jax.codec.codec import Codec
from hvc_jax.codec.options import EncodeOptions
from hvc_jax.configs.base import get_base
from hvc_jax.models import codec_model
from hvc_jax.models.export import save_export
from hvc_jax.ops.warp import identity_grid, resize_grid, warp
from hvc_jax.stream.schema import token_schema
from hvc_jax.stream.tables import default_tables


class ShiftMotion(nn.Module):
    """Sends the place of the brightest row and column; shifts everything by their change."""

    config: FrozenConfigDict
    widths: tuple[int, int, int]

    @staticmethod
    def latent_schema(config):
        return token_schema(2, 0.01)

    def analyse(self, frames, key, body):
        del key, body
        grey = frames.mean(-1)
        place = [jax.nn.softmax(20 * grey.mean(axis), -1) for axis in (1, 2)]
        line = jnp.linspace(-1, 1, frames.shape[1])
        return jnp.stack([p @ line for p in place], -1)

    def align(self, features, key_latent, latent):
        shift = (key_latent - latent)[:, None, None]

        def move(x):
            grid = identity_grid(*x.shape[1:3])[None] + shift
            return warp(x, resize_grid(grid, *x.shape[1:3]))

        return jax.tree.map(move, features), {"warped": move(features.pixels)}


def test_a_motion_model_is_a_class_and_a_line(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(codec_model.MOTIONS, "shift", ShiftMotion)
    motion = ConfigDict({"kind": "shift"})
    config = get_base("size=tiny,res=64", {"tiny": motion})
    model = codec_model.CodecModel(FrozenConfigDict(config.model))
    assert not codec_model.sends_bodies(config.model.motion)
    picture, body = jnp.zeros((1, 64, 64, 3)), jnp.zeros((1, 188))
    past = (1, config.model.past)
    batch = {"key": picture, "target": picture, "previous": jnp.zeros((*past, 64, 64, 3))}
    batch |= {"key_body": body, "target_body": body, "previous_body": jnp.zeros((*past, 188))}
    rngs = {"params": jax.random.key(0), "noise": jax.random.key(1)}
    params = jax.jit(lambda: model.init(rngs, batch, train=True))()["params"]
    tables = default_tables(ShiftMotion.latent_schema(motion))
    export = save_export(tmp_path / "shift.safetensors", "keypoint", config, params, tables)
    frames = np.zeros((6, 64, 64, 3), np.uint8)
    for t in range(6):
        frames[t, 20:36, 16 + 4 * t : 32 + 4 * t] = 255
    codec = Codec(export)
    data = codec.encode(
        frames, fps=25, options=EncodeOptions(key_codec="av1", effort=0, hold=False)
    )
    decoded = np.stack(list(codec.decode(io.BytesIO(data)))).astype(float)
    assert decoded.shape == frames.shape
    columns = decoded.mean((1, 3)) @ np.arange(64) / decoded.mean((1, 3)).sum(1)
    assert (np.diff(columns) > 1).all()  # the square moves to the right
