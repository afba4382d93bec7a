"""`hvc train-regressor`: trains the network that `hvc fit` and `hvc encode` find bodies with."""

import argparse
from pathlib import Path

DESCRIPTION = "Trains the body regressor and exports it."
EXAMPLES = """\
example:
  hvc train-regressor --output body_regressor.safetensors --workdir runs/regressor \\
      --clips clips/train --nets nets --mocap mocap

Five steps; the first two are kept in the workdir and skipped when they are there. Label the clips
with small pose and segmentation networks (their .tflite files under --nets; needs
hvc_jax[pseudo-labels]); train the lifter on motion capture (.bvh files under --mocap); train the
keypoint network on the labelled clips and on rendered people; on both, train the network that tells
backs from fronts; adapt the lifter to the clips: bodies should land on the keypoints, be likely,
move smoothly, and draw the frames through the codec.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    parser.add_argument("--output", required=True, type=Path, help=".safetensors to write")
    parser.add_argument("--workdir", required=True, type=Path, help="labels, stills, checkpoints")
    parser.add_argument("--mocap", required=True, type=Path, help="folder of .bvh files")
    parser.add_argument("--clips", type=Path, help="folder of real clips; none: rendered people")
    parser.add_argument("--nets", type=Path, help="folder with pose/*.tflite and seg/*.tflite")
    parser.add_argument("--stills", type=int, default=4000, help="rendered people (default: 4000)")
    parser.add_argument(
        "--steps", type=int, default=4000, help="of the keypoint network; 0 keeps --start's"
    )
    parser.add_argument(
        "--lifter-steps", type=int, default=3000, help="of the lifter; 0 keeps that of --start"
    )
    parser.add_argument(
        "--facing-steps",
        type=int,
        default=1600,
        help="of what tells backs from fronts; kept where --steps is 0 (default: 1600)",
    )
    parser.add_argument(
        "--adapt-steps",
        type=int,
        default=600,
        help="of the lifter on real clips through the semantic codec; 0: none (default: 600)",
    )
    parser.add_argument("--batch-size", type=int, default=16, help="pictures a step")
    parser.add_argument("--learning-rate", type=float, default=1.2e-3, help="peak")
    parser.add_argument("--real-share", type=float, default=0.65, help="real part of a batch")
    parser.add_argument(
        "--hold-out",
        default="",
        metavar="CLIP,CLIP",
        help="clips, without ending, that do not teach: what does best on them is kept",
    )
    parser.add_argument("--start", type=Path, help="regressor to go on from")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")


def run(arguments: argparse.Namespace) -> int:
    """Labels, trains and exports; exit status 0."""
    from hvc_jax.ops.compile import keep_compiled_programs
    from hvc_jax.ops.files import check_output
    from hvc_jax.pose.train.run import RegressorRun, train_regressor

    check_output(arguments.output)
    if (arguments.clips is None) != (arguments.nets is None):
        raise ValueError("--clips and --nets go together: real clips are labelled by the networks")
    keep_compiled_programs()
    train_regressor(
        RegressorRun(
            arguments.workdir,
            arguments.mocap,
            arguments.clips,
            arguments.nets,
            stills=arguments.stills,
            steps=arguments.steps,
            lifter_steps=arguments.lifter_steps,
            facing_steps=arguments.facing_steps,
            adapt_steps=arguments.adapt_steps,
            batch_size=arguments.batch_size,
            learning_rate=arguments.learning_rate,
            real_share=arguments.real_share,
            hold_out=tuple(name for name in arguments.hold_out.split(",") if name),
            start=arguments.start,
            seed=arguments.seed,
        ),
        arguments.output,
    )
    return 0
