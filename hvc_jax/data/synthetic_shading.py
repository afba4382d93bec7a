"""Colours and light of the visible points of a synthetic person, in numpy on covered pixels only.

rest position, normal, material -> albedo (skin, face, hair, fabrics) -> light -> RGB
"""

import functools
from typing import NamedTuple

import numpy as np

from hvc_jax.data.synthetic_look import Fabric, Look
from hvc_jax.data.synthetic_mesh import hair_region, lower_region, smoothstep, upper_region

_EYE = np.array([0.031, 0.73])


class Light(NamedTuple):
    """A main light, a weak second one, and light from the surroundings.

    Attributes:
      direction: `[2, 3]` unit vectors towards the lights.
      color: `[2, 3]` RGB.
      sky: `[3]` RGB from above; `ground`: `[3]` from below.
    """

    direction: np.ndarray
    color: np.ndarray
    sky: np.ndarray
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


def grain(points: np.ndarray, scale: float) -> np.ndarray:
    """Returns fine noise `[N]` of unit spread at rest positions, `scale` cells a metre."""
    z = points[:, 2]
    column = ((points[:, 0] + 0.7 * z + 4) * scale).astype(np.int32) & 255
    row = ((points[:, 1] + 0.45 * z + 4) * scale).astype(np.int32) & 255
    return _tile()[row * 256 + column]


def fabric_color(points: np.ndarray, fields: np.ndarray, fabric: Fabric) -> np.ndarray:
    """Returns the albedo `[N, 3]` of a fabric.

    Args:
      points: `[N, 3]` rest positions.
      fields: `[N, 2]` this fabric's folds and patches, see `smooth_fields`.
      fabric: The material.
    """
    base, first, second = fabric.colors.astype(np.float32)
    color = np.broadcast_to(base, points.shape)
    folds, patches = fields[:, 0], fields[:, 1]
    if fabric.pattern != "plain":
        cosine, sine = np.float32(np.cos(fabric.angle)), np.float32(np.sin(fabric.angle))
        turn = np.float32(2 * np.pi * fabric.scale)
        a = np.sin((cosine * points[:, 0] + sine * points[:, 1]) * turn)
        b = np.sin((-sine * points[:, 0] + cosine * points[:, 1]) * turn)
        if fabric.pattern == "stripes":
            share = smoothstep(a, -0.15, 0.15)
        elif fabric.pattern == "checks":
            share = 0.5 * (smoothstep(a, -0.1, 0.1) + smoothstep(b, -0.1, 0.1))
        elif fabric.pattern == "dots":
            share = smoothstep(a * b, 0.45, 0.65)
        elif fabric.pattern == "print":
            share = smoothstep(folds - 0.5 * patches, 0.0, 0.08)
            color = color + smoothstep(patches, 0.2, 0.27)[:, None] * (second - color)
        else:
            share = np.clip(0.5 + 0.4 * grain(points, 6 * fabric.scale), 0, 1)
        color = color + share[:, None] * (first - color)
    fine = grain(points, 420.0)
    return color * (1 + np.float32(0.35 * fabric.wrinkles) * folds + 0.04 * fine)[:, None]


def _mix(color: np.ndarray, share: np.ndarray, other: np.ndarray) -> None:
    """Blends `other` into `color` `[N, 3]` in place."""
    color += share[:, None].astype(np.float32) * (other - color)


def _face(color: np.ndarray, p: np.ndarray, look: Look) -> None:
    """Paints lips, brows, lids, beard and spectacles on head points (in place)."""
    x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
    front = smoothstep(z, 0.09, 0.11)
    blush = np.exp(-(((x - 0.04) / 0.02) ** 2) - ((y - 0.69) / 0.02) ** 2)
    _mix(color, 0.25 * blush * front, look.lips)
    beard = smoothstep(0.675 - y + 0.6 * np.clip(0.03 - x, -0.05, 0.0), -0.012, 0.012)
    side = smoothstep(x, 0.05, 0.066) * smoothstep(0.712 - y, 0.0, 0.015)
    beard = np.maximum(beard, side) * smoothstep(z, 0.03, 0.055)
    lip_area = ((x / 0.03) ** 2 + ((y - 0.655) / 0.012) ** 2) < 1
    _mix(color, look.beard * beard * ~lip_area * (y > 0.6), look.hair)
    mouth = (x / 0.0265) ** 2 + ((y - 0.655 - 0.002 * np.cos(x * 150)) / 0.0105) ** 2
    _mix(color, 0.85 * front * smoothstep(1.15 - mouth, 0.0, 0.3), look.lips)
    seam = np.exp(-(((y - 0.6555) / 0.0013) ** 2)) * (x < 0.024)
    _mix(color, 0.6 * front * seam, 0.35 * look.lips)
    arch = 0.7535 - 2.5 * (x - 0.028) ** 2
    brow = np.exp(-(((y - arch) / 0.0042) ** 2)) * smoothstep(x, 0.008, 0.014)
    brow = brow * smoothstep(0.053 - x, 0.0, 0.008)
    _mix(color, look.brows * 0.9 * front * brow, 0.6 * look.hair)
    socket = np.exp(-(((x - _EYE[0]) / 0.019) ** 2) - ((y - _EYE[1] - 0.004) / 0.011) ** 2)
    _mix(color, 0.35 * front * socket, 0.45 * look.skin)
    lash = np.exp(-(((x - _EYE[0]) / 0.015) ** 2)) * np.exp(
        -(((y - 0.7365 + 9 * (x - _EYE[0]) ** 2) / 0.0022) ** 2)
    )
    _mix(color, 0.7 * front * lash, 0.2 * look.hair)
    nostril = np.exp(-(((x - 0.008) / 0.004) ** 2) - ((y - 0.6805) / 0.003) ** 2)
    _mix(color, 0.5 * front * nostril, 0.3 * look.skin)
    if look.glasses:
        radius = np.sqrt(((x - 0.033) / 0.026) ** 2 + ((y - 0.729) / 0.02) ** 2)
        rim = np.exp(-(((radius - 1) / 0.1) ** 2)) + (
            np.exp(-(((y - 0.735) / 0.002) ** 2)) * ((x < 0.009) | (x > 0.058))
        )
        _mix(color, np.clip(rim, 0, 1) * (z > 0.04) * (y > 0.69), 0.15 * look.shoes)


def albedo(
    p: np.ndarray, fields: np.ndarray, part: np.ndarray, material: np.ndarray, look: Look
) -> np.ndarray:
    """Returns the colour `[N, 3]` of visible points before light.

    Args:
      p: `[N, 3]` rest positions.
      fields: `[N, 6]` of `smooth_fields`.
      part: `[N]` part of the body, numbered as in the open body (1 head, 10 eyes, 11 mouth).
      material: `[N]` 0 body, 1 skirt, 2 hair.
      look: Appearance.
    """
    fine = grain(p, 260.0)
    color = np.empty_like(p)
    color[:] = look.skin
    color *= (1 + 0.03 * fine)[:, None]
    head = np.flatnonzero((part == 1) & (material == 0))
    if len(head):
        face = color[head]
        _face(face, p[head], look)
        strands = 1 + 0.16 * np.sin(p[head, 0] * 2100 + 2 * fine[head]) + 0.12 * fine[head]
        _mix(face, hair_region(p[head], look), look.hair * strands[:, None].astype(np.float32))
        color[head] = face
    eyes = np.flatnonzero(part == 10)
    if len(eyes):
        radius = np.hypot(np.abs(p[eyes, 0]) - _EYE[0], p[eyes, 1] - _EYE[1])
        eye = np.full((len(eyes), 3), 0.88, np.float32)
        _mix(eye, smoothstep(0.0068 - radius, 0.0, 0.001), look.iris)
        _mix(eye, smoothstep(0.003 - radius, 0.0, 0.0008), np.full(3, 0.02))
        color[eyes] = eye
    color[part == 11] = (0.25, 0.08, 0.08)
    # The neck belongs to the head; a collar crosses the border between the parts.
    trunk = np.flatnonzero((p[:, 1] < 0.615) & (part < 10) & (material == 0))
    if len(trunk):
        color[trunk] = _clothes(color[trunk], p[trunk], fields[trunk], part[trunk], look)
    skirt = np.flatnonzero(material == 1)
    if len(skirt):
        color[skirt] = fabric_color(p[skirt], fields[skirt, 2:4], look.lower)
    hair = np.flatnonzero(material == 2)
    if len(hair):
        angle = np.arctan2(p[hair, 0], p[hair, 2] - 0.035)
        strands = 1 + 0.2 * np.sin(angle * 140 + 2 * fine[hair]) + 0.12 * fine[hair]
        color[hair] = look.hair * strands[:, None]
    return color


def _clothes(
    color: np.ndarray, p: np.ndarray, fields: np.ndarray, part: np.ndarray, look: Look
) -> np.ndarray:
    """Returns `color` with shoes, lower and upper garments over it."""
    shoe = (part >= 8) & (part <= 9) & (p[:, 1] < -0.92)
    color[shoe] = look.shoes
    lower = lower_region(p, look)
    on = np.flatnonzero(lower)
    color[on] += lower[on, None] * (fabric_color(p[on], fields[on, 2:4], look.lower) - color[on])
    upper = upper_region(p, look)
    on = np.flatnonzero(upper)
    color[on] += upper[on, None] * (fabric_color(p[on], fields[on, :2], look.upper) - color[on])
    x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
    if look.opening:
        share = np.clip((y - 0.0) / 0.55, 0, 1)
        width = look.opening * (0.4 + 0.9 * share)
        gap = smoothstep(width - x, -0.002, 0.002) * (z > 0) * (y < look.neckline) * (x < 0.15)
        _mix(color, gap * (y > -0.1), fabric_color(p, fields[:, 4:], look.inner))
        lapel = np.exp(-(((x - width - 0.003) / 0.004) ** 2)) * (z > 0) * upper
        _mix(color, 0.5 * lapel, 0.4 * look.upper.colors[0])
        if look.tie:
            tie = (x < 0.012 + 0.035 * np.clip(0.5 - y, 0, 0.5)) & (z > 0) & (y > 0.05) & (y < 0.53)
            _mix(color, 0.95 * tie, look.lower.colors[1])
    if look.logo is not None:
        cx, cy, half_x, half_y = look.logo
        box = (np.abs(p[:, 0] - cx) < half_x) & (np.abs(y - cy) < half_y) & (z > 0) & (upper > 0.5)
        text = np.sin(p[:, 0] * 170 + 2) * np.sin(y * 140) + np.sin(p[:, 0] * 77) > 0
        _mix(color, 0.9 * (box & text), look.upper.colors[2])
    hem = np.exp(-(((y - look.waist) / 0.004) ** 2)) * (x < 0.25) * (look.skirt is None)
    return color * (1 - 0.35 * hem - 0.2 * np.exp(-(((x - look.sleeve) / 0.004) ** 2)))[:, None]


def _dot(vectors: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Returns products `[N]` with a direction; no BLAS, whose threads wait by spinning."""
    x, y, z = direction
    return vectors[:, 0] * x + vectors[:, 1] * y + vectors[:, 2] * z


def shade(color: np.ndarray, normal: np.ndarray, gloss: np.ndarray, light: Light) -> np.ndarray:
    """Returns lit RGB `[N, 3]` of albedo `color` under `light`.

    Lambert with a soft terminator (wrap 0.25), hemisphere ambient, Blinn highlight for a viewer
    on +z, and a little darkening where the surface turns away, which stands in for contact
    shadows.

    Args:
      color: `[N, 3]` albedo in [0, 1].
      normal: `[N, 3]` unit normals, camera space (+z to the viewer).
      gloss: `[N]` strength of the highlight.
      light: Lights.
    """
    up = (0.5 + 0.5 * normal[:, 1])[:, None]
    total = light.ground + up * (light.sky - light.ground)
    total = total * (0.72 + 0.28 * np.clip(normal[:, 2], 0, 1))[:, None]
    shine = np.zeros(len(color), np.float32)
    for direction, strength in zip(light.direction, light.color, strict=True):
        lambert = np.clip((_dot(normal, direction) + 0.25) / 1.25, 0, None)
        total = total + lambert[:, None] * strength
        half = direction + np.array([0, 0, 1], np.float32)
        half /= np.linalg.norm(half)
        cosine = np.clip(_dot(normal, half), 0, 1) ** 2
        cosine = cosine * cosine * cosine * cosine  # to the 8th, then the 24th; powers are slow
        shine += cosine * cosine * cosine * strength.mean()
    return color * total + (gloss * shine)[:, None]
