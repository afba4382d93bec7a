"""Draws open_body.png: four poses, their part maps, and a motion field as a colour wheel.

python experiments/bench_body/pictures.py
"""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from PIL import Image

from hvc_jax.body import assets, camera, lbs, params, poses, raster, shade

SIZE = 192
NAMES = ("standing", "arms_up", "sitting", "walking")


def main() -> None:
    """Writes the picture beside this script."""
    body = assets.load_body()
    vectors = np.stack([poses.pose_vector(name) for name in NAMES])
    vectors[:, params.VECTOR_INDEX["camera_scale"]] = 0.78
    vectors[1, params.VECTOR_INDEX["camera_y"]] = -0.15
    vectors[2:, params.VECTOR_INDEX["pelvis_y"]] = 0.6
    rows = [shade.render(body, vectors, SIZE, kind) for kind in ("shaded", "parts")]
    state = params.unpack(jnp.asarray(vectors))
    screen = camera.project(lbs.posed_vertices(body, state)[0], state.camera)
    key = jnp.repeat(screen[:1], len(NAMES), 0)
    field = raster.motion_field(key, screen, body.faces, SIZE, SIZE)
    motion = np.asarray(field.grid - raster.pixel_grid(SIZE, SIZE))
    shown = np.asarray(field.visible)[..., None]
    wheel = np.stack([shade.color_wheel(m, 0.6) for m in motion])
    grey = np.where(np.asarray(field.mask)[..., None] > 0, 90, 255)
    rows.append((shown * wheel + (1 - shown) * grey).astype(np.uint8))
    picture = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    Image.fromarray(picture).save(Path(__file__).with_name("open_body.png"), optimize=True)


if __name__ == "__main__":
    main()
