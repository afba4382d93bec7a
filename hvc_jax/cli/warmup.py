"""`hvc warmup`: compiles what encoding and decoding need, so that they start at once."""

import argparse
import io
import time
from pathlib import Path

from hvc_jax.cli.options import add_memory_option, keep_programs

DESCRIPTION = "Compiles the programs of encode and decode once, and keeps them on disk."
EXAMPLES = """\
examples:
  hvc warmup                              the default variant at 256x256
  hvc warmup --variant keypoint --size 384

Programs are kept in $XDG_CACHE_HOME/hvc_jax/programs, for this machine and this version of jax.
They serve clips of every length, but for those of displacement fields, which are compiled for
groups of 8, 16, 32, 64 or 128 frames: a first clip of another length takes some seconds more.
"""


_FRAMES = 12
"""More than one batch of the networks, so that short batches are met as well."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    add = parser.add_argument
    add(
        "--variant",
        choices=("hybrid", "field", "semantic", "keypoint", "implicit"),
        nargs="+",
        default=["hybrid"],
        help="(default: hybrid)",
    )
    add("--size", type=int, nargs="+", default=[256], help="sides in pixels (default: 256)")
    add("--effort", type=int, choices=range(4), default=1, help="(default: 1)")
    add("--model", type=Path, help="model file (default: the one that is shipped)")
    add_memory_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Codes a few frames of a rendered person for every variant and size."""
    from hvc_jax.codec.load import codec_of_variant
    from hvc_jax.codec.options import EncodeOptions, check_side
    from hvc_jax.synth.people import render_clip

    for size in arguments.size:
        check_side("--size", size)
    keep_programs(quiet=True)
    options = EncodeOptions(effort=arguments.effort)
    for size in arguments.size:
        print(f"rendering a person at {size}x{size}", flush=True)
        frames = render_clip(0, _FRAMES, size, framing="hips").frames
        for variant in arguments.variant:
            started = time.perf_counter()
            print(f"{variant} at {size}x{size}: compiling ...", flush=True)
            codec = codec_of_variant(variant, arguments.model, arguments.max_memory)
            stream = io.BytesIO()
            codec.encode(iter(frames), stream, fps=25, options=options)
            stream.seek(0)
            count = sum(1 for _ in codec.decode(stream))
            seconds = time.perf_counter() - started
            print(f"{variant} at {size}x{size}: {count} frames coded, {seconds:.0f} s", flush=True)
    return 0
