"""`hvc train`: trains a model from a configuration."""

import argparse
from contextlib import nullcontext
from pathlib import Path

DESCRIPTION = """\
Trains a model and exports it. The file of --config is a Python program and is run: use none
that you would not run."""
EXAMPLES = """\
example:
  hvc train --config configs/semantic.py:size=tiny --workdir runs/a --config.total_steps=2000

The run goes on from the last checkpoint in its workdir, and ends with WORKDIR/model.safetensors for
hvc encode --model. With no data given it trains on people it renders itself; --config.data.path
names a folder of videos or a data set. --config.init_from=OTHER starts from the parameters of
another workdir or model file, as to go on at another picture size.

On several machines the same command runs on each, with a workdir that all of them see:
  srun hvc train --hosts auto --config configs/semantic.py --workdir /shared/a
  hvc train --hosts 10.0.0.1:9000,2,0 ...   and   hvc train --hosts 10.0.0.1:9000,2,1 ...

--config.loss.lmbdas=1,2,4 trains a model for each weight of the distortion in one program, spread
over the devices, and writes model-lmbda_1.safetensors and so on.

On a Linux CPU (glibc 2.35 and later) GLIBC_TUNABLES=glibc.malloc.hugetlb=1 in the environment gives
memory in large pages, which saves up to a sixth of a step of the larger models.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    add = parser.add_argument
    from hvc_jax.training.config import add_config_options

    add_config_options(parser)
    add("--workdir", required=True, type=Path, help="checkpoints and logs")
    add(
        "--hosts",
        metavar="auto|ADDRESS:PORT,COUNT,NUMBER",
        help="one of several processes of a run: auto on SLURM and TPU pods, else the address of "
        "process 0, how many there are, and the number of this one",
    )
    add("--no-export", action="store_true", help="write no model.safetensors")


def run(arguments: argparse.Namespace) -> int:
    """Trains to the end or to SIGTERM; exit status 0 in both cases."""
    import jax

    from hvc_jax.ops.compile import keep_compiled_programs
    from hvc_jax.ops.files import exclusive
    from hvc_jax.training.config import load_config
    from hvc_jax.training.loop import train

    if arguments.hosts is not None:
        from hvc_jax.training.parallel import join

        join(arguments.hosts)
    keep_compiled_programs()
    config = load_config(arguments.config, arguments.overrides)
    # Two runs in one folder would mix their checkpoints and logs.
    first = jax.process_index() == 0
    lock = exclusive(arguments.workdir / ".lock", wait=False) if first else nullcontext()
    with lock:
        _, done = train(config, arguments.workdir)
    if not done:
        print(f"{arguments.workdir}: stopped; the same command goes on from here")
    elif not arguments.no_export and jax.process_index() == 0:
        from hvc_jax.cli.export import describe
        from hvc_jax.training.export import export_run

        for lmbda in config.loss.lmbdas or (None,):
            name = "model" if lmbda is None else f"model-lmbda_{lmbda:g}"
            out = arguments.workdir / f"{name}.safetensors"
            print(describe(export_run(arguments.workdir, out, lmbda=lmbda)))
    return 0
