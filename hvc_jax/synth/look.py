"""What a synthetic person looks like: skin, hair and clothes as a handful of random numbers.

Lengths are metres in the rest pose (T-pose, pelvis at the origin, y up), where every garment is a
simple region.
"""

import colorsys
from typing import NamedTuple

import jax
import numpy as np

PATTERNS = ("plain", "stripes", "checks", "dots", "print", "melange")


class Fabric(NamedTuple):
    """A woven or printed material."""

    colors: np.ndarray  # `[3, 3]` base and two pattern colours, linear-ish RGB in [0, 1]
    pattern: int  # Place in `PATTERNS`
    scale: float  # Pattern waves per metre
    angle: float  # Pattern direction, radians
    waves: np.ndarray  # `[8, 4]` wave vectors (rad / m) and phases of the wrinkles and the melange
    wrinkles: float  # Strength of the wrinkle shading, 0 to 1
    gloss: float  # Strength of the highlight, 0 to 1


class Look(NamedTuple):
    """One person's appearance: numbers only, arguments of the compiled drawing."""

    skin: np.ndarray  # RGB in [0, 1], as the next four
    hair: np.ndarray
    lips: np.ndarray
    iris: np.ndarray
    shoes: np.ndarray
    upper: Fabric  # shirt or jacket
    lower: Fabric  # trousers or skirt
    inner: Fabric  # under a jacket
    sleeve: float  # |x| where the sleeves end
    neckline: float  # y of it
    vee: float  # how much lower the neckline is in the middle
    waist: float  # y where the upper garment ends
    hem: float  # y where the lower garment ends
    opening: float  # half width of an open jacket at the waist, 0 for none
    loose: tuple[float, float]  # thickness of the clothes (shirt, trousers)
    skirt: float  # flare of a skirt (metres per metre), negative for trousers
    hairline: float  # shift of the hairline upwards
    volume: float  # thickness of the hair
    long: float  # length of hair that falls behind the head, 0 for short
    bald: bool  # no hair at all
    beard: float  # strength, 0 to 1
    brows: float  # strength of the eyebrows
    glasses: bool
    # (x, y, half width, half height) of a print on the chest, zeros for none
    logo: tuple[float, float, float, float]
    tie: bool
    waves: np.ndarray


_SKIN = np.array(
    [[250, 220, 200], [241, 200, 170], [228, 180, 145], [205, 150, 112], [165, 110, 75],
     [125, 80, 55], [90, 58, 42], [62, 42, 34]], float
) / 255  # fmt: skip
_HAIR = np.array(
    [[22, 18, 16], [45, 30, 22], [80, 52, 34], [120, 80, 48], [175, 135, 85], [205, 175, 125],
     [120, 50, 30], [150, 148, 145], [215, 212, 208]], float
) / 255  # fmt: skip
_HAIR_WEIGHTS = (0.28, 0.22, 0.15, 0.08, 0.08, 0.05, 0.04, 0.06, 0.04)


def random_waves(rng: np.random.Generator, count: int, low: float, high: float) -> np.ndarray:
    """Returns `[count, 4]` random wave vectors, [low, high] cycles a metre, and phases."""
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    length = 2 * np.pi * np.exp(rng.uniform(np.log(low), np.log(high), (count, 1)))
    return np.concatenate(
        [direction * length, rng.uniform(0, 2 * np.pi, (count, 1))], axis=1
    ).astype(np.float32)


def random_color(rng: np.random.Generator) -> np.ndarray:
    """Returns a clothes colour: often dark or grey, sometimes vivid, seldom neon."""
    hue, kind = rng.random(), rng.random()
    if kind < 0.3:
        saturation, value = rng.uniform(0, 0.2), rng.uniform(0.04, 0.3)
    elif kind < 0.5:
        saturation, value = rng.uniform(0, 0.12), rng.uniform(0.6, 0.97)
    else:
        saturation, value = rng.uniform(0.2, 0.85), rng.uniform(0.15, 0.85)
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value))


def random_fabric(rng: np.random.Generator, plain: float = 0.45) -> Fabric:
    """Returns a fabric; `plain` is the probability that it has no pattern."""
    pattern = 0 if rng.random() < plain else int(rng.integers(1, len(PATTERNS)))
    base = random_color(rng)
    others = [random_color(rng) for _ in range(2)]
    if rng.random() < 0.4:  # tone in tone
        others = [np.clip(base * rng.uniform(0.5, 1.5), 0, 1) for _ in range(2)]
    waves = np.concatenate([random_waves(rng, 4, 3, 9), random_waves(rng, 4, 20, 90)])
    return Fabric(
        colors=np.stack([base, *others]),
        pattern=pattern,
        scale=float(np.exp(rng.uniform(np.log(8), np.log(45)))),
        angle=float(rng.choice([0, np.pi / 2, np.pi / 4], p=[0.45, 0.45, 0.1])),
        waves=waves,
        wrinkles=float(rng.uniform(0.1, 0.5)),
        gloss=float(rng.beta(1, 5)),
    )


def random_look(rng: np.random.Generator) -> Look:
    """Returns a random appearance."""
    tone = rng.uniform(0, len(_SKIN) - 1.001)
    step = int(tone)
    skin = _SKIN[step] + (tone - step) * (_SKIN[step + 1] - _SKIN[step])
    hair = _HAIR[rng.choice(len(_HAIR), p=_HAIR_WEIGHTS)] * rng.uniform(0.8, 1.2)
    upper = random_fabric(rng)
    lower = random_fabric(rng, plain=0.75)
    skirt = float(rng.uniform(0.0, 0.45)) if rng.random() < 0.22 else -1.0
    if skirt >= 0 and rng.random() < 0.6:
        lower = upper  # a dress
    jacket = rng.random() < 0.3
    feminine = rng.random() < 0.5
    legs = rng.choice(["long", "short", "bare"], p=[0.72, 0.2, 0.08])
    hem = {"long": -0.9, "short": rng.uniform(-0.5, -0.22), "bare": -0.12}[legs]
    if skirt >= 0:
        hem = rng.uniform(-0.85, -0.25)
    look = Look(
        skin=np.clip(skin * rng.uniform(0.92, 1.08, 3), 0, 1),
        hair=np.clip(hair, 0, 1),
        lips=np.clip(skin * np.array([0.95, 0.62, 0.62]) * rng.uniform(0.8, 1.1), 0, 1),
        iris=np.array(
            colorsys.hsv_to_rgb(rng.choice([0.07, 0.1, 0.58]), 0.6, rng.uniform(0.1, 0.5))
        ),
        shoes=random_color(rng),
        upper=upper,
        lower=lower,
        inner=random_fabric(rng, plain=0.8),
        sleeve=float(
            0.72 if jacket else rng.choice([0.72, rng.uniform(0.26, 0.45), 0.2], p=[0.5, 0.4, 0.1])
        ),
        neckline=float(rng.uniform(0.53, 0.60)),
        vee=float(rng.choice([0.0, rng.uniform(0.03, 0.16)])),
        waist=float(rng.uniform(-0.12, 0.1)),
        hem=float(hem),
        opening=float(rng.uniform(0.02, 0.09)) if jacket else 0.0,
        loose=(float(rng.uniform(0.004, 0.028)), float(rng.uniform(0.003, 0.03))),
        skirt=skirt,
        hairline=float(rng.uniform(-0.012, 0.022)),
        volume=float(rng.uniform(0.006, 0.03)),
        long=float(rng.uniform(0.12, 0.42)) if feminine and rng.random() < 0.75 else 0.0,
        bald=bool(not feminine and rng.random() < 0.12),
        beard=float(rng.uniform(0.2, 0.9)) if not feminine and rng.random() < 0.45 else 0.0,
        brows=float(rng.uniform(0.4, 1.0)),
        glasses=bool(rng.random() < 0.2),
        logo=(
            float(rng.uniform(-0.05, 0.05)),
            float(rng.uniform(0.25, 0.42)),
            float(rng.uniform(0.02, 0.1)),
            float(rng.uniform(0.02, 0.08)),
        )
        if not jacket and rng.random() < 0.3
        else (0.0, 0.0, 0.0, 0.0),  # fmt: skip
        tie=bool(jacket and rng.random() < 0.4),
        waves=random_waves(rng, 8, 15, 120),
    )
    return jax.tree.map(np.float32, look)  # one type, one compiled program
