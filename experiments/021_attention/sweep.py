"""Keypoints against attention at equal decoder cost, and a token against a map; see README.md.

The training data is what the environment variable HVC_DATA names, else synthetic people.
`cost.py` says whether WIDTH still gives the keypoint decoder the cost of the implicit one.
"""

import os

SIZE, RESOLUTION = "tiny", 64
SEEDS = (0, 1, 2)  # of each variant
WIDTH = 80  # channels of the keypoint variant's motion features
RECIPE = {
    "total_steps": 1000,
    "batch_size": 4,
    "optim.lr": 2e-3,
    "optim.warmup": 50,
    "optim.ema": 0.99,
    "data.crop": 1.0,  # coded key pictures are shown as they were coded
    "data.jitter": 0.0,
    "loss.perceptual": 0.0,
    "loss.warped": 0.5,
    "checkpoint.every": 500,
    "log.images_every": 0,
    "validation.clips": 13,
}

_data = os.environ.get("HVC_DATA", "")
_argument = f"size={SIZE},res={RESOLUTION}" + (f",data={_data}" if _data else "")

_IMPLICIT = {"config": f"configs/implicit.py:{_argument}", **RECIPE} | {
    "data.made": 0.25,
    "data.teacher_flow": True,
    "loss.flow": 5.0,
    "loss.flow_until": 0.8,
    "loss.rate_warmup": 0.3,
    "model.motion.side": RESOLUTION,
}
VARIANTS = {
    "keypoint": {"config": f"configs/keypoint.py:{_argument}", **RECIPE}
    | {"model.motion.width": WIDTH},
    "token": _IMPLICIT | {"model.motion.map_side": 0},
    "map": _IMPLICIT,
}
RUNS = {
    f"{variant}_seed{seed}": fields | {"seed": seed}
    for seed in SEEDS
    for variant, fields in VARIANTS.items()
}
