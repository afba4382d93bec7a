"""Explicit against implicit motion at equal decoder cost; see README.md.

The training data is synthetic people, or what the environment variable HVC_DATA names. At full
size: SIZE = "base", RESOLUTION = 384, no total_steps, three seeds; then set WIDTH so that
`python experiments/020_explicit_vs_implicit/cost.py` still agrees.
"""

import os

SIZE, RESOLUTION = "tiny", 96
SEEDS = (0,)  # of each variant
WIDTH = 58  # channels of the implicit motion features, by which its decoder costs as much
RECIPE = {
    "total_steps": 1000,
    "batch_size": 4,
    "optim.lr": 2e-3,
    "optim.warmup": 50,
    "data.synthetic_clips": 24,
    "data.synthetic_frames": 25,
    "checkpoint.every": 500,
    "log.images_every": 0,
}

_data = os.environ.get("HVC_DATA", "")
_argument = f"size={SIZE},res={RESOLUTION}" + (f",data={_data}" if _data else "")

VARIANTS = {
    "semantic": {"config": f"configs/semantic.py:{_argument}", **RECIPE},
    "implicit": {"config": f"configs/keypoint.py:{_argument}", **RECIPE}
    | {"model.motion.width": WIDTH},
}
RUNS = {
    f"{variant}_seed{seed}": fields | {"seed": seed}
    for seed in SEEDS
    for variant, fields in VARIANTS.items()
}
