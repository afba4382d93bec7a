"""`hvc demo`: the whole program on one clip, in a few minutes and with nothing prepared."""

import argparse
import json
from pathlib import Path

from hvc_jax.cli.options import add_picture_options, keep_programs

DESCRIPTION = """\
Renders a synthetic person (or takes your clip), codes it with the hybrid, semantic and
keypoint variants, decodes the files in a fresh process, edits the hybrid stream, and sets
VVC, HEVC and AV1 at the nearest rate beside them."""
EXAMPLES = """\
examples:
  hvc demo
  hvc demo clip.mp4 --output results/
  hvc demo clip.mp4 --start 100 --frames 75 --set head_yaw-=30deg --set right_elbow_y+=40deg
"""

_EDITS = ("head_yaw+=25deg", "left_shoulder_z+=45deg")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    add = parser.add_argument
    add("input", type=Path, nargs="?", help="video file (default: a rendered clip)")
    add("--output", type=Path, default=Path("hvc_demo"), help="folder (default: hvc_demo)")
    add("--start", type=int, default=0, help="frames to skip")
    add("--frames", type=int, default=50, help="frames to code (default: 50)")
    add_picture_options(parser)
    add("--key-qp", type=int, default=32, help="0 (finest) to 63 (default: 32)")
    add(
        "--set",
        action="append",
        dest="edits",
        metavar="EDIT",
        help=f"edit of the hybrid stream (default: {' and '.join(_EDITS)})",
    )
    add("--seed", type=int, default=3, help="of the rendered person")
    add("--models", type=Path, help="folder with VARIANT.safetensors")
    add("--dists-weights", type=Path, help="alpha and beta of DISTS (weights.pt), to measure it")
    add("--json", action="store_true", help="print one JSON object")
    add("--quiet", action="store_true", help="no progress")


def run(arguments: argparse.Namespace) -> int:
    """Runs the demonstration and prints its table and where the files are."""
    from hvc_jax.stream.operations import parse_assignment

    edits = [parse_assignment(text) for text in arguments.edits or _EDITS]
    output = arguments.output
    if not output.parent.is_dir():
        raise ValueError(f"{output}: the folder {output.parent} does not exist; create it")
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output}: is a file; name a folder with --output")
    if arguments.frames < 2:
        raise ValueError("--frames is at least 2")
    if arguments.dists_weights is not None and not arguments.dists_weights.is_file():
        raise ValueError(f"{arguments.dists_weights}: no such file; check --dists-weights")
    if arguments.input is not None:
        from hvc_jax.data.clips import probe

        probe(arguments.input)  # a wrong path is reported before seconds of loading

    from hvc_jax.codec.options import check_side
    from hvc_jax.evaluation.demo import Demo, told

    check_side("--size", arguments.size)
    keep_programs(arguments.quiet)
    output.mkdir(exist_ok=True)
    demo = Demo(
        output=output,
        size=arguments.size,
        key_qp=arguments.key_qp,
        models=arguments.models,
        dists_weights=arguments.dists_weights,
        quiet=arguments.quiet,
    )
    if arguments.input is None:
        clip, source = demo.render(arguments.seed, arguments.frames)
    else:
        clip, source = demo.read(arguments.input, arguments.fit, arguments.start, arguments.frames)
    record = demo.run(clip, source, edits)
    print(json.dumps(record) if arguments.json else told(record))
    return 0
