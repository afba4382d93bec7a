"""`hvc sweep`: trains every run of an experiment, here or on SLURM."""

import argparse
import shlex
import signal
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Trains every run of an experiment. The exit status is 1 if any failed. sweep.py and the
configurations that it names are Python programs and are run."""
EXAMPLES = """\
examples:
  hvc sweep experiments/010_lambda_sweep --jobs 2
  hvc sweep experiments/010_lambda_sweep --dry-run
  hvc sweep experiments/010_lambda_sweep --slurm timeout_min=600 slurm_partition=gpu gpus_per_node=8

experiments/NAME/sweep.py holds a table RUNS = {name: {"config": "configs/semantic.py:size=tiny",
"loss.lmbda": 4, ...}}. Each run trains in WORKDIR/name, with its output in log.txt there. Call it
again after a crash: finished runs are skipped, others go on from their checkpoints.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    add = parser.add_argument
    add("experiment", type=Path, help="folder with a sweep.py")
    add("--workdir", type=Path, help="takes a folder for each run; default: runs/EXPERIMENT")
    add("--only", nargs="+", metavar="RUN", help="these runs alone")
    add("--jobs", type=int, default=1, help="runs side by side on this machine")
    add("--dry-run", action="store_true", help="print the commands, run none")
    add(
        "--slurm",
        nargs="*",
        metavar="NAME=VALUE",
        help="queue the runs on SLURM through submitit, with these parameters of it",
    )


def run(arguments: argparse.Namespace) -> int:
    """Trains what is not finished; 1 if a run failed."""
    from hvc_jax.ops.slurm import slurm_option
    from hvc_jax.training import sweep

    if arguments.jobs < 1:
        raise ValueError(f"--jobs {arguments.jobs}: give 1 or more")
    workdir = arguments.workdir or Path("runs") / arguments.experiment.resolve().name
    runs = sweep.load_runs(arguments.experiment, workdir)
    if arguments.only:
        unknown = set(arguments.only) - {run.name for run in runs}
        if unknown:
            names = ", ".join(run.name for run in runs)
            raise ValueError(f"no run {', '.join(sorted(unknown))}; there are {names}")
        runs = [run for run in runs if run.name in arguments.only]
    if arguments.dry_run:
        for one in runs:
            print(shlex.join(one.command))
        return 0
    states = {one: one.state() for one in runs}
    failed = []
    for one, state in states.items():
        if state == "finished":
            print(f"{one.name}: finished before")
        elif state == "changed":
            print(f"{one.name}: was run with other settings; remove {one.workdir} to run it again")
            failed.append(one.name)
    due = [one for one, state in states.items() if state in ("new", "started", "failed")]
    if arguments.slurm is not None:
        options = dict(slurm_option(text) for text in arguments.slurm)
        outcomes = sweep.run_on_slurm(due, workdir / "slurm", options)
    else:
        outcomes = sweep.run_locally(due, arguments.jobs)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        for one, status in outcomes:
            state = one.state()
            if state == "finished":
                print(f"{one.name}: finished", flush=True)
            else:
                why = f"failed with status {status}" if status else "stopped before its end"
                print(f"{one.name}: {why}; see {one.workdir / sweep.LOG}", flush=True)
                failed.append(one.name)
    finally:
        outcomes.close()
        signal.signal(signal.SIGTERM, before)
    print(f"{len(runs) - len(failed)} of {len(runs)} runs finished")
    return 1 if failed else 0


def _interrupt(signum: int, frame: Any) -> None:
    """SIGTERM ends a sweep as ^C does: the runs are told to save themselves."""
    raise KeyboardInterrupt
