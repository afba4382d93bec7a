"""Options that several commands have, in the same words."""

import argparse
import sys

from hvc_jax.codec.memory import DEFAULT_MAX_MEMORY, parse_memory


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Adds --size and --fit: how pictures are made square."""
    parser.add_argument("--size", type=int, default=256, help="side in pixels (default: 256)")
    parser.add_argument(
        "--fit", choices=("crop", "pad"), default="crop", help="cut the centre out, or pad"
    )


def add_slurm_options(parser: argparse.ArgumentParser) -> None:
    """Adds --slurm and --shards."""
    parser.add_argument(
        "--slurm", nargs="*", metavar="NAME=VALUE",
        help="queue jobs on SLURM through submitit, with these parameters, and merge what they make"
    )  # fmt: skip
    parser.add_argument(
        "--shards", type=int, default=8, metavar="N", help="jobs on SLURM at most (default: 8)"
    )


def add_page_options(parser: argparse.ArgumentParser, port: int) -> None:
    """Adds where a page is served, and whether it is opened."""
    add = parser.add_argument
    add("--port", type=int, default=port, help="of the page, or the next free one (%(default)s)")
    add(
        "--host", default="127.0.0.1",
        help="address to listen on; others than 127.0.0.1 let other machines in (%(default)s)"
    )  # fmt: skip
    add("--browse", action="store_true", help="open it in the default browser")


def add_memory_option(parser: argparse.ArgumentParser) -> None:
    """Adds the option that limits what the networks take."""
    parser.add_argument(
        "--max-memory",
        type=memory_of,
        default=DEFAULT_MAX_MEMORY,
        metavar="SIZE",
        help="most memory that drawing frames may take, as 500M or 16G, and about what coding "
        "fields may: fewer frames are drawn at once, or coded together, where it is little "
        "(default: 8G)",
    )


def keep_programs(quiet: bool = False) -> None:
    """Keeps compiled programs on disk, and says so the first time, when all have to be compiled."""
    from hvc_jax.ops.compile import keep_compiled_programs

    if keep_compiled_programs() and not quiet:
        print(
            "the first time, programs are compiled for this machine, which takes a minute or more; "
            "later runs find them (hvc warmup makes them beforehand)",
            file=sys.stderr,
            flush=True,
        )


def memory_of(text: str) -> int:
    """Bytes of an option such as "8G"."""
    try:
        return parse_memory(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
