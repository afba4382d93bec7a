"""Exports with random parameters, the smallest that the codec runs, made once a session."""

from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.entropy.tables import default_tables
from hvc_jax.models.codec_model import CodecModel, latent_schema
from hvc_jax.models.export import Export, save_export
from hvc_jax.training.config import load_config

SIDE = 64
FPS = Fraction(30000, 1001)


def make_export(folder: Path, variant: str) -> Export:
    """A model of the tiny size with fresh parameters, written to `folder`."""
    config = load_config(f"configs/{variant}.py:size=tiny")
    model = CodecModel(config.model)
    picture, body = jnp.zeros((1, SIDE, SIDE, 3)), jnp.zeros((1, 188)).at[:, 185].set(0.9)
    names = ("key", "target", "previous")
    batch = {n: picture for n in names} | {f"{n}_body": body for n in names}
    init = jax.jit(lambda rng: model.init({"params": rng, "noise": rng}, batch, train=False))
    params = jax.device_get(init(jax.random.key(0)))["params"]
    tables = default_tables(latent_schema(config.model.motion))
    return save_export(folder / f"{variant}.safetensors", variant, config, params, tables)


def make_frames(count: int, side: int = SIDE) -> np.ndarray:
    """Frames [T, H, W, 3] uint8 of a bright disc that moves over a gradient."""
    line = np.linspace(-1, 1, side)
    x, y = np.meshgrid(line, line)
    frames = []
    for t in range(count):
        disc = (x - 0.5 * np.sin(t / 4)) ** 2 + y**2 < 0.2
        frames.append(np.stack([disc * 200, 90 + 60 * x, 120 + 50 * y], -1))
    return np.asarray(frames).clip(0, 255).astype(np.uint8)


def make_bodies(count: int) -> np.ndarray:
    """Body vectors [T, 188] of a person who turns the head."""
    bodies = np.zeros((count, 188), np.float32)
    bodies[:, 185] = 0.9
    bodies[:, 20 + 15 * 3 + 1] = 0.4 * np.sin(np.arange(count) / 5)
    return bodies
