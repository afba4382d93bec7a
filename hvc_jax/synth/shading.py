"""Colours and light of the visible points of a synthetic person, compiled, for a tile of pixels.

rest position, normal, kind -> albedo (skin, face, hair, fabrics) -> light -> RGB

Colours are `[3, N]`. What is on few tiles (a face, hair, a jacket) is a branch that a tile without
it does not take. A look is an argument, so that all people share one compiled program.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.synth.look import PATTERNS, Fabric, Look
from hvc_jax.synth.mesh import hair_region, lower_region, smoothstep, upper_region

_EYE = (0.031, 0.73)
_HEAD, _EYES, _MOUTH, _SKIRT, _HAIR = 1, 10, 11, 12, 13  # kinds of points, see `part_ids`


class Light(NamedTuple):
    """A main light, a weak second one, and light from the surroundings."""

    direction: np.ndarray  # `[2, 3]` unit vectors towards the lights
    color: np.ndarray  # `[2, 3]` RGB
    sky: np.ndarray  # `[3]` RGB from above; `ground`: `[3]` from below
    ground: np.ndarray


def random_light(rng: np.random.Generator) -> Light:
    """Returns random lights from above and the front, mostly."""
    main = np.array([rng.normal(0, 0.9), rng.uniform(0.1, 1.2), rng.uniform(0.3, 1.4)])
    second = np.array([-main[0] + rng.normal(0, 0.3), rng.uniform(-0.2, 0.8), rng.uniform(-0.4, 1)])
    direction = np.stack([main, second])
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    warmth = rng.uniform(-0.12, 0.12)
    tint = np.array([1 + warmth, 1.0, 1 - warmth])
    strength = rng.uniform(0.45, 0.85)
    ambient = rng.uniform(0.3, 0.6)
    return Light(
        direction=direction.astype(np.float32),
        color=np.stack([strength * tint, rng.uniform(0, 0.3) * tint[::-1]]).astype(np.float32),
        sky=(ambient * rng.uniform(0.9, 1.1, 3)).astype(np.float32),
        ground=(ambient * rng.uniform(0.4, 0.8) * rng.uniform(0.9, 1.1, 3)).astype(np.float32),
    )


def _waves(points: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """Returns the mean of sinusoids `[N]`, in about [-1, 1]."""
    return np.sin(points @ waves[:, :3].T + waves[:, 3]).mean(1) * np.float32(1.4)


def smooth_fields(rest: np.ndarray, look: Look) -> np.ndarray:
    """Returns `[V, 6]`: folds and patches of the upper, lower and inner fabric at rest vertices.

    They vary slowly enough to be interpolated between vertices, which is far cheaper than a sine
    for every pixel.
    """
    rest = np.nan_to_num(rest)
    fields = []
    for fabric in (look.upper, look.lower, look.inner):
        fields += [_waves(rest, fabric.waves[:4]), _waves(rest[:, ::-1], fabric.waves[:3])]
    return np.stack(fields, axis=1).astype(np.float32)


@functools.lru_cache(maxsize=1)
def _tile() -> np.ndarray:
    """Returns periodic noise `[256 * 256]` of unit spread, smooth over about 3 cells."""
    noise = np.random.default_rng(7).normal(size=(256, 256))
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None])
    smooth = np.fft.ifft2(np.fft.fft2(noise) * np.exp(-((frequency / 0.18) ** 2))).real
    return (smooth / smooth.std()).astype(np.float32).ravel()


def _sin(x: jax.Array) -> jax.Array:
    """Returns sines to 1e-3, thirty times faster on a CPU than those of the compiler."""
    turns = x * np.float32(0.5 / np.pi)
    turns = turns - jnp.floor(turns + 0.5)
    arc = turns * (8 - 16 * jnp.abs(turns))
    return arc * (0.775 + 0.225 * jnp.abs(arc))


def _bell(x: jax.Array, middle: float, width: float) -> jax.Array:
    return jnp.exp(-(((x - middle) / width) ** 2))


def grain(p: jax.Array, scale: jax.Array | float) -> jax.Array:
    """Returns fine noise `[N]` of unit spread at rest positions `[3, N]`, `scale` cells a metre."""
    x, y, z = p
    column = ((x + 0.7 * z + 4) * scale).astype(jnp.int32) & 255
    row = ((y + 0.45 * z + 4) * scale).astype(jnp.int32) & 255
    return jnp.asarray(_tile()).at[row * 256 + column].get(mode="promise_in_bounds")


def _mix(color: jax.Array, share: jax.Array, other: jax.Array) -> jax.Array:
    """Returns `color` `[3, N]` with `share` `[N]` of it replaced by `other`, `[3]` or `[3, N]`."""
    return color + share * ((other[:, None] if other.ndim == 1 else other) - color)


def fabric_color(p: jax.Array, fine: jax.Array, fields: jax.Array, fabric: Fabric) -> jax.Array:
    """Returns the albedo `[3, N]` of a fabric at rest positions `p` `[3, N]`.

    `fine`: `[N]` noise of the threads; `fields`: `[2, N]` this fabric's folds and patches, see
    `smooth_fields`.
    """
    base, first, second = fabric.colors
    folds, patches = fields
    plain = jnp.broadcast_to(base[:, None], p.shape)

    def waves():
        cosine, sine = jnp.cos(fabric.angle), jnp.sin(fabric.angle)
        turn = 2 * np.pi * fabric.scale
        a = _sin((cosine * p[0] + sine * p[1]) * turn)
        b = _sin((cosine * p[1] - sine * p[0]) * turn)
        return a, b

    def stripes():
        return _mix(plain, smoothstep(waves()[0], -0.15, 0.15), first)

    def checks():
        a, b = waves()
        return _mix(plain, 0.5 * (smoothstep(a, -0.1, 0.1) + smoothstep(b, -0.1, 0.1)), first)

    def dots():
        a, b = waves()
        return _mix(plain, smoothstep(a * b, 0.45, 0.65), first)

    def printed():
        color = _mix(plain, smoothstep(patches, 0.2, 0.27), second)
        return _mix(color, smoothstep(folds - 0.5 * patches, 0.0, 0.08), first)

    def melange():
        share = jnp.clip(0.5 + 0.4 * grain(p, 6 * fabric.scale), 0, 1)
        return _mix(plain, share, first)

    kinds = dict(
        plain=lambda: plain, stripes=stripes, checks=checks, dots=dots, print=printed,
        melange=melange,
    )  # fmt: skip
    color = jax.lax.switch(fabric.pattern.astype(jnp.int32), [kinds[name] for name in PATTERNS])
    return color * (1 + 0.35 * fabric.wrinkles * folds + 0.04 * fine)


def _face(color: jax.Array, p: jax.Array, fine: jax.Array, look: Look) -> jax.Array:
    """Returns `color` with lips, brows, lids, beard, spectacles and hair painted on."""
    x, y, z = jnp.abs(p[0]), p[1], p[2]
    front = smoothstep(z, 0.09, 0.11)
    color = _mix(color, 0.25 * _bell(x, 0.04, 0.02) * _bell(y, 0.69, 0.02) * front, look.lips)
    beard = smoothstep(0.675 - y + 0.6 * jnp.clip(0.03 - x, -0.05, 0.0), -0.012, 0.012)
    side = smoothstep(x, 0.05, 0.066) * smoothstep(0.712 - y, 0.0, 0.015)
    beard = jnp.maximum(beard, side) * smoothstep(z, 0.03, 0.055)
    lip_area = ((x / 0.03) ** 2 + ((y - 0.655) / 0.012) ** 2) < 1
    color = _mix(color, look.beard * beard * ~lip_area * (y > 0.6), look.hair)
    bow = 0.002 * _sin(x * 150 + np.pi / 2)
    mouth = (x / 0.0265) ** 2 + ((y - 0.655 - bow) / 0.0105) ** 2
    color = _mix(color, 0.85 * front * smoothstep(1.15 - mouth, 0.0, 0.3), look.lips)
    seam = _bell(y, 0.6555, 0.0013) * (x < 0.024)
    color = _mix(color, 0.6 * front * seam, 0.35 * look.lips)
    brow = _bell(y + 2.5 * (x - 0.028) ** 2, 0.7535, 0.0042) * smoothstep(x, 0.008, 0.014)
    brow = brow * smoothstep(0.053 - x, 0.0, 0.008)
    color = _mix(color, look.brows * 0.9 * front * brow, 0.6 * look.hair)
    socket = _bell(x, _EYE[0], 0.019) * _bell(y, _EYE[1] + 0.004, 0.011)
    color = _mix(color, 0.35 * front * socket, 0.45 * look.skin)
    lash = _bell(x, _EYE[0], 0.015) * _bell(y + 9 * (x - _EYE[0]) ** 2, 0.7365, 0.0022)
    color = _mix(color, 0.7 * front * lash, 0.2 * look.hair)
    nostril = _bell(x, 0.008, 0.004) * _bell(y, 0.6805, 0.003)
    color = _mix(color, 0.5 * front * nostril, 0.3 * look.skin)
    radius = jnp.sqrt(((x - 0.033) / 0.026) ** 2 + ((y - 0.729) / 0.02) ** 2)
    rim = _bell(radius, 1, 0.1) + _bell(y, 0.735, 0.002) * ((x < 0.009) | (x > 0.058))
    rim = look.glasses * jnp.clip(rim, 0, 1) * (z > 0.04) * (y > 0.69)
    color = _mix(color, rim, 0.15 * look.shoes)
    strands = 1 + 0.16 * _sin(p[0] * 2100 + 2 * fine) + 0.12 * fine
    return _mix(color, hair_region(*p, look), look.hair[:, None] * strands)


def _eyes(color: jax.Array, p: jax.Array, look: Look) -> jax.Array:
    """Returns eye white, iris and pupil."""
    radius = jnp.sqrt((jnp.abs(p[0]) - _EYE[0]) ** 2 + (p[1] - _EYE[1]) ** 2)
    color = _mix(jnp.full_like(color, 0.88), smoothstep(0.0068 - radius, 0.0, 0.001), look.iris)
    return _mix(color, smoothstep(0.003 - radius, 0.0, 0.0008), jnp.full(3, 0.02))


def _long_hair(p: jax.Array, fine: jax.Array, look: Look) -> jax.Array:
    angle = jnp.arctan2(p[0], p[2] - 0.035)
    return look.hair[:, None] * (1 + 0.2 * _sin(angle * 140 + 2 * fine) + 0.12 * fine)


def _clothes(
    color: jax.Array, p: jax.Array, fields: jax.Array, part: jax.Array, look: Look
) -> jax.Array:
    """Returns `color` with shoes, lower and upper garments over it."""
    x, y, z = jnp.abs(p[0]), p[1], p[2]
    threads = grain(p, 420.0)
    shoe = (part >= 8) & (part <= 9) & (y < -0.92)
    color = jnp.where(shoe, look.shoes[:, None], color)
    lower, upper = lower_region(x, y, look), upper_region(*p, look)
    color = _if_any(
        lower > 0,
        lambda c: _mix(c, lower, fabric_color(p, threads, fields[2:4], look.lower)),
        color,
    )
    color = _if_any(
        upper > 0, lambda c: _mix(c, upper, fabric_color(p, threads, fields[:2], look.upper)), color
    )

    def jacket(color):
        width = look.opening * (0.4 + 0.9 * jnp.clip(y / 0.55, 0, 1))
        gap = smoothstep(width - x, -0.002, 0.002) * (z > 0) * (y < look.neckline) * (x < 0.15)
        inner = fabric_color(p, threads, fields[4:], look.inner)
        color = _mix(color, gap * (y > -0.1), inner)
        lapel = _bell(x - width, 0.003, 0.004) * (z > 0) * upper
        color = _mix(color, 0.5 * lapel, 0.4 * look.upper.colors[0])
        tie = (x < 0.012 + 0.035 * jnp.clip(0.5 - y, 0, 0.5)) & (z > 0) & (y > 0.05) & (y < 0.53)
        return _mix(color, 0.95 * look.tie * tie, look.lower.colors[1])

    color = jax.lax.cond(look.opening > 0, jacket, lambda c: c, color)
    cx, cy, half_x, half_y = look.logo
    box = (jnp.abs(p[0] - cx) < half_x) & (jnp.abs(y - cy) < half_y) & (z > 0) & (upper > 0.5)
    text = _sin(p[0] * 170 + 2) * _sin(y * 140) + _sin(p[0] * 77) > 0
    color = _mix(color, 0.9 * (box & text), look.upper.colors[2])
    hem = _bell(y, look.waist, 0.004) * (x < 0.25) * (look.skirt < 0)
    return color * (1 - 0.35 * hem - 0.2 * _bell(x, look.sleeve, 0.004))


def _if_any(chosen: jax.Array, paint, color: jax.Array) -> jax.Array:
    """Returns `paint(color)` where `chosen`; does nothing on a tile where that is nowhere."""
    return jax.lax.cond(chosen.any(), lambda c: jnp.where(chosen, paint(c), c), lambda c: c, color)


def albedo(p: jax.Array, fields: jax.Array, kind: jax.Array, look: Look) -> jax.Array:
    """Returns the colour `[3, N]` of visible points, at rest positions `p` `[3, N]`, before light.

    `fields`: `[6, N]` of `smooth_fields`; `kind`: `[N]` part of the body, numbered as in
    `mesh.part_ids`.
    """
    fine = grain(p, 260.0)
    color = look.skin[:, None] * (1 + 0.03 * fine)
    # The neck belongs to the head; a collar crosses the border between the parts.
    trunk = (p[1] < 0.615) & (kind < _EYES) & (kind >= 0)
    color = _if_any(kind == _HEAD, lambda c: _face(c, p, fine, look), color)
    color = _if_any(kind == _EYES, lambda c: _eyes(c, p, look), color)
    color = jnp.where(kind == _MOUTH, jnp.array([[0.25], [0.08], [0.08]]), color)
    color = _if_any(trunk, lambda c: _clothes(c, p, fields, kind, look), color)
    color = _if_any(
        kind == _SKIRT, lambda c: fabric_color(p, grain(p, 420.0), fields[2:4], look.lower), color
    )
    return _if_any(kind == _HAIR, lambda c: _long_hair(p, fine, look), color)


def gloss_of(kind: jax.Array) -> jax.Array:
    """Returns the strength of the highlight `[N]`: skin of head and hands, and eyes, shine more."""
    skin = (kind == _HEAD) | (kind >= 4) & (kind <= 5)
    return jnp.where(kind == _EYES, 0.5, jnp.where(skin, 0.14, 0.06))


def shade(color: jax.Array, normal: jax.Array, gloss: jax.Array, light: Light) -> jax.Array:
    """Returns lit RGB `[3, N]` of albedo `color` `[3, N]` in [0, 1] under `light`.

    Lambert with a soft terminator (wrap 0.25), hemisphere ambient, Blinn highlight for a viewer on
    +z, and a little darkening where the surface turns away, which stands in for contact shadows.
    `normal`: `[3, N]` unit normals, camera space (+z to the viewer); `gloss`: `[N]` strength of the
    highlight.
    """
    up = 0.5 + 0.5 * normal[1]
    total = light.ground[:, None] + up * (light.sky - light.ground)[:, None]
    total = total * (0.72 + 0.28 * jnp.clip(normal[2], 0, 1))
    shine = jnp.zeros_like(up)
    for direction, strength in zip(light.direction, light.color, strict=True):
        lambert = jnp.maximum((_dot(normal, direction) + 0.25) / 1.25, 0)
        total = total + lambert * strength[:, None]
        half = direction + jnp.array([0.0, 0.0, 1.0])
        half = half / jnp.linalg.norm(half)
        shine += jnp.clip(_dot(normal, half), 0, 1) ** 24 * strength.mean()
    return color * total + gloss * shine


def _dot(vectors: jax.Array, direction: jax.Array) -> jax.Array:
    return vectors[0] * direction[0] + vectors[1] * direction[1] + vectors[2] * direction[2]
