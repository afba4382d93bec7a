"""Backgrounds of synthetic clips: rooms, stages, shelves, foliage, studio walls; blurred."""

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from hvc_jax.synth.look import random_color


def octaves(rng: np.random.Generator, size: int, first: int, count: int, fall: float) -> np.ndarray:
    """Returns noise `[size, size]` of about zero mean and unit spread.

    `first`: cells a side in the coarsest octave; `count`: octaves, each with twice the cells;
    `fall`: amplitude ratio from one octave to the next.
    """
    total = np.zeros((size, size), np.float32)
    norm = 0.0
    for k in range(count):
        cells = min(first * 2**k, size)
        grid = Image.fromarray(rng.normal(size=(cells, cells)).astype(np.float32))
        total += fall**k * np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC))
        norm += fall ** (2 * k)
    return total / np.sqrt(norm)


def _tone(rng: np.random.Generator, low: float = 0.1, high: float = 0.9) -> tuple[int, int, int]:
    rgb = colorsys.hsv_to_rgb(rng.random(), rng.beta(1, 3), rng.uniform(low, high))
    return tuple(int(255 * c) for c in rgb)


def _ramp(rng: np.random.Generator, size: int, picture: np.ndarray) -> np.ndarray:
    """Multiplies a smooth light fall-off into `picture`."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    cx, cy, spread = rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0.8, 3)
    pool = np.exp(-((axis[None] - cx) ** 2 + (axis[:, None] - cy) ** 2) / spread**2)
    strength = rng.uniform(0.1, 0.6)
    return picture * ((1 - strength) + 1.3 * strength * pool)[..., None]


def _wall(rng: np.random.Generator, size: int) -> Image.Image:
    image = Image.new("RGB", (size, size), _tone(rng, 0.25, 0.95))
    draw = ImageDraw.Draw(image)
    if rng.random() < 0.6:  # floor
        y = int(size * rng.uniform(0.6, 0.95))
        draw.rectangle((0, y, size, size), fill=_tone(rng, 0.1, 0.7))
        draw.rectangle((0, y - size // 60, size, y), fill=_tone(rng))
    for _ in range(rng.integers(0, 5)):  # pictures, windows, doors
        w, h = rng.uniform(0.1, 0.5, 2) * size
        x, y = rng.uniform(-0.1, 0.9) * size, rng.uniform(-0.1, 0.6) * size
        frame = int(rng.uniform(0.005, 0.02) * size)
        inside, border = _tone(rng, 0.02, 0.98), _tone(rng)
        draw.rectangle((x, y, x + w, y + h), fill=inside, outline=border, width=frame)
        for _ in range(rng.integers(0, 4)):
            a, b = np.sort(rng.uniform(x, x + w, 2)), np.sort(rng.uniform(y, y + h, 2))
            shape = draw.ellipse if rng.random() < 0.4 else draw.rectangle
            shape((a[0], b[0], a[1], b[1]), fill=_tone(rng))
    return image


def _shelves(rng: np.random.Generator, size: int) -> Image.Image:
    image = Image.new("RGB", (size, size), _tone(rng, 0.05, 0.4))
    draw = ImageDraw.Draw(image)
    rows = rng.integers(3, 8)
    wood = _tone(rng, 0.2, 0.8)
    for row in range(rows):
        top, bottom = row * size / rows, (row + 1) * size / rows
        x = 0.0
        while x < size:
            width = rng.uniform(0.01, 0.06) * size
            height = rng.uniform(0.4, 0.9) * (bottom - top)
            if rng.random() < 0.85:
                color = tuple(int(255 * c) for c in random_color(rng))
                right = x + max(width - 1, 0)
                draw.rectangle((x, bottom - height, right, bottom), fill=color)
            x += width
        draw.rectangle((0, bottom - size / 60, size, bottom), fill=wood)
    return image


def _stripes(rng: np.random.Generator, size: int) -> Image.Image:
    """Curtains, panels, tiles, brick."""
    axis = np.linspace(0, 1, size, dtype=np.float32)
    a, b = np.array(_tone(rng, 0.2), np.float32), np.array(_tone(rng, 0.2), np.float32)
    count = rng.uniform(4, 30)
    if rng.random() < 0.5:  # curtain
        wobble = axis[None] + 0.02 * np.sin(axis[:, None] * rng.uniform(1, 6))
        share = 0.5 + 0.5 * np.sin(2 * np.pi * count * wobble + np.sin(11 * axis)[None])
    else:  # tiles
        columns = (axis[None] * count) % 1
        lines = (axis[:, None] * count * rng.choice([0.5, 1, 2])) % 1
        share = ((columns < 0.06) | (lines < 0.06)).astype(np.float32)
    picture = a + share[..., None] * (b - a) * rng.uniform(0.2, 0.8)
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def _foliage(rng: np.random.Generator, size: int) -> Image.Image:
    """Outdoors: sky over something rough, grass or street below."""
    hue = rng.choice([0.28, 0.33, 0.1, 0.08, 0.6])
    rough = octaves(rng, size, 3, 6, rng.uniform(0.6, 0.85))
    dark = np.array(colorsys.hsv_to_rgb(hue, 0.6, 0.12), np.float32)
    light = np.array(colorsys.hsv_to_rgb(hue + 0.03, 0.5, 0.75), np.float32)
    picture = dark + np.clip(0.5 + 0.3 * rough, 0, 1)[..., None] * (light - dark)
    axis = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    horizon = rng.uniform(-0.2, 0.5) + 0.05 * octaves(rng, size, 4, 4, 0.6)
    sky = np.array([0.62, 0.76, 0.95]) * rng.uniform(0.7, 1.05)
    share = (axis < horizon).astype(np.float32)[..., None]
    picture = picture + share * (sky - picture)
    ground = (axis > rng.uniform(0.7, 1.1)).astype(np.float32)[..., None]
    path = np.array(_tone(rng, 0.3, 0.7)) / 255 * (1 + 0.08 * rough)[..., None]
    picture = picture + ground * (path - picture)
    return Image.fromarray((255 * np.clip(picture, 0, 1)).astype(np.uint8))


def _stage(rng: np.random.Generator, size: int) -> Image.Image:
    """A dark stage with lamps, a screen, perhaps letters."""
    image = Image.new("RGB", (size, size), _tone(rng, 0.0, 0.15))
    draw = ImageDraw.Draw(image)
    if rng.random() < 0.6:
        x, y = rng.uniform(-0.3, 0.6) * size, rng.uniform(-0.2, 0.3) * size
        w, h = rng.uniform(0.3, 0.8) * size, rng.uniform(0.2, 0.6) * size
        draw.rectangle((x, y, x + w, y + h), fill=_tone(rng, 0.2, 0.9))
        for k in range(rng.integers(0, 6)):
            left = x + 0.1 * w
            draw.rectangle(
                (left, y + (0.15 + 0.13 * k) * h, left + rng.uniform(0.2, 0.8) * w, y + (0.2 +
                0.13 * k) * h), fill=_tone(rng),
            )  # fmt: skip
    for _ in range(rng.integers(2, 14)):
        x, y, r = rng.uniform(0, size), rng.uniform(0, 0.8 * size), rng.uniform(0.01, 0.06) * size
        draw.ellipse((x - r, y - r, x + r, y + r), fill=_tone(rng, 0.3, 1.0))
    y = int(size * rng.uniform(0.75, 1.1))
    draw.rectangle((0, y, size, size + 1), fill=_tone(rng, 0.05, 0.5)) if y < size else None
    return image


def random_background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Returns a picture uint8 `[size, size, 3]`."""
    kinds = (_wall, _shelves, _stripes, _foliage, _stage)
    if rng.random() < 0.12:
        image = Image.new("RGB", (size, size), _tone(rng, 0.02, 1.0))
    else:
        image = kinds[rng.choice(len(kinds), p=[0.34, 0.14, 0.14, 0.2, 0.18])](rng, size)
    blur = rng.choice([0, 0.004, 0.012, 0.03], p=[0.25, 0.3, 0.25, 0.2]) * size
    if blur > 0.3:
        image = image.filter(ImageFilter.GaussianBlur(float(blur)))
    picture = np.asarray(image).astype(np.float32)
    picture = _ramp(rng, size, picture)
    if rng.random() < 0.6:
        texture = octaves(rng, size, int(rng.choice([4, 16, 48])), 3, 0.7)
        picture = picture * (1 + rng.uniform(0.01, 0.08) * texture)[..., None]
    return np.clip(picture, 0, 255).astype(np.uint8)
