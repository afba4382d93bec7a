"""What a clip's pixels say about its bodies: a point of the skin looks the same in every frame.

The colours of points of the mesh are read where the reference frame shows them, and looked for
where every other frame's body puts them. This is direct alignment (Lucas and Kanade, 1981) through
the mesh's motion field, at a few hundred of its points instead of at every pixel: no rasteriser
runs inside the descent, only between its rounds, to say which points are hidden.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.assets import Body, load_body
from hvc_jax.body.landmarks import Skeleton
from hvc_jax.body.lbs import screen_vertices, world_transforms
from hvc_jax.body.params import NUM_BODY_JOINTS, PARENTS
from hvc_jax.body.raster import rasterize, vertex_normals
from hvc_jax.ops.warp import average_pool, repeat_upsample, warp
from hvc_jax.pose.networks import in_batches

_POINTS = 512
_SHOWN = 256  # of them that are compared: the reference frame shows less than half of a body
_SIDE = 64  # pixels a side at which colours are compared and hidden points are looked for
_BIAS = 0.04  # metres that a surface may lie in front of a point that still counts as seen
_FACING = 0.25  # least cosine between a point's normal and the view: beyond, it is a contour
_BLUNDER = 0.2  # residual, of colours in [0, 1], beyond which a pixel shows something else


class Surface(NamedTuple):
    """Points of the skin, for posing without the rest of the mesh."""

    vertex: jax.Array  # [K] int32 which vertices of the body they are
    points: jax.Array  # [K, 3] rest positions of the mean shape, metres
    directions: jax.Array  # [10, K, 3] metres per unit of each shape coefficient
    # [K, 22] skin weights of the body's joints; what lies beyond them (fingers, jaw) goes with the
    # wrist or the head
    weights: jax.Array


class Appearance(NamedTuple):
    """What every frame is compared with."""

    surface: Surface  # the points
    # [T, h, w, 3] in [0, 1], the frames, smoothed to the scale at which they are looked at
    pictures: jax.Array
    colours: jax.Array  # [K, 3] of the surface points, in [0, 1]
    # [T, K] >= 0: what a point counts that is seen in the reference frame and, as far as known, in
    # this one; 0 for others
    weight: jax.Array


@functools.cache
def surface_of_open_body() -> Surface:
    """Returns `Surface` of 512 vertices of the open body, spread evenly (farthest points)."""
    body = load_body()
    rest = np.asarray(body.v_template)
    chosen = [int(np.argmax(rest[:, 1]))]
    distance = np.full(len(rest), np.inf)
    while len(chosen) < _POINTS:
        distance = np.minimum(distance, np.sum((rest - rest[chosen[-1]]) ** 2, -1))
        chosen.append(int(np.argmax(distance)))
    vertex = np.array(chosen)
    weights = np.array(body.lbs_weights)[vertex]
    for joint in range(len(body.parents) - 1, NUM_BODY_JOINTS - 1, -1):
        weights[:, body.parents[joint]] += weights[:, joint]
    return Surface(
        jnp.asarray(vertex, jnp.int32),
        body.v_template[vertex],
        body.shapedirs[:10, vertex],
        jnp.asarray(weights[:, :NUM_BODY_JOINTS]),
    )


def pose_surface(
    surface: Surface, skeleton: Skeleton, betas: jax.Array, rotations: jax.Array
) -> jax.Array:
    """Returns the surface points [*, K, 3] of posed bodies, metres, pelvis at the origin.

    `skeleton`: of the same body, for its joints; `betas`: [*, 10] shape coefficients; `rotations`:
    [*, 22, 3, 3] of each joint relative to its parent.
    """
    joints = skeleton.joints + jnp.einsum("...s,sjc->...jc", betas, skeleton.joint_directions)
    points = surface.points + jnp.einsum("...s,skc->...kc", betas, surface.directions)
    world, position = world_transforms(rotations, joints, PARENTS[:NUM_BODY_JOINTS])
    shift = position - position[..., :1, :] - jnp.sum(world * joints[..., None, :], -1)
    both = jnp.concatenate([world, shift[..., None]], -1)
    blended = jnp.einsum("kj,...jab->...kab", surface.weights, both)
    return jnp.sum(blended[..., :3] * points[..., None, :], -1) + blended[..., 3]


def appearance_cost(screen: jax.Array, appearance: Appearance) -> jax.Array:
    """Returns [T]: how much the surface points differ from what the frames show there.

    The weighted mean over the points, each between 0 (equal) and 1 (something else altogether), so
    a hidden point that counts as seen does limited harm (Geman-McClure).

    `screen`: [T, K, 2] where the points are, (u, v); `appearance`: what they look like.
    """
    seen = warp(appearance.pictures, screen[:, None])[:, 0]
    squared = jnp.sum((seen - appearance.colours) ** 2, -1)
    robust = squared / (squared + _BLUNDER**2)
    inside = (jnp.abs(screen) < 1).all(-1)
    return jnp.mean(robust * appearance.weight * inside, -1)


@jax.jit
def _seen(body: Body, vertex: jax.Array, vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns where points are [B, K, 2] and whether they are seen [B, K], of body vectors."""
    vertices, screen = screen_vertices(body, vectors)
    depth = rasterize(screen, body.faces, _SIDE, _SIDE, cull=True).depth
    normal = vertex_normals(vertices, body.faces)[:, vertex, 2]
    points = screen[:, vertex]
    at = jnp.floor((points[..., :2] + 1) / 2 * _SIDE).astype(jnp.int32)
    inside = ((at >= 0) & (at < _SIDE)).all(-1)
    at = jnp.clip(at, 0, _SIDE - 1)
    front = jnp.take_along_axis(depth.reshape(len(vectors), -1), at[..., 1] * _SIDE + at[..., 0], 1)
    seen = inside & (normal > _FACING) & (points[..., 2] - front < _BIAS)
    return points[..., :2], seen.astype(jnp.float32)


def seen_points(surface: Surface, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns where surface points of vectors [T, 188] are, [T, K, 2] (u, v); 1 if seen [T, K]."""
    look = functools.partial(_seen, load_body(), surface.vertex)
    places, seen = in_batches(look, vectors)
    return places, seen


class Reference(NamedTuple):
    """The frame [H, H, 3] uint8 that says how the skin looks, and its body vector [188]."""

    picture: np.ndarray
    vector: np.ndarray


def appearance_of(pictures: jax.Array, vectors: np.ndarray, *, coarse: bool = False) -> Appearance:
    """Returns the `Appearance` of a clip whose bodies are roughly known.

    `pictures`: [1 + T, h, h, 3] of `shrunk`, the reference frame first; `vectors`: [1 + T, 188]
    body vectors of the same; `coarse`: at half the resolution, from where bodies are found that are
    further away.
    """
    surface = surface_of_open_body()
    places, seen = seen_points(surface, vectors)
    if coarse and pictures.shape[1] % 2 == 0:
        pictures = _halved(pictures)
    shown = np.argsort(-seen[0], kind="stable")[:_SHOWN]
    colours = warp(pictures[:1], jnp.asarray(places[:1, shown])[:, None])[0, 0]
    part = Surface(
        surface.vertex[shown],
        surface.points[shown],
        surface.directions[:, shown],
        surface.weights[shown],
    )
    weight = (seen[1:] * seen[0])[:, shown] * (_SHOWN / _POINTS)
    return Appearance(part, pictures[1:], colours, jnp.asarray(weight))


@jax.jit
def _halved(pictures: jax.Array) -> jax.Array:
    """Returns pictures of the same size with half the detail."""
    return repeat_upsample(average_pool(pictures, 2), 2)


def shrunk(frames: np.ndarray) -> jax.Array:
    """Returns frames [T, H, H, 3] uint8 as [T, h, h, 3] in [0, 1], h near 64; plain means."""
    count, side = frames.shape[:2]
    factor = next(k for k in range(max(1, round(side / _SIDE)), 0, -1) if side % k == 0)
    blocks = frames.reshape(count, side // factor, factor, side // factor, factor, 3)
    # Sums of whole numbers in numpy: a compiled program would be one for every size and length.
    total = blocks.sum(4, dtype=np.uint16).sum(2, dtype=np.uint32)
    return jnp.asarray(total / np.float32(255 * factor**2), jnp.float32)
