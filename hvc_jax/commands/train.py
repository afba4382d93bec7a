"""`hvc train`: trains a model from a configuration."""

import argparse
from pathlib import Path

_EXAMPLE = """\
example:
  hvc train --config configs/semantic.py:size=tiny --workdir runs/a --config.total_steps=2000

The run goes on from the last checkpoint in its workdir, and ends with WORKDIR/model.safetensors for
hvc encode --model. With no data given it trains on people it renders itself; --config.data.path
names a folder of videos or a data set. --config.init_from=OTHER starts from the parameters of
another workdir or model file, as to go on at another picture size.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the parser of this command."""
    from hvc_jax.training.config import add_config_options

    parser = subparsers.add_parser(
        "train",
        help="train a model",
        description="Trains a model and exports it.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config_options(parser)
    parser.add_argument("--workdir", required=True, type=Path, help="checkpoints and logs")
    parser.add_argument("--no-export", action="store_true", help="write no model.safetensors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Trains to the end or to SIGTERM; exit status 0 in both cases."""
    from hvc_jax.ops.compile import keep_compiled_programs
    from hvc_jax.training.config import load_config
    from hvc_jax.training.loop import train

    keep_compiled_programs()
    config = load_config(arguments.config, arguments.overrides)
    _, done = train(config, arguments.workdir)
    if not done:
        print(f"{arguments.workdir}: stopped; the same command goes on from here")
    elif not arguments.no_export:
        from hvc_jax.commands.export import describe
        from hvc_jax.training.exporting import export_run

        print(describe(export_run(arguments.workdir, arguments.workdir / "model.safetensors")))
    return 0
