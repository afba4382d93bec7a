"""A contact sheet of synthetic people and of the labels of one clip: people.jpg beside this file.

python experiments/synthetic_people/sheet.py
"""

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import hsv_to_rgb
from PIL import Image

from hvc_jax.synth.labels import BACKGROUND, Labels
from hvc_jax.synth.people import render_clip

SIDE, COLUMNS, STILLS = 192, 8, 24


def as_bytes(picture: np.ndarray) -> np.ndarray:
    """A picture in [0, 1] as uint8."""
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8)


def label_pictures(frame: np.ndarray, labels: Labels, t: int) -> list[np.ndarray]:
    """Frame, parts, depth, flow and visibility of frame t, uint8 `[S, S, 3]` each."""
    parts = labels.parts[t]
    person = (parts != BACKGROUND)[..., None]
    colors = colormaps["tab20"](parts % 20)[..., :3] * person
    depth = np.where(person[..., 0], labels.depth[t], 0)
    near = colormaps["viridis"]((0.35 - depth) / 0.7)[..., :3] * person
    x, y = labels.flow[t, ..., 0], labels.flow[t, ..., 1]
    length = np.hypot(x, y)
    hue = (np.arctan2(y, x) / (2 * np.pi)) % 1
    turns = hsv_to_rgb(
        np.stack([hue, np.clip(length / max(length.max(), 1), 0, 1), np.ones_like(hue)], -1)
    )
    visible = np.repeat(labels.visible[t][..., None], 3, -1)
    return [frame, *(as_bytes(p) for p in (colors, near, turns, visible))]


def main() -> None:
    """Renders and writes the sheet."""
    stills = [render_clip(seed, 1, SIDE).frames[0] for seed in range(STILLS)]
    rows = [np.concatenate(stills[i : i + COLUMNS], 1) for i in range(0, STILLS, COLUMNS)]
    shown = []
    for seed, framing in ((11, "full"), (5, "upper")):
        clip = render_clip(seed, 40, SIDE, framing=framing, labels=True)
        # The liveliest frame shows most.
        t = int(np.linalg.norm(clip.labels.flow, axis=-1).mean((1, 2)).argmax())
        shown += label_pictures(clip.frames[t], clip.labels, t)
    width = rows[0].shape[1]
    strip = np.concatenate(shown, 1)
    strip = np.asarray(
        Image.fromarray(strip).resize((width, round(SIDE * width / strip.shape[1])), 1)
    )
    sheet = Image.fromarray(np.concatenate([*rows, strip]))
    sheet = sheet.resize((sheet.width * 2 // 3, sheet.height * 2 // 3), 1)
    sheet.save(Path(__file__).with_name("people.jpg"), quality=85)


if __name__ == "__main__":
    main()
