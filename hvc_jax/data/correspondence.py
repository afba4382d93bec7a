"""Where the pixels of a target frame lie in its key picture, for motion that learns from it.

Known of pairs that are made, a picture and the same one warped; estimated of pairs that were filmed.
"""  # noqa: E501

import numpy as np
from scipy import ndimage

from hvc_jax.ops.flow import dense_flow, grey

CELL = 4
"""Pixels along each side of the cells that correspondence is given for."""

_TRUSTED = 12.0  # grey levels between target and warped key, at most, where a flow is believed
_BEND = 4  # control points along each side of the smooth part of a warp


def identity_positions(size: int) -> np.ndarray:
    """Positions (u, v) in [-1, 1] of pixel centres, [size, size, 2]."""
    line = (2 * np.arange(size) + 1) / size - 1
    return np.stack(np.meshgrid(line, line), -1)


def random_positions(rng: np.random.Generator, size: int) -> np.ndarray:
    """Positions [size, size, 2] of a random warp: affine, and bent by a smooth displacement.

    Rotations of 15 degrees, scales of 15 %, shifts of .15 and bends of .06 of half a picture side,
    one standard deviation each; larger than those of FOMM's equivariance loss (Siarohin et al.,
    NeurIPS 2019, sec. 3.1), as for networks that learn to match (Rocco et al., CVPR 2017).
    """
    angle, stretch, shear = rng.normal(0, [0.26, 0.15, 0.08])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = np.exp(stretch) * turn @ np.array([[1, shear], [0, 1]])
    positions = identity_positions(size) @ linear.T + rng.normal(0, 0.15, 2)
    bend = rng.normal(0, 0.06, (_BEND, _BEND, 2))
    place = (identity_positions(size)[..., ::-1] + 1) / 2 * (_BEND - 1)
    for axis in (0, 1):
        positions[..., axis] += ndimage.map_coordinates(
            bend[..., axis], np.moveaxis(place, -1, 0), order=3, mode="nearest"
        )
    return positions


def sample(picture: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """`picture` [S, S, C] uint8 looked at bilinearly at `positions` [h, w, 2]; borders go on."""
    place = (positions[..., ::-1] + 1) / 2 * np.array(picture.shape[:2]) - 0.5
    place = np.moveaxis(place, -1, 0)
    channels = [
        ndimage.map_coordinates(picture[..., c].astype(np.float32), place, order=1, mode="nearest")
        for c in range(picture.shape[-1])
    ]
    return np.rint(np.stack(channels, -1)).astype(np.uint8)


def estimated_positions(target: np.ndarray, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions in a key picture of what a target shows, by optical flow, and where it is right.

    Pictures are [S, S, 3] uint8, positions [S, S, 2]; right is [S, S] bool where the key warped by
    them agrees with the target.
    """
    size = target.shape[0]
    positions = identity_positions(size) + dense_flow(grey(target), grey(key)) * (2 / size)
    wrong = np.abs(grey(sample(key, positions)).astype(np.float32) - grey(target))
    return positions, (ndimage.uniform_filter(wrong, CELL) < _TRUSTED) & _inside(positions)


def known_positions(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of a warp that was made, and where they lie inside the picture, as above."""
    return positions, _inside(positions)


def cells(positions: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Means over 4x4 pixels of positions [S, S, 2] and right ones [S, S]: [S/4, S/4, 3] float32."""
    side = positions.shape[0] // CELL
    both = np.concatenate([positions, right[..., None]], -1)
    return both.reshape(side, CELL, side, CELL, 3).mean((1, 3)).astype(np.float32)


def _inside(positions: np.ndarray) -> np.ndarray:
    return (np.abs(positions) < 1).all(-1)
