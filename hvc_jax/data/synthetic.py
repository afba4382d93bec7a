"""Synthetic people: clips and stills of the open body, dressed, lit and moving, with exact labels.

    motion -> body vectors -> skinning -> projection -> visible triangles (jax)
    look -> rest mesh ----------^                             |
    light, background, look -> colours of covered pixels <----+ (numpy) -> shrink -> frame

Fabrics and faces are functions of the position on the rest mesh, so that texture sticks to the
body. Pictures are drawn at 1.5 to 2 times their size and averaged down.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageFilter
from scipy.sparse import csr_array

from hvc_jax.body.assets import Body
from hvc_jax.body.camera import project
from hvc_jax.body.coverage import nearest_triangle
from hvc_jax.body.lbs import posed_vertices
from hvc_jax.body.params import CAMERA, unpack
from hvc_jax.data.synthetic_background import random_background
from hvc_jax.data.synthetic_look import Look, random_look
from hvc_jax.data.synthetic_mesh import dress, dressed_body, face_normals
from hvc_jax.data.synthetic_motion import random_motion, random_style
from hvc_jax.data.synthetic_shading import Light, albedo, random_light, shade, smooth_fields

FRAMINGS = {"head": 0.22, "upper": 0.45, "hips": 1.05, "knees": 1.35, "full": 1.95}
"""Height of the visible part of the person below the top of the head, metres, about."""

_CHUNK = 8  # frames posed and rasterised in one call


class SyntheticClip(NamedTuple):
    """A rendered clip and its labels.

    Attributes:
      frames: `[T, size, size, 3]` uint8.
      body: `[T, 188]` float32 body vectors, camera included.
      mask: `[T, size, size]` float32 in [0, 1], share of a pixel that shows the person.
      fps: Frames a second.
    """

    frames: np.ndarray
    body: np.ndarray
    mask: np.ndarray
    fps: float


class Scene(NamedTuple):
    """What stays the same through a clip.

    Attributes:
      look: Appearance; `rest`: `[V', 3]` dressed rest mesh.
      fields: `[V', 6]`, see `smooth_fields`.
      light: Lights.
      background: uint8 `[S, S, 3]`.
      shadow: (dx, dy, blur, strength) of the shadow on the background, shares of the picture;
        strength 0 for none.
      tone: `[256, 3]` uint8 camera response.
      noise: Standard deviation of the sensor noise, grey levels.
    """

    look: Look
    rest: np.ndarray
    fields: np.ndarray
    light: Light
    background: np.ndarray
    shadow: tuple[float, float, float, float]
    tone: np.ndarray
    noise: float


def random_scene(rng: np.random.Generator, canvas: int) -> Scene:
    """Returns a random person, light, background and camera for drawings of side `canvas`."""
    look = random_look(rng)
    light = random_light(rng)
    shadow = (0.0, 0.0, 0.02, 0.0)
    if rng.random() < 0.5:
        dx = -0.08 * light.direction[0, 0] * rng.uniform(0.2, 1.5)
        shadow = (dx, rng.uniform(0, 0.06), rng.uniform(0.008, 0.05), rng.uniform(0.15, 0.6))
    ramp = np.linspace(0, 1, 256)
    gain, gamma = rng.uniform(0.9, 1.15, 3) ** 0.5, np.exp(rng.normal(0, 0.15))
    lift, top = rng.uniform(0, 0.05), rng.uniform(0.92, 1.03)
    tone = lift + (top - lift) * ramp[:, None] ** gamma * gain
    return Scene(
        look=look,
        rest=dress(look),
        fields=smooth_fields(dressed_body().rest, look),
        light=light,
        background=random_background(rng, canvas),
        shadow=shadow,
        tone=np.clip(255 * tone + 0.5, 0, 255).astype(np.uint8),
        noise=float(rng.choice([0.0, rng.uniform(0.5, 3.0)])),
    )


def frame_person(
    rng: np.random.Generator, body: np.ndarray, joints: np.ndarray, legs: str, framing: str | None
) -> None:
    """Writes cameras into body vectors `[T, 188]`: a framing, held still while the person moves.

    Args:
      rng: Source of randomness.
      body: Vectors whose camera entries are overwritten.
      joints: `[T, 55, 3]` pelvis-centred joints of those vectors.
      legs: What the legs do; the feet of a squatting person stay on the ground.
      framing: A key of `FRAMINGS`, None for a random one.
    """
    if framing is None:
        framing = str(rng.choice(list(FRAMINGS), p=[0.04, 0.3, 0.26, 0.12, 0.28]))
    below = FRAMINGS[framing] * rng.uniform(0.88, 1.12)
    offset = np.zeros((len(body), 2))
    if legs in ("squat", "walk"):
        lowest = joints[:, [7, 8, 10, 11], 1].min(1)
        offset[:, 1] = lowest[0] - lowest
    offset[:, 0] = np.linspace(0, rng.normal(0, 0.12), len(body)) if legs == "walk" else 0.0
    wander = rng.normal(0, 0.01, 2) * np.sin(np.linspace(0, rng.uniform(1, 6), len(body)))[:, None]
    offset += wander
    head = joints[:, 15, 1] + offset[:, 1]
    # Above the head joint: the crown, raised hands sometimes, and some air.
    top = head.max() + 0.17 + rng.uniform(0.02, 0.14) * below
    if framing in ("full", "knees") and rng.random() < 0.6:
        top = max(top, (joints[:, [20, 21], 1] + offset[:, 1:]).max() + 0.1)
    bottom = head.max() + 0.17 - below
    scale = 2 / (top - bottom)
    middle = joints[:, [0, 15], 0].mean() + rng.normal(0, 0.12) / scale
    body[:, CAMERA.start] = scale
    body[:, CAMERA.start + 1] = offset[:, 0] - middle
    body[:, CAMERA.start + 2] = offset[:, 1] - (top + bottom) / 2


@functools.partial(jax.jit, static_argnames="canvas")
def _visible(
    body: Body, vectors: jax.Array, faces: jax.Array, canvas: int
) -> tuple[jax.Array, jax.Array]:
    """Returns picture coordinates `[B, V', 3]` and nearest triangles `[B, S, S]`."""
    params = unpack(vectors)
    vertices, _ = posed_vertices(body, params)
    screen = project(vertices, params.camera)
    return screen, nearest_triangle(screen, faces, canvas, canvas, cull=True)


@jax.jit
def _joints(body: Body, vectors: jax.Array) -> jax.Array:
    return posed_vertices(body, unpack(vectors))[1]


@functools.lru_cache(maxsize=1)
def _normal_matrix() -> csr_array:
    """Returns the `[V', F']` matrix that sums triangle normals at vertices."""
    faces = dressed_body().faces
    rows = faces.T.ravel()
    columns = np.tile(np.arange(len(faces)), 3)
    return csr_array(
        (np.ones(len(rows), np.float32), (rows, columns)), shape=(rows.max() + 1, len(faces))
    )


def _draw(
    scene: Scene, screen: np.ndarray, camera: np.ndarray, triangle: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns one drawing uint8 `[S, S, 3]` and its mask bool `[S, S]`, S the canvas."""
    mesh = dressed_body()
    canvas = triangle.shape[0]
    covered = np.flatnonzero(triangle.ravel() >= 0)
    seen = triangle.ravel()[covered]
    corners = mesh.faces[seen]
    # Barycentric coordinates of pixel centres (affine: the camera is a weak perspective).
    x = (screen[:, 0] + 1) * (canvas / 2) - 0.5
    y = (screen[:, 1] + 1) * (canvas / 2) - 0.5
    rx = x[corners] - (covered % canvas)[:, None].astype(np.float32)
    ry = y[corners] - (covered // canvas)[:, None].astype(np.float32)
    weights = np.stack(
        [rx[:, j] * ry[:, k] - rx[:, k] * ry[:, j] for j, k in ((1, 2), (2, 0), (0, 1))], axis=1
    )
    weights /= weights.sum(1, keepdims=True)
    space = np.stack([screen[:, 0], -screen[:, 1], -screen[:, 2] * camera[0]], axis=1)
    np.nan_to_num(space, copy=False)  # sheets that are not worn; no pixel shows them
    normals = _normal_matrix() @ face_normals(space, mesh.faces)
    table = np.concatenate([mesh.rest, normals, scene.fields], axis=1)
    values = sum(weights[:, k, None] * table[corners[:, k]] for k in range(3))
    rest, normal = values[:, :3], values[:, 3:6]
    normal = normal / (np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12)
    parts = np.asarray(_part_ids())
    part = parts[corners[np.arange(len(seen)), weights.argmax(1)]]
    material = mesh.material[seen]
    color = albedo(rest, values[:, 6:], part, material, scene.look)
    gloss = np.full(len(seen), 0.06, np.float32)
    gloss[(part == 1) | (part >= 4) & (part <= 5)] = 0.14
    gloss[part == 10] = 0.5
    lit = shade(color, normal, gloss, scene.light)
    picture = _shadowed(scene, triangle >= 0)
    flat = picture.reshape(-1, 3)
    # Gamma 2 is near enough to sRGB, and a square root is cheap.
    flat[covered] = (255 * np.sqrt(np.clip(lit * color, 0, 1))).astype(np.uint8)
    return picture, triangle >= 0


@functools.lru_cache(maxsize=1)
def _part_ids() -> np.ndarray:
    mesh = dressed_body()
    return np.pad(np.asarray(mesh.body.part_ids), (0, mesh.counts[1] + mesh.counts[2]))


def _shadowed(scene: Scene, mask: np.ndarray) -> np.ndarray:
    """Returns a fresh copy of the background with the person's soft shadow on it."""
    dx, dy, blur, strength = scene.shadow
    if strength == 0:
        return scene.background.copy()
    canvas = mask.shape[0]
    small = Image.fromarray(mask.astype(np.uint8) * 255).resize((64, 64), Image.Resampling.BOX)
    small = small.transform((64, 64), Image.Transform.AFFINE, (1, 0, -64 * dx, 0, 1, -64 * dy))
    small = small.filter(ImageFilter.GaussianBlur(64 * blur))
    soft = np.asarray(small.resize((canvas, canvas), Image.Resampling.BILINEAR))
    factor = (256 * (1 - strength * soft.astype(np.float32) / 255)).astype(np.uint16)
    return ((scene.background * factor[..., None]) >> 8).astype(np.uint8)


def _develop(
    scene: Scene, drawing: np.ndarray, mask: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns frame uint8 `[size, size, 3]` and mask `[size, size]` of a drawing."""
    image = Image.fromarray(drawing).resize((size, size), Image.Resampling.BOX)
    image = image.point(scene.tone.T.ravel().tolist())
    frame = np.asarray(image)
    if scene.noise:
        grain = rng.standard_normal((size, size), np.float32) * scene.noise
        frame = np.clip(frame + grain[..., None], 0, 255).astype(np.uint8)
    alpha = Image.fromarray(mask.astype(np.uint8) * 255).resize((size, size), Image.Resampling.BOX)
    return frame, np.asarray(alpha, np.float32) / 255


def render_clip(
    seed: int,
    frames: int,
    size: int = 256,
    fps: float = 25.0,
    framing: str | None = None,
    motion: np.ndarray | None = None,
    supersample: float = 1.5,
) -> SyntheticClip:
    """Returns a clip of a random person; the same seed gives the same clip.

    Args:
      seed: Seed of everything.
      frames: T.
      size: Side in pixels.
      fps: Frames a second.
      framing: "head", "upper", "hips", "knees" or "full"; None draws one.
      motion: Body vectors `[T, 188]` to move by (cameras are overwritten), else procedural motion.
      supersample: Drawing pixels per picture pixel along a side.
    """
    rng = np.random.default_rng((20250516, seed))
    canvas = int(round(size * supersample))
    scene = random_scene(rng, canvas)
    framing = framing or str(rng.choice(list(FRAMINGS), p=[0.04, 0.3, 0.26, 0.12, 0.28]))
    style = random_style(rng, framing in ("full", "knees"))
    vectors = random_motion(rng, frames, fps, style)
    if motion is not None:
        vectors[:, 20:185] = motion[:, 20:185]
    mesh = dressed_body()
    padded = np.concatenate([vectors, np.repeat(vectors[-1:], -frames % _CHUNK, axis=0)])
    joints = np.concatenate(
        [_joints(mesh.body, padded[i : i + _CHUNK]) for i in range(0, len(padded), _CHUNK)]
    )[:frames]
    frame_person(rng, vectors, joints, style.legs, framing)
    padded = np.concatenate([vectors, np.repeat(vectors[-1:], -frames % _CHUNK, axis=0)])
    body = _with_rest(mesh.body, scene.rest)
    pictures = np.empty((frames, size, size, 3), np.uint8)
    masks = np.empty((frames, size, size), np.float32)
    for start in range(0, frames, _CHUNK):
        screen, triangle = jax.device_get(
            _visible(body, padded[start : start + _CHUNK], mesh.faces, canvas)
        )
        for i in range(min(_CHUNK, frames - start)):
            camera = vectors[start + i, CAMERA]
            drawing, mask = _draw(scene, screen[i], camera, triangle[i])
            pictures[start + i], masks[start + i] = _develop(scene, drawing, mask, size, rng)
    return SyntheticClip(pictures, vectors, masks, fps)


def render_stills(
    seed: int, count: int, size: int = 128, supersample: float = 1.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns `count` pictures of different people with their labels, for training estimators.

    Returns:
      Frames uint8 `[N, size, size, 3]`, body vectors float32 `[N, 188]`, masks float32 `[N, size,
      size]`.
    """
    rng = np.random.default_rng((20250610, seed))
    canvas = int(round(size * supersample))
    mesh = dressed_body()
    vectors, scenes = np.empty((count, 188), np.float32), []
    total = count + -count % _CHUNK
    styles = [random_style(rng, rng.random() < 0.6) for _ in range(count)]
    for i, style in enumerate(styles):
        vectors[i] = random_motion(rng, 12, 4.0, style)[-1]
    padded = np.resize(vectors, (total, 188))
    joints = [_joints(mesh.body, padded[i : i + _CHUNK]) for i in range(0, total, _CHUNK)]
    joints = np.concatenate(joints)
    for i, style in enumerate(styles):
        scenes.append(random_scene(rng, canvas))
        frame_person(rng, vectors[i : i + 1], joints[i : i + 1], style.legs, None)
    padded = np.resize(vectors, (total, 188))
    frames = np.empty((count, size, size, 3), np.uint8)
    masks = np.empty((count, size, size), np.float32)
    for start in range(0, count, _CHUNK):
        picked = [scenes[i % count].rest for i in range(start, start + _CHUNK)]
        body = _with_rest(mesh.body, np.stack(picked))
        screen, triangle = jax.device_get(
            _visible(body, padded[start : start + _CHUNK], mesh.faces, canvas)
        )
        for i in range(start, min(start + _CHUNK, count)):
            k = i - start
            drawing, mask = _draw(scenes[i], screen[k], vectors[i, CAMERA], triangle[k])
            frames[i], masks[i] = _develop(scenes[i], drawing, mask, size, rng)
    return frames, vectors, masks


def _with_rest(body: Body, rest: np.ndarray) -> Body:
    """Returns `body` with another rest mesh, `[V', 3]` or one for each of a batch."""
    return dataclasses.replace(body, v_template=jnp.asarray(rest))
