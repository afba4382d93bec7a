"""Synthetic people: clips of the open body, dressed, lit and moving, with exact labels.

    motion -> body vectors -> skinning -> projection -> visible triangles (jax)
    look -> rest mesh ----------^                             |
    light, background, look -> colours of covered pixels <----+ -> shrink -> noise -> frame

Fabrics and faces are functions of the position on the rest mesh, so that texture sticks to the
body. Pictures are drawn at 1.5 to 2 times their size and averaged down.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body.assets import Body
from hvc_jax.body.coverage import nearest_triangle
from hvc_jax.body.lbs import posed_vertices, screen_vertices
from hvc_jax.body.params import CAMERA, POSE, unpack
from hvc_jax.synth.camera import frame_person, random_framing
from hvc_jax.synth.capture import captured_motion
from hvc_jax.synth.draw import Scene, add_noise, develop, draw, random_scene
from hvc_jax.synth.labels import Labels, label_frames
from hvc_jax.synth.mesh import dressed_body
from hvc_jax.synth.motion import random_motion, random_style

_CHUNK = 8  # frames posed and rasterised in one call
_SUPERSAMPLE = 1.5  # drawing pixels per picture pixel along a side


class SyntheticClip(NamedTuple):
    """A rendered clip and its labels."""

    frames: np.ndarray  # `[T, size, size, 3]` uint8
    body: np.ndarray  # `[T, 188]` float32 body vectors, camera included
    mask: np.ndarray  # `[T, size, size]` float32 in [0, 1], share of a pixel that shows the person
    fps: float  # Frames a second
    labels: Labels | None = None  # Depth, parts, flow and visibility, if they were asked for


@functools.partial(jax.jit, static_argnames=("size", "canvas"))
def _pictures(
    body: Body, vectors: jax.Array, scenes: Scene, size: int, canvas: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns picture coordinates `[B, V', 3]`, frames uint8 `[B, S, S, 3]`, masks `[B, S, S]`."""
    dressed = dataclasses.replace(body, v_template=scenes.rest)
    _, screen = screen_vertices(dressed, vectors)
    faces = jnp.asarray(dressed_body().faces)

    def single(frame):
        scene, place, camera = frame
        triangle = nearest_triangle(place[None], faces, canvas, canvas, cull=True)[0]
        return develop(scene, draw(scene, place, camera, triangle), size)

    return screen, *jax.lax.map(single, (scenes, screen, vectors[:, CAMERA]))


@jax.jit
def _joints(body: Body, vectors: jax.Array) -> jax.Array:
    return posed_vertices(body, unpack(vectors))[1]


def render_clip(
    seed: int,
    frames: int,
    size: int = 256,
    fps: float = 25.0,
    framing: str | None = None,
    bvh: str | Path | None = None,
    labels: bool = False,
    change: Callable[[np.ndarray], np.ndarray] | None = None,
) -> SyntheticClip:
    """Returns a clip of a random person; the same seed gives the same clip.

    Args:
      seed: Seed of everything.
      frames: T.
      size: Side in pixels.
      fps: Frames a second.
      framing: "head", "upper", "hips", "knees" or "full"; None draws one.
      bvh: A motion capture file to move by; face and fingers stay procedural.
      labels: Make those of the pixels as well.
      change: Makes other body vectors `[T, 188]` of the clip's, before the camera is chosen.
    """
    rng = np.random.default_rng((20250516, seed))
    canvas = int(round(size * _SUPERSAMPLE))
    scene = random_scene(rng, canvas)
    framing = framing or random_framing(rng)
    style = random_style(rng, framing in ("full", "knees"))
    vectors = random_motion(rng, frames, fps, style)
    root = None
    if bvh is not None:
        pose, root = captured_motion(rng, bvh, frames, fps)
        vectors[:, POSE.start : POSE.start + pose.shape[1]] = pose
    if change is not None:
        vectors = change(vectors)
    mesh = dressed_body()
    padded = np.concatenate([vectors, np.repeat(vectors[-1:], -frames % _CHUNK, axis=0)])
    joints = np.concatenate(
        [_joints(mesh.body, padded[i : i + _CHUNK]) for i in range(0, len(padded), _CHUNK)]
    )[:frames]
    frame_person(rng, vectors, joints, style.legs, framing, root)
    pictures, masks, screens = _render(vectors, scene, size, canvas)
    pictures = np.stack([add_noise(picture, scene.noise, rng) for picture in pictures])
    made = label_frames(screens, size) if labels else None
    return SyntheticClip(pictures, vectors, masks, fps, made)


def _render(
    vectors: np.ndarray, scene: Scene, size: int, canvas: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns noiseless frames, masks and picture coordinates of vectors `[T, 188]`."""
    count = len(vectors)
    vectors = np.resize(vectors, (count + -count % _CHUNK, 188))
    scenes = jax.device_put(jax.tree.map(lambda x: np.stack([x] * _CHUNK), scene))
    made = [
        _pictures(dressed_body().body, vectors[start : start + _CHUNK], scenes, size, canvas)
        for start in range(0, count, _CHUNK)
    ]
    screens, frames, masks = (np.concatenate(x)[:count] for x in zip(*made, strict=True))
    return frames, masks, screens
