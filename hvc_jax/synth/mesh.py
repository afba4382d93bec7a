"""The mesh of a dressed person: the open body with thick clothes, skirt and hair.

Skirt and long hair are open sheets skinned to the same skeleton, so the body vector stays the
exact label of the whole figure. A sheet that a look does not wear gets NaN vertices, which the
rasteriser skips.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import numpy as np

from hvc_jax.body.assets import Body, load_body
from hvc_jax.body.params import JOINT_INDEX
from hvc_jax.synth.look import Look

Array = np.ndarray | jax.Array

SKIRT_COLUMNS, SKIRT_ROWS = 36, 9
HAIR_COLUMNS, HAIR_ROWS = 24, 10
_SKIRT_TOP = 0.07
_HAIR_TOP = 0.79


class DressedBody(NamedTuple):
    """The body with sheets appended."""

    body: Body  # `Body` whose vertices are V of the open body, then the skirt's, then the hair's
    rest: np.ndarray  # `[V', 3]` float32 rest positions, the coordinates that fabrics live in
    normals: np.ndarray  # `[V', 3]` rest normals
    faces: np.ndarray  # `[F', 3]` int32
    counts: tuple[int, int, int]  # Vertices of body, skirt and hair


def smoothstep(x: Array, low: float, high: float) -> Array:
    """Returns 0 below `low`, 1 above `high`, a cubic between."""
    t = ((x - low) / (high - low)).clip(0, 1)
    return t * t * (3 - 2 * t)


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Returns area-weighted normals `[*, F, 3]` of triangles of `vertices` `[*, V, 3]`."""
    a, b, c = (np.take(vertices, faces[:, k], axis=-2) for k in range(3))
    u, v = b - a, c - a
    return np.stack(
        [
            u[..., 1] * v[..., 2] - u[..., 2] * v[..., 1],
            u[..., 2] * v[..., 0] - u[..., 0] * v[..., 2],
            u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0],
        ],
        axis=-1,
    )


def _sheet(columns: int, rows: int, closed: bool) -> np.ndarray:
    """Returns triangles of a grid of vertices, rows from top to bottom, seen from outside."""
    faces = []
    for i in range(rows - 1):
        for j in range(columns if closed else columns - 1):
            a, b = i * columns + j, i * columns + (j + 1) % columns
            c, d = a + columns, b + columns
            faces += [(a, c, b), (b, c, d)]
    return np.array(faces, np.int32)


def skirt_sheet(hem: float, flare: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns rest vertices `[N, 3]` and skin weights `[N, 55]` of a skirt down to y = `hem`."""
    angle = np.linspace(0, 2 * np.pi, SKIRT_COLUMNS, endpoint=False)
    share = np.linspace(0, 1, SKIRT_ROWS)[:, None]
    y = _SKIRT_TOP + share * (hem - _SKIRT_TOP)
    depth = _SKIRT_TOP - y
    width = np.interp(depth, [0, 0.1, 0.2, 0.9], [0.165, 0.205, 0.225, 0.225]) + flare * depth
    thick = np.interp(depth, [0, 0.1, 0.2, 0.9], [0.125, 0.15, 0.155, 0.15]) + flare * depth
    folds = 1 + 0.05 * np.clip(depth * 4, 0, 1) * np.sin(9 * angle)[None]
    x, z = width * folds * np.sin(angle), thick * folds * np.cos(angle)
    vertices = np.stack([x, np.broadcast_to(y, x.shape), z + 0.01], -1).reshape(-1, 3)
    weights = np.zeros((len(vertices), 55))
    down = 0.75 * smoothstep(np.broadcast_to(depth, x.shape).ravel(), 0.05, 0.4)
    left = smoothstep((x / width).ravel(), -0.8, 0.8)
    weights[:, JOINT_INDEX["left_hip"]] = down * left
    weights[:, JOINT_INDEX["right_hip"]] = down * (1 - left)
    weights[:, JOINT_INDEX["pelvis"]] = 1 - down
    return vertices, weights


def hair_sheet(length: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns rest vertices and skin weights of hair that falls `length` metres behind the head."""
    share = np.linspace(0, 1, HAIR_ROWS)[:, None]
    y = _HAIR_TOP - share * (0.1 + length)
    drop = _HAIR_TOP - y
    reach = np.interp(drop, [0, 0.05, 0.2, 0.5], [2.0, 1.95, 1.75, 1.35])
    angle = np.pi + np.linspace(-1, 1, HAIR_COLUMNS)[None] * reach
    width = np.interp(drop, [0, 0.05, 0.15, 0.25, 0.5], [0.07, 0.096, 0.1, 0.105, 0.12])
    thick = np.interp(drop, [0, 0.05, 0.15, 0.3, 0.5], [0.08, 0.1, 0.095, 0.145, 0.155])
    x, z = width * np.sin(angle), 0.035 + thick * np.cos(angle)
    vertices = np.stack([x, np.broadcast_to(y, x.shape), z], -1).reshape(-1, 3)
    weights = np.zeros((len(vertices), 55))
    low = smoothstep(np.broadcast_to(drop, x.shape).ravel(), 0.12, 0.32)
    weights[:, JOINT_INDEX["head"]] = (1 - low) ** 2
    weights[:, JOINT_INDEX["neck"]] = 2 * low * (1 - low)
    weights[:, JOINT_INDEX["spine3"]] = low**2
    return vertices, weights


@functools.lru_cache(maxsize=1)
def dressed_body() -> DressedBody:
    """Returns the open body with a skirt and a hair sheet of middling size appended."""
    body = load_body()
    rest = np.asarray(body.v_template)
    faces = np.asarray(body.faces)
    sheets = [skirt_sheet(-0.5, 0.2), hair_sheet(0.3)]
    grids = [
        _sheet(SKIRT_COLUMNS, SKIRT_ROWS, closed=True),
        _sheet(HAIR_COLUMNS, HAIR_ROWS, closed=False),
    ]
    grids = [np.concatenate([grid, grid[:, ::-1]]) for grid in grids]  # seen from both sides
    counts = (len(rest), len(sheets[0][0]), len(sheets[1][0]))
    added = np.concatenate([vertices for vertices, _ in sheets]).astype(np.float32)
    weights = np.concatenate([w for _, w in sheets]).astype(np.float32)
    # A sheet follows the body's shape as the joints it hangs on do.
    shape = np.einsum("nj,sjc->snc", weights, np.asarray(body.J_shapedirs)[: body.num_betas])
    shape = np.pad(shape, ((0, len(body.directions) - body.num_betas), (0, 0), (0, 0)))
    whole = dataclasses.replace(
        body,
        v_template=np.concatenate([rest, added]),
        directions=np.concatenate([np.asarray(body.directions), shape], axis=1),
        J_regressor=np.zeros((len(body.parents), 1), np.float32),  # the joint tables are kept
        lbs_weights=np.concatenate([np.asarray(body.lbs_weights), weights]),
    )
    all_faces = np.concatenate([faces, grids[0] + counts[0], grids[1] + counts[0] + counts[1]])
    vertices = np.concatenate([rest, added]).astype(np.float32)
    normals = np.zeros_like(vertices)
    flat = face_normals(vertices, all_faces)
    for k in range(3):
        np.add.at(normals, all_faces[:, k], flat)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    return DressedBody(whole, vertices, normals, all_faces.astype(np.int32), counts)


def _piecewise(x: Array, knots: tuple[float, ...], values: tuple[float, ...]) -> Array:
    """Returns `np.interp(x, knots, values)` as a sum of ramps."""
    y = values[0]
    for left, right, low, high in zip(knots[:-1], knots[1:], values[:-1], values[1:], strict=True):
        y = y + (high - low) / (right - left) * (x.clip(left, right) - left)
    return y


# Regions are for arrays of numpy at vertices and for traced ones at pixels.


def hair_region(x: Array, y: Array, z: Array, look: Look) -> Array:
    """Returns a soft indicator in [0, 1] of the scalp under hair for rest positions `[N]` each."""
    x = abs(x)
    line = _piecewise(
        z, (-0.06, 0.0, 0.035, 0.06, 0.085, 0.11, 0.15), (0.61, 0.63, 0.69, 0.71, 0.765, 0.79, 0.8)
    )
    line = line + look.hairline * smoothstep(z, 0.05, 0.1)
    inside = smoothstep(y - line, -0.004, 0.006)
    ear = smoothstep(x, 0.0745, 0.078) * (y < 0.757) * (z > 0.0)
    return inside * (1 - ear) * (y > 0.55) * (x < 0.12) * (1 - look.bald)


def upper_region(x: Array, y: Array, z: Array, look: Look, edge: float = 0.003) -> Array:
    """Returns a soft indicator of the upper garment, rising over `edge` metres."""
    x = abs(x)
    neck = look.neckline - look.vee * (1 - x / 0.09).clip(0, 1) * (z > 0.02)
    top = smoothstep(neck - y, -0.003, edge)
    bottom = smoothstep(y - look.waist, -0.003, edge)
    bottom = bottom + (1 - bottom) * (x > 0.25)  # hanging sleeves are no waist
    return top * bottom * smoothstep(look.sleeve - x, -0.003, edge)


def lower_region(x: Array, y: Array, look: Look) -> Array:
    """Returns a soft indicator of trousers, or of the body under a skirt."""
    return (abs(x) < 0.25) * (y < 0.11) * smoothstep(y - look.hem, -0.003, 0.003)


def dress(look: Look) -> np.ndarray:
    """Returns the rest vertices `[V', 3]` of a look, clothes and hair laid on."""
    mesh = dressed_body()
    body, skirt, hair = mesh.counts
    rest, normals = mesh.rest[:body], mesh.normals[:body]
    # Cloth lies on the skin at its borders: a step between two vertices would show as teeth.
    x, y, z = rest.T
    upper, lower = upper_region(x, y, z, look, edge=0.04), lower_region(x, y, look)
    away = smoothstep(0.80 - np.abs(rest[:, 0]), 0.0, 0.1)
    thick = np.maximum(upper * look.loose[0], lower * look.loose[1] * (1 - 0.5 * upper)) * away
    flare = 1 + 1.2 * smoothstep(-rest[:, 1], 0.4, 0.9)  # trouser legs widen downwards
    thick = thick * np.where(rest[:, 1] < -0.3, flare, 1.0)
    crown = 0.6 + 0.8 * smoothstep(rest[:, 1], 0.72, 0.83)
    thick = thick + hair_region(x, y, z, look) * look.volume * crown
    out = np.array(mesh.rest)
    out[:body] += normals * thick[:, None].astype(np.float32)
    if look.skirt < 0:
        out[body : body + skirt] = np.nan
    else:
        out[body : body + skirt] = skirt_sheet(look.hem, look.skirt)[0]
    if look.long == 0 or look.bald:
        out[body + skirt :] = np.nan
    else:
        out[body + skirt :] = hair_sheet(look.long)[0]
    return out


@functools.lru_cache(maxsize=1)
def part_ids() -> np.ndarray:
    """Returns the part number of each vertex, int32 `[V']`; skirt and hair follow the body."""
    mesh = dressed_body()
    body = np.asarray(mesh.body.part_ids)
    sheets = [np.full(count, body.max() + 1 + i) for i, count in enumerate(mesh.counts[1:])]
    return np.concatenate([body, *sheets]).astype(np.int32)
