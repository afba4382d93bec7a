"""`hvc export`: turns a training run into a model file."""

import argparse
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Writes the mean parameters of a run's newest checkpoint as float16, with coding tables
fitted to its training clips."""
EXAMPLES = """\
example:
  hvc export --workdir runs/a --out model.safetensors
  hvc export --workdir runs/field --bodies-of semantic --out hybrid.safetensors
  hvc encode clip.mp4 clip.hvc --model model.safetensors
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    add = parser.add_argument
    add("--workdir", required=True, type=Path, help="that of hvc train")
    add("--out", required=True, type=Path, help="the .safetensors file to write")
    add("--size", type=int, help="side of the pictures in pixels, if not that of training")
    add("--lmbda", type=float, help="which of the models of a run with several loss.lmbdas")
    add(
        "--step-scale",
        type=float,
        default=1.0,
        help="factor on all quantisation steps, where training left them finer than pays "
        "(hvc evaluate --axes quantiser=64,90,128 tells; default: 1)",
    )
    add(
        "--blend",
        metavar="MODEL=SHARE",
        help="another run of the same model, an export or a workdir, such as the one that this "
        "began from; parameters are the weighted means: start.safetensors=0.25",
    )
    add(
        "--bodies-of",
        metavar="MODEL",
        help="for a generator of fields: the semantic model whose parameters hybrid streams send",
    )
    add("--clips", type=int, default=32, help="clips to fit tables on, at most")
    add("--frames", type=int, default=128, help="frames of each, at most")


def run(arguments: argparse.Namespace) -> int:
    """Exports and says what was written."""
    from hvc_jax.ops.files import check_output

    inputs = () if arguments.bodies_of is None else (arguments.bodies_of,)
    check_output(arguments.out, inputs=inputs, suffixes=(".safetensors",))
    blend = None if arguments.blend is None else _blend(arguments.blend)
    from hvc_jax.models.export import load_export
    from hvc_jax.training.export import export_run

    bodies_of = None if arguments.bodies_of is None else load_export(arguments.bodies_of)
    export = export_run(
        arguments.workdir,
        arguments.out,
        lmbda=arguments.lmbda,
        blend=blend,
        size=arguments.size,
        step_scale=arguments.step_scale,
        bodies_of=bodies_of,
        most_clips=arguments.clips,
        most_frames=arguments.frames,
    )
    print(describe(export))
    return 0


def _blend(text: str) -> tuple[Path, float]:
    """MODEL=SHARE as (path, share); ValueError: another form, or a share not in [0, 1]."""
    path, _, share = text.rpartition("=")
    try:
        number = float(share)
    except ValueError:
        number = -1.0
    if not path or not 0 <= number <= 1:
        raise ValueError(f"--blend {text}: write MODEL=SHARE with a share of 0 to 1")
    return Path(path), number


def describe(export: Any) -> str:
    """A line on a model file: variant, id, size; and one on its rate, where it was measured."""
    size = export.path.stat().st_size / 1e6
    text = f"{export.path}: {export.variant} model {export.model_id.hex()}, {size:.1f} MB"
    if rates := export.config.get("rates"):
        text += f"\nbits a frame of motion: {rates.estimated:.1f} estimated, {rates.real:.1f} real"
    return text
