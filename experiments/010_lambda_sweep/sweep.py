"""One recipe, four lambdas, both variants; see README.md.

The training data is synthetic people, or what the environment variable HVC_DATA names. At full
size: SIZE = "base", RESOLUTION = 384, and no total_steps.
"""

import os

SIZE, RESOLUTION = "tiny", 96
LMBDAS = (0.1, 0.6, 4, 25)
RECIPE = {
    "total_steps": 1500,
    "batch_size": 4,
    "optim.lr": 2e-3,
    "optim.warmup": 50,
    "data.synthetic_clips": 24,
    "data.synthetic_frames": 25,
    "checkpoint.every": 500,
    "log.images_every": 0,
}

_data = os.environ.get("HVC_DATA", "")


def _config(variant: str, lmbda: float) -> str:
    argument = f"size={SIZE},res={RESOLUTION},lmbda={lmbda:g}" + (f",data={_data}" if _data else "")
    return f"configs/{variant}.py:{argument}"


RUNS = {
    f"{name}_lmbda{lmbda:g}": {"config": _config(variant, lmbda), **RECIPE}
    # "implicit" is what the keypoint variant was called when the results were made.
    for name, variant in (("semantic", "semantic"), ("implicit", "keypoint"))
    for lmbda in LMBDAS
}
