"""What cameras, clothes and codecs do to a picture: random colour, blur and compression."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_BLOCK = 8


class Tint(NamedTuple):
    """A change of colours: (picture @ matrix.T + offset) ** power.

    Attributes:
      matrix: [3, 3].
      offset: scalar.
      power: scalar.
    """

    matrix: jax.Array
    offset: jax.Array
    power: jax.Array


def random_tint(key: jax.Array, strength: float) -> Tint:
    """Returns a random change of gain, hue, saturation, brightness and gamma.

    Args:
      key: random key.
      strength: about 0 (none) to 1.
    """
    gain, gamma, mix, saturation, flat = jax.random.split(key, 5)
    # Channels leak into each other, which turns the hue; grey stays grey but for the gain.
    turn = 0.25 * strength * jax.random.normal(mix, (3, 3))
    turn = jnp.eye(3) + turn - turn.mean(1, keepdims=True)
    s = 1 + strength * jax.random.uniform(saturation, (), minval=-1.0, maxval=0.6)
    gains = jnp.exp(strength * 0.35 * jax.random.normal(gain, (3, 1)))
    matrix = (turn * s + (1 - s) / 3) * gains
    offset = 0.12 * strength * jax.random.normal(flat, ())
    return Tint(matrix, offset, jnp.exp(strength * 0.35 * jax.random.normal(gamma, ())))


def tinted(picture: jax.Array, tint: Tint) -> jax.Array:
    """Returns a picture [H, W, 3] with changed colours; the tint may have an axis of H rows."""
    if tint.matrix.ndim == 3:
        tint = Tint(tint.matrix[:, None], tint.offset[:, None, None], tint.power[:, None, None])
    picture = sum(picture[..., k, None] * tint.matrix[..., k] for k in range(3)) + tint.offset
    return jnp.clip(picture, 1e-4, 1.0) ** tint.power


def dress(key: jax.Array, picture: jax.Array) -> jax.Array:
    """Returns a picture in which what lies below a random line may have other colours than above.

    Where the line crosses a person's waist or chest it changes one garment and not the other.
    """
    above, below, place, often = jax.random.split(key, 4)
    one, two = random_tint(above, 0.6), random_tint(below, 1.0)
    line = jax.random.uniform(place, (), minval=-0.6, maxval=0.9)
    height = picture.shape[0]
    v = (jnp.arange(height) + 0.5) / height * 2 - 1
    share = jax.nn.sigmoid((v - line) * 25.0) * jax.random.bernoulli(often, 0.4)

    def rows(a: jax.Array, b: jax.Array) -> jax.Array:
        return a + (b - a) * share.reshape(-1, *(1,) * a.ndim)

    return tinted(picture, jax.tree.map(rows, one, two))


def _gaussian(size: int, sigma: jax.Array) -> jax.Array:
    at = jnp.arange(size)
    weight = jnp.exp(-0.5 * ((at[:, None] - at[None]) / jnp.maximum(sigma, 1e-2)) ** 2)
    return weight / weight.sum(1, keepdims=True)


def blur(key: jax.Array, picture: jax.Array, most: float = 1.6) -> jax.Array:
    """Returns a picture out of focus, or smeared along one axis by motion; half stay sharp.

    Args:
      key: random key.
      picture: [S, S, C].
      most: largest standard deviation, pixels.
    """
    amount, often = jax.random.split(key)
    sigma = jax.random.uniform(amount, (2,), maxval=most) * jax.random.bernoulli(often, 0.5)
    size = picture.shape[0]
    rows, columns = _gaussian(size, sigma[0]), _gaussian(size, sigma[1])
    picture = jnp.einsum("yh,hwc->ywc", rows, picture)
    return jnp.einsum("xw,ywc->yxc", columns, picture)


def _cosines() -> np.ndarray:
    k, n = np.arange(_BLOCK)[:, None], np.arange(_BLOCK)[None]
    basis = np.cos(np.pi * (n + 0.5) * k / _BLOCK) * np.sqrt(2 / _BLOCK)
    basis[0] /= np.sqrt(2)
    return basis.astype(np.float32)


def compress(key: jax.Array, picture: jax.Array, coarsest: float = 0.25) -> jax.Array:
    """Returns a picture whose 8x8 cosine coefficients are rounded, coarser at high frequencies.

    A stand-in for block codecs with the marks they leave; two fifths of the pictures stay whole.

    Args:
      key: random key.
      picture: [S, S, 3] in [0, 1], S a multiple of 8.
      coarsest: largest step of the lowest frequencies, in units of the pixels.
    """
    amount, often = jax.random.split(key)
    step = jnp.exp(jax.random.uniform(amount, (), minval=np.log(0.01), maxval=np.log(coarsest)))
    basis = jnp.asarray(_cosines())
    count = picture.shape[0] // _BLOCK
    blocks = picture.reshape(count, _BLOCK, count, _BLOCK, 3)
    spectrum = jnp.einsum("ui,aibjc,vj->aubvc", basis, blocks, basis)
    k = jnp.arange(_BLOCK)
    steps = step * (1 + 0.5 * (k[:, None] + k[None]))[None, :, None, :, None]
    rounded = jnp.round(spectrum / steps) * steps
    coded = jnp.einsum("ui,aubvc,vj->aibjc", basis, rounded, basis).reshape(picture.shape)
    return jnp.where(jax.random.bernoulli(often, 0.6), jnp.clip(coded, 0, 1), picture)
