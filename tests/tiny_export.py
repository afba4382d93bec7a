"""Exports with random parameters and a toy clip, for tests of the codec and the commands."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.models.codec_model import CodecModel, latent_schema
from hvc_jax.models.export import Export, save_export
from hvc_jax.models.registry import make_model
from hvc_jax.stream.tables import CodingTables, default_tables
from hvc_jax.training.config import load_config

SIDE = 64
FPS = Fraction(30000, 1001)


def make_export(folder: Path, variant: str, seed: int = 0) -> Export:
    """A model of the tiny size with random parameters, written to `folder`."""
    if variant == "hybrid":
        motion = load_config("configs/semantic.py:size=tiny").model.motion
        return make_generator(folder, default_tables(latent_schema(motion)))
    config = load_config(f"configs/{variant}.py:size=tiny")
    model = CodecModel(config.model)
    picture, body = jnp.zeros((1, SIDE, SIDE, 3)), jnp.zeros((1, 188)).at[:, 185].set(0.9)
    past = (1, config.model.past)
    batch = {"key": picture, "target": picture, "previous": jnp.zeros((*past, SIDE, SIDE, 3))}
    batch |= {"key_body": body, "target_body": body, "previous_body": jnp.zeros((*past, 188))}
    # Shapes only: compiling the true initialisers would take most of the test's time.
    init = lambda rng: model.init({"params": rng, "noise": rng}, batch, train=False)  # noqa: E731
    shapes = jax.eval_shape(init, jax.random.key(0))["params"]
    rng = np.random.default_rng(seed)
    schema = latent_schema(config.model.motion)

    def fill(path: Any, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        name = path[-1].key
        if name == "log_step":
            return np.log([slot.step for slot in schema.dynamic])
        if name == "kernel":
            return rng.normal(0, np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape)
        return np.ones(leaf.shape) if name == "scale" else np.zeros(leaf.shape)

    params = jax.tree_util.tree_map_with_path(fill, shapes)
    path = folder / f"{variant}.safetensors"
    return save_export(path, variant, config, params, default_tables(schema))


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


def make_generator(folder: Path, tables: CodingTables | None = None) -> Export:
    """A generator of fields that has learned nothing but acts a little; hybrid with `tables`."""
    config = load_config("configs/field.py:size=tiny")
    batch = {"sources": jnp.zeros((1, SIDE, SIDE, 13)), "qp": jnp.zeros(1)}
    model = make_model(config.model)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), batch, train=False))["params"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.01, leaf.shape), shapes)
    variant = "hybrid" if tables else "field"
    return save_export(folder / f"{variant}.safetensors", variant, config, params, tables)
