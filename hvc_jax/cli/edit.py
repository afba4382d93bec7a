"""`hvc edit`: changes the numbers inside a stream, never its pictures. Imports no jax."""

import argparse
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

from hvc_jax.body.driving import SUFFIXES, load_drive
from hvc_jax.models.find import read_stream, stream_reader, tables_of_stream
from hvc_jax.stream.edit import edit, read_tracks
from hvc_jax.stream.header import Header
from hvc_jax.stream.operations import Operation, fit_length, parse_assignment, parse_frames
from hvc_jax.stream.tables import CodingTables

_EXAMPLE = """\
examples:
  hvc edit in.hvc out.hvc --set head_yaw+=20deg
  hvc edit in.hvc out.hvc --set left_elbow_z=-0.8 --frames 30:90 --ease 10
  hvc edit in.hvc out.hvc --freeze head --smooth camera 4
  hvc edit in.hvc out.hvc --retarget other.hvc
  hvc edit in.hvc out.hvc --retarget walk.bvh

A parameter is a name that `hvc inspect` shows (head_y), an alias (head_yaw, head_pitch,
head_roll), a joint (head) or '*'. Angles are radians unless written with deg: head_yaw+=20deg.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the parser of this command."""
    parser = subparsers.add_parser(
        "edit",
        description="Changes parameters of a semantic stream. Key frames keep their bytes.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", type=Path, help="stream, or - for a pipe")
    parser.add_argument("output", type=Path, help="edited stream, or - for a pipe")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME{=,+=,-=,*=}VALUE",
        dest="assignments",
        help="set, add to, subtract from or scale a parameter; may be repeated",
    )
    parser.add_argument(
        "--freeze", action="append", default=[], metavar="NAME", help="hold at the first frame"
    )
    parser.add_argument(
        "--smooth",
        action="append",
        nargs=2,
        default=[],
        metavar=("NAME", "FRAMES"),
        help="Gaussian of this standard deviation",
    )
    parser.add_argument(
        "--retarget", type=Path, metavar="FILE",
        help="take the motion of another stream, of motion capture (.bvh) or of a file of bodies: "
        "what it moves since its first frame, added to the pose of the key picture",
    )  # fmt: skip
    parser.add_argument(
        "--absolute", action="store_true", help="--retarget takes its poses as they are"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--loop", action="store_true", help="--retarget repeats it where it is shorter"
    )
    length.add_argument(
        "--stretch", action="store_true", help="--retarget makes it as long as the stream"
    )
    parser.add_argument(
        "--person", type=int, metavar="N", help="which of several people in a file of bodies"
    )
    parser.add_argument("--frames", default=":", metavar="FROM:TO", help="where; TO is left out")
    parser.add_argument(
        "--ease", type=int, default=0, metavar="N", help="frames to fade in and out at the range"
    )
    parser.add_argument("--model", type=Path, help="model file (default: found by its id)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Edits the stream and prints what changed."""
    from hvc_jax.ops.files import check_output, write_bytes

    path = arguments.input
    first, last = parse_frames(arguments.frames)
    span = {"first": first, "last": last, "ease": arguments.ease}
    operations = [parse_assignment(text, **span) for text in arguments.assignments]
    operations += [Operation("freeze", (name,), **span) for name in arguments.freeze]
    operations += [
        Operation("smooth", (name,), _frames_of(sigma), **span) for name, sigma in arguments.smooth
    ]
    if not operations and arguments.retarget is None:
        raise ValueError("nothing to do; give --set, --freeze, --smooth or --retarget")
    inputs = (path,) if arguments.retarget is None else (path, arguments.retarget)
    said, to_pipe = "", str(arguments.output) == "-"
    if not to_pipe:
        check_output(arguments.output, inputs=inputs, suffixes=(".hvc",))
    before = read_stream(path)
    with stream_reader(before, path) as reader:
        for _ in reader.units():
            pass  # the whole stream, so that damage is told with the file's name
    header = reader.header
    if header.variant == "keypoint" and arguments.retarget is None:
        raise ValueError(
            f"{path}: a keypoint stream has no named parameters; encode with --variant hybrid"
        )
    tables = tables_of_stream(header, path, arguments.model)
    if arguments.retarget is not None:
        with stream_reader(before, path):
            frames = len(read_tracks(before, tables, keep_units=False).values)
        retarget, said = _retarget(arguments, header, tables, span, frames)
        operations.insert(0, retarget)
    after = edit(before, operations, tables)
    if to_pipe:
        sys.stdout.buffer.write(after)
    else:
        write_bytes(arguments.output, after)
    notes = "; ".join(operation.describe() for operation in operations) + said
    print(
        f"{arguments.output}: {notes}; {len(before)} -> {len(after)} bytes, key frames untouched",
        file=sys.stderr if to_pipe else sys.stdout,
    )
    return 0


def _retarget(
    arguments: argparse.Namespace, header: Header, tables: CodingTables, span: dict, frames: int
) -> tuple[Operation, str]:
    """The motion of another stream, or of a file of bodies, and what was done to its length."""
    other = arguments.retarget
    if other.suffix.lower() in SUFFIXES:
        names = [slot.name for slot in tables.schema.dynamic]
        drive = load_drive(other, names, float(header.fps), arguments.person)
        print(*drive.notes, sep="\n", end="\n" * bool(drive.notes), file=sys.stderr)
        source, said = _fitted(arguments, drive.values, Fraction(1), frames)
        absolute = arguments.absolute
        return Operation("retarget", drive.moved, source=source, absolute=absolute, **span), said
    data = read_stream(other)
    with stream_reader(data, other) as reader:
        other_tables = tables_of_stream(reader.header, other, arguments.model)
        source = read_tracks(data, other_tables, keep_units=False).values
    source, said = _fitted(arguments, source, reader.header.fps / header.fps, frames)
    return Operation("retarget", source=source, absolute=arguments.absolute, **span), said


def _fitted(
    arguments: argparse.Namespace, source: np.ndarray, speed: Fraction, frames: int
) -> tuple[np.ndarray, str]:
    """The source's values for every frame of the range that is edited, and what was done."""
    first, last = parse_frames(arguments.frames)
    wanted = max(min(last or frames, frames) - first, 1)
    how = "loop" if arguments.loop else "stretch" if arguments.stretch else "hold"
    if not len(source):
        raise ValueError(f"{arguments.retarget}: has no frames; give another file")
    fitted, lasts = fit_length(source, wanted, how, float(speed)), len(source) / float(speed)
    if how == "stretch":
        said = f" ({len(source)} frames stretched to {wanted})"
    elif lasts < wanted:
        done = "repeated" if how == "loop" else "the last is held, --loop repeats"
        said = f" ({lasts:.0f} frames for {wanted}: {done}, --stretch slows)"
    else:
        said = f" (the first {wanted} of {lasts:.0f} frames)" if lasts > wanted else ""
    return fitted, said


def _frames_of(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--smooth takes a number of frames, got {text!r}") from None
