"""`hvc edit`: changes the numbers inside a stream, never its pictures. Imports no jax."""

import argparse
import sys
from pathlib import Path

from hvc_jax.models.find import read_stream, stream_reader, tables_of_stream
from hvc_jax.stream.edit import edit
from hvc_jax.stream.operations import Operation, parse_assignment, parse_frames, parse_operation
from hvc_jax.stream.tracks import read_tracks

DESCRIPTION = "Changes parameters of a semantic stream. Key frames keep their bytes."
EXAMPLES = """\
examples:
  hvc edit in.hvc out.hvc --set head_yaw+=20deg
  hvc edit in.hvc out.hvc --set left_elbow_z=-0.8 --frames 30:90 --ease 10
  hvc edit in.hvc out.hvc --freeze head --smooth camera 4
  hvc edit in.hvc out.hvc --set tall+=1
  hvc edit in.hvc out.hvc --retarget other.hvc
  hvc edit in.hvc out.hvc --retarget walk.bvh
  hvc edit in.hvc out.hvc --edit "add head_y 20deg 30:90 ease 10" --edit "copy head 17 100:"

A parameter is a name that `hvc inspect` shows (head_y), an alias (head_yaw, head_pitch,
head_roll, smile, blink), a joint (head) or '*'. Body shape (tall, slim, shape_0 to shape_9) and
other numbers that are sent with key pictures only are changed in the whole clip. Angles are
radians unless written with deg: head_yaw+=20deg.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    add = parser.add_argument
    add("input", type=Path, help="stream, or - for a pipe")
    add("output", type=Path, help="edited stream, or - for a pipe")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME{=,+=,-=,*=}VALUE",
        dest="assignments",
        help="set, add to, subtract from or scale a parameter; may be repeated",
    )
    add("--freeze", action="append", default=[], metavar="NAME", help="hold at the first frame")
    add(
        "--smooth",
        action="append",
        nargs=2,
        default=[],
        metavar=("NAME", "FRAMES"),
        help="Gaussian of this standard deviation",
    )
    add(
        "--retarget", type=Path, metavar="FILE",
        help="take the motion of another stream, of motion capture (.bvh) or of a file of bodies: "
        "what it moves since its first frame, added to the pose of the key picture",
    )  # fmt: skip
    add("--absolute", action="store_true", help="--retarget takes its poses as they are")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--loop", action="store_true", help="--retarget repeats it where it is shorter"
    )
    length.add_argument(
        "--stretch", action="store_true", help="--retarget makes it as long as the stream"
    )
    add("--person", type=int, metavar="N", help="which of several people in a file of bodies")
    add(
        "--edit",
        action="append",
        default=[],
        metavar="LINE",
        dest="lines",
        help="an edit with its own range, in the order given and after the others: KIND NAMES "
        "VALUE [FROM:TO] [ease N], of the kinds set, add, scale, freeze, copy, smooth",
    )
    add("--frames", default=":", metavar="FROM:TO", help="where; TO is left out")
    add("--ease", type=int, default=0, metavar="N", help="frames to fade in and out at the range")
    add("--model", type=Path, help="model file (default: found by its id)")


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
    operations += [parse_operation(line) for line in arguments.lines]
    if not operations and arguments.retarget is None:
        raise ValueError("nothing to do; give --set, --freeze, --smooth, --retarget or --edit")
    inputs = (path,) if arguments.retarget is None else (path, arguments.retarget)
    said, to_pipe = "", str(arguments.output) == "-"
    if not to_pipe:
        check_output(arguments.output, inputs=inputs, suffixes=(".hvc",))
    before = read_stream(path)
    with stream_reader(before, path) as reader:
        for _ in reader.units():
            pass  # the whole stream, so that damage is told with the file's name
    header = reader.header
    if header.variant in ("keypoint", "implicit") and arguments.retarget is None:
        raise ValueError(
            f"{path}: streams of the variant {header.variant} have no named parameters; "
            "encode with --variant hybrid"
        )
    tables = tables_of_stream(header, path, arguments.model)
    if arguments.retarget is not None:
        from hvc_jax.studio.transfer import Motion, retarget_operation  # reads motion with scipy

        with stream_reader(before, path):
            frames = len(read_tracks(before, tables, keep_units=False).values)
        how = "loop" if arguments.loop else "stretch" if arguments.stretch else "hold"
        motion = Motion(arguments.retarget, how, arguments.absolute, arguments.person)
        retarget, said = retarget_operation(motion, header, tables, frames, arguments.model, **span)
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


def _frames_of(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--smooth takes a number of frames, got {text!r}") from None
