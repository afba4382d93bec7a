"""Drawing of one frame: colours of covered pixels, background with shadow, camera response.

nearest triangles ─► blocks of 32 pixels with the person ─► tiles of 256 blocks ─► colours ─┐
mask ─► soft shadow ─► background ──────────────────────────────────────────────────────────┤
                                           frame ◄─ tone ◄─ means over the pixels' areas ◄──┘
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.raster import vertex_normals
from hvc_jax.synth.background import random_background
from hvc_jax.synth.look import Look, random_look
from hvc_jax.synth.mesh import dress, dressed_body, part_ids
from hvc_jax.synth.shading import Light, albedo, gloss_of, random_light, shade, smooth_fields

_BLOCK, _TILE = 32, 256  # pixels a block, blocks a tile: what a tile needs fits a core's cache
_SHADOW = 64  # side of the picture in which a shadow is blurred


class Scene(NamedTuple):
    """What stays the same through a clip."""

    look: Look  # Appearance; `rest`: `[V', 3]` dressed rest mesh
    rest: np.ndarray
    fields: np.ndarray  # `[V', 6]`, see `smooth_fields`
    light: Light  # Lights
    background: np.ndarray  # uint8 `[3, S, S]`
    # `[2, 64, S]` shift and blur a mask along y and x to the shadow on the background
    shadow: np.ndarray
    darkness: float  # Strength of the shadow, 0 for none
    tone: np.ndarray  # `[3, 256]` uint8 camera response
    noise: float  # Standard deviation of the sensor noise, grey levels


def random_scene(rng: np.random.Generator, canvas: int) -> Scene:
    """Returns a random person, light, background and camera for drawings of side `canvas`."""
    look = random_look(rng)
    light = random_light(rng)
    dx, dy, blur, darkness = 0.0, 0.0, 0.02, 0.0
    if rng.random() < 0.5:
        dx = -0.08 * light.direction[0, 0] * rng.uniform(0.2, 1.5)
        dy, blur, darkness = rng.uniform(0, 0.06), rng.uniform(0.008, 0.05), rng.uniform(0.15, 0.6)
    ramp = np.linspace(0, 1, 256)
    gain, gamma = rng.uniform(0.9, 1.15, 3) ** 0.5, np.exp(rng.normal(0, 0.15))
    lift, top = rng.uniform(0, 0.05), rng.uniform(0.92, 1.03)
    tone = lift + (top - lift) * ramp[:, None] ** gamma * gain
    return Scene(
        look=look,
        rest=dress(look),
        fields=smooth_fields(dressed_body().rest, look),
        light=light,
        background=np.moveaxis(random_background(rng, canvas), 2, 0),
        shadow=np.stack([_blurred(canvas, dy, blur), _blurred(canvas, dx, blur)]),
        darkness=np.float32(darkness),
        tone=np.clip(255 * tone.T + 0.5, 0, 255).astype(np.uint8),
        noise=np.float32(rng.choice([0.0, rng.uniform(0.5, 3.0)])),
    )


def _blurred(canvas: int, shift: float, blur: float) -> np.ndarray:
    """Returns `[64, canvas]`, Gaussian means of `canvas` values shifted; the borders go on."""
    place = (np.arange(canvas) + 0.5) * (_SHADOW / canvas) - 0.5 + _SHADOW * shift
    square = (np.arange(_SHADOW)[:, None] - place) ** 2
    weights = np.exp((square.min(1, keepdims=True) - square) / (2 * (_SHADOW * blur) ** 2 + 0.17))
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _enlarging(canvas: int) -> np.ndarray:
    """Returns `[canvas, 64]`, linear interpolation."""
    place = (np.arange(canvas) + 0.5) * (_SHADOW / canvas) - 0.5
    place = np.clip(place, 0, _SHADOW - 1)
    return np.maximum(1 - np.abs(place[:, None] - np.arange(_SHADOW)), 0).astype(np.float32)


def draw(scene: Scene, screen: jax.Array, camera: jax.Array, triangle: jax.Array) -> jax.Array:
    """Returns one drawing `[4, S, S]`: RGB in [0, 255] and the mask, 0 or 1; S is the canvas.

    `screen`: `[V', 3]` (u, v, depth) of the vertices; `camera`: `[3]` weak perspective, its scale
    turns depth into the units of (u, v); `triangle`: `[S, S]` nearest triangles, -1 for none.
    """
    canvas = triangle.shape[0]
    # Positions are relative to the picture's corner, in pixels whose centres are whole numbers.
    pixel = (screen[:, :2] + 1) * (canvas / 2) - 0.5
    space = screen * jnp.stack([jnp.float32(1), jnp.float32(-1), -camera[0]])
    faces = jnp.asarray(dressed_body().faces)
    normals = vertex_normals(space, faces)
    rest = jnp.asarray(dressed_body().rest)
    table = jnp.concatenate([pixel, rest, normals, scene.fields], axis=1)
    count = canvas * canvas
    spare = -count % _BLOCK
    blocks = jnp.pad(triangle.reshape(-1), (0, spare + _BLOCK), constant_values=-1)
    blocks = blocks.reshape(-1, _BLOCK)  # the last one is empty: tiles are filled up with it
    used = (blocks >= 0).any(axis=1)
    slot = jnp.where(used, jnp.cumsum(used) - 1, len(blocks) + _TILE)
    listed = jnp.full(len(blocks) + _TILE, len(blocks) - 1)
    listed = listed.at[slot].set(jnp.arange(len(blocks)), mode="drop")

    def tile(number, colors):
        chosen = jax.lax.dynamic_slice(listed, (number * _TILE,), (_TILE,))
        at = (chosen[:, None] * _BLOCK + jnp.arange(_BLOCK)).reshape(-1)
        color = _colors(scene, table, faces, blocks[chosen].reshape(-1), at, canvas)
        return colors.at[:, chosen].set(color.reshape(3, _TILE, _BLOCK))

    colors = jnp.zeros((3, len(blocks), _BLOCK))
    colors = jax.lax.fori_loop(0, (used.sum() + _TILE - 1) // _TILE, tile, colors)
    colors = colors.reshape(3, -1)[:, :count].reshape(3, canvas, canvas)
    mask = triangle >= 0
    picture = jnp.where(mask, colors, _shadowed(scene, mask))
    return jnp.concatenate([picture, mask[None].astype(jnp.float32)])


def _colors(
    scene: Scene, table: jax.Array, faces: jax.Array, seen: jax.Array, at: jax.Array, canvas: int
) -> jax.Array:
    """Returns RGB `[3, N]` in [0, 255] of pixels `at` that show the triangles `seen`."""
    width = table.shape[1]
    first = 3 * jnp.maximum(seen, 0)
    corners = [_pick(faces, first + k) for k in range(3)]
    x, y = (at % canvas).astype(jnp.float32), (at // canvas).astype(jnp.float32)
    rx = [_pick(table, corner * width) - x for corner in corners]
    ry = [_pick(table, corner * width + 1) - y for corner in corners]
    # Barycentric coordinates of pixel centres (affine: the camera is a weak perspective).
    weights = [rx[j] * ry[k] - rx[k] * ry[j] for j, k in ((1, 2), (2, 0), (0, 1))]
    total = weights[0] + weights[1] + weights[2]
    weights = [weight / jnp.where(total == 0, 1, total) for weight in weights]
    # Without barriers a compiler may look these up again for everything that is made of them.
    corners, weights = jax.lax.optimization_barrier((corners, weights))
    values = [
        sum(
            w * _pick(table, corner * width + c) for w, corner in zip(weights, corners, strict=True)
        )
        for c in range(2, width)
    ]
    corner = _pick(faces, first + jnp.argmax(jnp.stack(weights), axis=0))
    kind = jnp.where(seen >= 0, _pick(jnp.asarray(part_ids()), corner), -1)
    values, kind = jax.lax.optimization_barrier((jnp.stack(values), kind))
    rest, normal, fields = values[:3], values[3:6], values[6:]
    normal = normal * jax.lax.rsqrt(jnp.maximum((normal * normal).sum(0), 1e-12))
    color = albedo(rest, fields, kind, scene.look)
    lit = shade(color, normal, gloss_of(kind), scene.light)
    # Gamma 2 is near enough to sRGB, and a square root is cheap.
    return 255 * jnp.sqrt(jnp.clip(lit * color, 0, 1))


def _pick(values: jax.Array, index: jax.Array) -> jax.Array:
    return values.reshape(-1).at[index].get(mode="promise_in_bounds")


def _shadowed(scene: Scene, mask: jax.Array) -> jax.Array:
    """Returns the background `[3, S, S]` with the person's soft shadow on it."""
    background = scene.background.astype(jnp.float32)

    def darkened():
        down, right = scene.shadow
        up = jnp.asarray(_enlarging(mask.shape[0]))
        soft = up @ (down @ mask.astype(jnp.float32) @ right.T) @ up.T
        return background * (1 - scene.darkness * soft)

    return jax.lax.cond(scene.darkness > 0, darkened, lambda: background)


def _shrink(pictures: jax.Array, size: int) -> jax.Array:
    """Returns `[C, size, W]`, means of `pictures` `[C, S, W]` over the areas of `size` rows."""
    count, canvas, width = pictures.shape
    ratio, period = canvas / size, canvas // math.gcd(canvas, size)
    # The weights of the rows repeat, for a ratio of 1.5 after 2 rows of 3.
    rows = pictures.reshape(count, -1, period, width)
    made = []
    for k in range(round(period / ratio)):
        ends = np.arange(period + 1).clip(k * ratio, (k + 1) * ratio)
        shares = np.diff(ends) / ratio
        made.append(sum(shares[j] * rows[:, :, j] for j in np.flatnonzero(shares > 1e-6)))
    return jnp.stack(made, axis=2).reshape(count, size, width)


def develop(scene: Scene, drawing: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """Returns frame uint8 `[size, size, 3]` and mask `[size, size]` of a drawing."""
    drawing = _shrink(_shrink(drawing, size).swapaxes(1, 2), size)
    level = (drawing[:3] + 0.5).astype(jnp.int32) + 256 * jnp.arange(3)[:, None, None]
    return _pick(scene.tone, level).transpose(2, 1, 0), drawing[3].T


def add_noise(frame: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Returns a frame uint8 `[S, S, 3]` with grey sensor noise of that standard deviation."""
    if not noise:
        return frame
    grey = rng.standard_normal(frame.shape[:2], np.float32) * noise
    return np.clip(frame + grey[..., None], 0, 255).astype(np.uint8)
