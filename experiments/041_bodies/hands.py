"""How far the fingers of fitted bodies lie from hand landmarks, with and without them in the fit.

    python experiments/041_bodies/hands.py CLIPS --clips 16 --out experiments/041_bodies

Both from the wrist, fifteen joints of a hand, in lengths of its palm, in the picture; 32 frames at
256x256, of frames where the hand network is sure. The network judges its own fit here: this says
what the closed form and its limits lose, not how right the landmarks are.
"""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from hvc_jax.body.assets import load_body
from hvc_jax.body.lbs import posed_vertices
from hvc_jax.body.params import CAMERA, unpack
from hvc_jax.data.clips import read_clip
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.pose.bodies import bodies_from_sight
from hvc_jax.pose.fit import vectors_of
from hvc_jax.pose.hand_sight import SIDES, HandSight, see_hands
from hvc_jax.pose.hands import hand_of, with_hands
from hvc_jax.pose.sight import see


@functools.cache
def _joints() -> Callable[[jax.Array], jax.Array]:
    """What gives the joints [T, 55, 3] of body vectors."""
    body = load_body()
    return jax.jit(lambda vectors: posed_vertices(body, unpack(vectors))[1])


def distances(bodies: np.ndarray, seen: HandSight, place: int) -> np.ndarray:
    """Returns [T] of the left (`place` 0) or the right hand (1)."""
    hand = hand_of(load_body(), SIDES[place])
    joints = np.asarray(_joints()(jnp.asarray(bodies)))
    fitted = (joints[:, hand.joints] - joints[:, [[hand.wrist]]])[..., :2] * [1, -1]
    fitted *= bodies[:, None, None, CAMERA.start : CAMERA.start + 1]
    points = seen.points[:, place]
    fingers = points[:, 1:].reshape(-1, 5, 4, 2)[:, :, :3] - points[:, :1, None]
    palm = np.median(np.linalg.norm(fingers[:, 2, 0], axis=-1))
    return np.linalg.norm(fitted - fingers, axis=-1).mean((1, 2)) / palm


def main() -> None:
    """Measures, prints and writes hands.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="clips")
    parser.add_argument("--clips", type=int, default=16, help="how many, evenly spaced")
    parser.add_argument("--out", type=Path, default=Path("."))
    arguments = parser.parse_args()
    keep_compiled_programs()
    paths = sorted(arguments.folder.glob("*.mp4"))
    at = np.linspace(0, len(paths) - 1, min(arguments.clips, len(paths))).round().astype(int)
    rows = []
    for path in (paths[i] for i in at):
        frames = read_clip(path, 256, frames=32).frames
        sight = see(frames)
        if sight is None:
            continue
        plain, seen = (
            vectors_of(bodies_from_sight(sight).bodies, len(frames)),
            see_hands(frames, sight),
        )
        fitted = with_hands(plain, seen)
        for place, side in enumerate(SIDES):
            sure = seen.presence[:, place] >= 0.5
            if sure.sum() < 8:
                continue
            before, after = (distances(b, seen, place)[sure].mean() for b in (plain, fitted))
            rows.append((path.stem, side, int(sure.sum()), round(before, 3), round(after, 3)))
            print(*rows[-1], flush=True)
    table = pd.DataFrame(rows, columns=["clip", "side", "frames", "without", "with_hands"])
    table.to_csv(arguments.out / "hands.csv", index=False)
    print(table[["without", "with_hands"]].mean().round(3).to_string())


if __name__ == "__main__":
    main()
