"""Drawing of one frame: colours of covered pixels, background with shadow, camera response."""

import functools
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter
from scipy.sparse import csr_array

from hvc_jax.data.synthetic_background import random_background
from hvc_jax.data.synthetic_look import Look, random_look
from hvc_jax.data.synthetic_mesh import dress, dressed_body, face_normals
from hvc_jax.data.synthetic_shading import Light, albedo, random_light, shade, smooth_fields


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


@functools.lru_cache(maxsize=1)
def _normal_matrix() -> csr_array:
    """Returns the `[V', F']` matrix that sums triangle normals at vertices."""
    faces = dressed_body().faces
    rows = faces.T.ravel()
    columns = np.tile(np.arange(len(faces)), 3)
    return csr_array(
        (np.ones(len(rows), np.float32), (rows, columns)), shape=(rows.max() + 1, len(faces))
    )


def draw(
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


def develop(
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
