"""Pictures of a posed body: shaded, parts, normals, depth and a motion field as a colour wheel."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body import raster
from hvc_jax.body.assets import Body
from hvc_jax.body.lbs import screen_vertices

MAPS = ("shaded", "parts", "normals", "depth")

_BACKGROUND = 0.12
_LIGHT = np.array([0.4, 0.5, 0.8]) / np.linalg.norm([0.4, 0.5, 0.8])


def part_palette(count: int) -> np.ndarray:
    """Returns `count` well separated colours [count, 3] in [0, 1]: hues at golden-angle steps."""
    hue = (np.arange(count) * 0.61803398875) % 1.0
    value = np.where(np.arange(count) % 2 == 0, 0.95, 0.7)
    wheel = np.clip(np.abs((hue[:, None] * 6 + [0, 4, 2]) % 6 - 3) - 1, 0, 1)
    return value[:, None] * (1 - 0.65 * (1 - wheel))


def render(body: Body, vectors: np.ndarray, size: int, kind: str = "shaded") -> np.ndarray:
    """Returns pictures [N, size, size, 3] uint8 of posed bodies, body vectors [N, 188].

    `kind` is one of `MAPS`; parts are drawn without antialiasing, so that labels stay pure. Raises
    ValueError: unknown kind.
    """
    if kind not in MAPS:
        raise ValueError(f"unknown picture {kind!r}; choose one of {', '.join(MAPS)}")
    factor = 1 if kind == "parts" else 2
    # One frame at a time: a picture is supersampled, and batches of them would take gigabytes.
    pictures = []
    for vector in np.atleast_2d(vectors):
        drawn = np.asarray(_draw(body, jnp.asarray(vector, jnp.float32), size * factor, kind))
        drawn = drawn.reshape(size, factor, size, factor, 3).mean((1, 3))
        pictures.append(np.round(np.clip(drawn, 0, 1) * 255).astype(np.uint8))
    return np.stack(pictures)


@functools.partial(jax.jit, static_argnames=("size", "kind"))
def _draw(body: Body, vector: jax.Array, size: int, kind: str) -> jax.Array:
    vertices, screen = screen_vertices(body, vector[None])
    fragments = raster.rasterize(screen, body.faces, size, size)
    seen = fragments.triangle[0] >= 0
    palette = jnp.asarray(part_palette(len(body.part_names)), jnp.float32)
    labels = raster.labels(fragments, body.faces, body.part_ids)[0]
    if kind == "parts":
        return jnp.where(seen[..., None], palette[labels], _BACKGROUND)
    if kind == "depth":
        depth = jnp.where(seen, fragments.depth[0], 0.0)
        near = jnp.min(jnp.where(seen, depth, jnp.inf))
        far = jnp.max(jnp.where(seen, depth, -jnp.inf))
        grey = 1 - 0.8 * (depth - near) / jnp.maximum(far - near, 1e-6)
        return jnp.where(seen, grey, 0.0)[..., None].repeat(3, -1)
    normals = raster.vertex_normals(vertices, body.faces)
    normal = raster.interpolate(fragments, body.faces, normals)[0]
    if kind == "normals":
        return jnp.where(seen[..., None], 0.5 + 0.5 * normal, 0.5)
    light = 0.2 + 0.75 * jnp.clip(normal @ jnp.asarray(_LIGHT, jnp.float32), 0, 1)
    skin = jnp.array([0.80, 0.65, 0.55])
    white = jnp.asarray([name == "eyes" for name in body.part_names])[labels]
    color = jnp.where(white[..., None], 0.95, skin)
    return jnp.where(seen[..., None], light[..., None] * color, _BACKGROUND)


def color_wheel(motion: np.ndarray, limit: float | None = None) -> np.ndarray:
    """Returns a motion field (u, v) [H, W, 2] as colours [H, W, 3] uint8.

    Hue is direction, white is rest; `limit` is the length in full colour, the largest by default.
    """
    length = np.linalg.norm(motion, axis=-1)
    limit = limit or max(float(length.max()), 1e-6)
    hue = (np.arctan2(-motion[..., 1], motion[..., 0]) / (2 * np.pi)) % 1.0
    wheel = np.clip(np.abs((hue[..., None] * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    strength = np.clip(length / limit, 0, 1)[..., None]
    return np.round(255 * (1 - strength * (1 - wheel))).astype(np.uint8)
