"""`hvc encode`: a video file to a stream."""

import argparse
import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from hvc_jax.cli.options import add_memory_option, add_picture_options, keep_programs
from hvc_jax.models.find import is_pipe
from hvc_jax.ops.progress import CountedFile, Progress

DESCRIPTION = """\
Codes a video of one person. Input is anything that ffmpeg reads, with any frame rate, which
is kept; other shapes than square are cropped or padded."""
EXAMPLES = """\
examples:
  hvc encode in.mp4 out.hvc
  hvc encode in.mp4 out.hvc --kbps 10
  hvc encode in.mp4 out.hvc --variant keypoint --key-qp 37 --size 384 --fit pad
  hvc encode in.mp4 out.hvc --body-params smplx.npz
  hvc encode long.mkv out.hvc --key-every 250 --start 100 --frames 1000
  hvc encode frames/ out.hvc --fps 25                  pictures, in order of their numbers
  ffmpeg -i in.mp4 -f matroska -c copy - | hvc encode - - | ssh far "cat > out.hvc"
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    add = parser.add_argument
    add(
        "input",
        type=Path,
        help="video file, - for a pipe, a folder of pictures, or a pattern of their names as "
        "frames/%%06d.png or 'frames/*.png'",
    )
    add("output", type=Path, help="stream to write, ending in .hvc, or - for a pipe")
    add(
        "--variant",
        choices=("hybrid", "field", "semantic", "keypoint", "implicit"),
        default="hybrid",
        help="motion model (default hybrid): hybrid, field between sparse key pictures with the "
        "parameters of a body beside it; field, without a body; semantic, keypoint and "
        "implicit, one key picture moved by a model",
    )
    add_picture_options(parser)
    add(
        "--key-qp",
        type=int,
        help="quality, 0 (finest) to 63 (default: 42 for hybrid and field, else 32)",
    )
    add(
        "--kbps", dest="target_kbps", type=float, default=0.0, metavar="KBPS",
        help="rate to be met, by hybrid and field"
    )  # fmt: skip
    add(
        "--bytes", dest="target_bytes", type=int, default=0, metavar="BYTES",
        help="size of the stream without sound, by hybrid and field"
    )  # fmt: skip
    add(
        "--lmbda",
        type=float,
        default=0.0,
        help="squared error of a frame (mean, 8-bit steps) that a bit is worth, for hybrid and "
        "field; key QP and spacing follow",
    )
    add(
        "--key-spacing",
        type=int,
        default=0,
        metavar="N",
        help="frames between predicted key pictures of hybrid and field (default: chosen)",
    )
    add(
        "--lookahead",
        type=int,
        choices=(0,),
        help="0: every frame's bytes leave when it came, for hybrid and field (default: a segment "
        "of at most 256 frames is coded together)",
    )
    add("--key-every", type=int, default=0, metavar="N", help="a key frame every N frames")
    add("--no-cuts", dest="cuts", action="store_false", help="no key frames at scene cuts")
    add(
        "--group-frames",
        type=int,
        default=256,
        metavar="N",
        help="frames a motion unit; 1 for the lowest delay (default: 256)",
    )
    add(
        "--resync-groups",
        type=int,
        default=0,
        metavar="N",
        help="every N motion units one that decodes without those before it (default: never)",
    )
    add(
        "--key-codec",
        choices=("auto", "vvc", "av1"),
        default="auto",
        help="of key pictures; auto is VVC where the machine has it (default: auto)",
    )
    add("--quantiser", type=int, default=64, help="steps of the parameters, in 1/64 (default: 64)")
    add(
        "--no-hold",
        dest="hold",
        action="store_false",
        help="send motion also where the key picture alone is closer to the frame",
    )
    add(
        "--quality",
        "--effort",
        dest="effort",
        default="good",
        metavar="{fast,good,best}",
        help="how long to search, or its number from 0 to 3: fast is 0, good 1, best 2; of fields, "
        "of the body fit and of cheap levels; with one key picture 2 and 3 also polish what is "
        "sent through the decoder, a second or more a frame (default: good)",
    )
    add("--model", type=Path, help="model file (default: the one that is shipped)")
    add_memory_option(parser)
    add("--start", type=int, default=0, help="frames to skip (default: %(default)s)")
    add("--frames", type=int, help="most frames to code (default: all)")
    add(
        "--fps",
        type=_rate,
        metavar="N",
        help="frames a second, as 25, 29.97 or 30000/1001: of pictures (default: 25), or to which "
        "a video is brought by its times (default: its own rate)",
    )
    add(
        "--audio-kbps",
        type=_audio_rate,
        default=8.0,
        metavar="N",
        help="rate of the sound, as Opus, 6 to 256, or 0 to leave it out (default: 8, where there "
        "is sound); --kbps and --bytes are without it",
    )
    add(
        "--body-params",
        type=Path,
        metavar="FILE",
        help="bodies of the coded frames, instead of estimating them: a file of hvc fit, motion "
        "capture (.bvh), or SMPL, SMPL-H or SMPL-X parameters as estimators and AMASS write them; "
        "their cameras are those of the whole picture. Look at them first: hvc fit --body-params",
    )
    add(
        "--person", type=int, metavar="N",
        help="which of several people in that file (default: the main one)",
    )  # fmt: skip
    add(
        "--body", type=Path, metavar="FILE",
        help="the SMPL, SMPL-H or SMPL-X model that --body-params are of; see hvc fit",
    )  # fmt: skip
    add("--quiet", action="store_true", help="no progress bar")


def _audio_rate(text: str) -> float:
    from hvc_jax.data.sound import MAX_KBPS, MIN_KBPS

    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if rate and not MIN_KBPS <= rate <= MAX_KBPS:
        raise argparse.ArgumentTypeError(
            f"{text!r}: give {MIN_KBPS} to {MAX_KBPS} kbps, or 0 for no sound"
        )
    return rate


def _effort(text: str) -> int:
    names = {"fast": 0, "good": 1, "best": 2, "0": 0, "1": 1, "2": 2, "3": 3}
    if text not in names:
        raise ValueError(f"--quality is {text!r}; use fast, good, best, or 0 to 3")
    return names[text]


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not Fraction(1, 1000) <= rate <= 60000:
        raise argparse.ArgumentTypeError(f"{text!r} is no frame rate; write 25 or 30000/1001")
    usual = Fraction(round(rate * 1001, -3), 1001)  # 29.97 means 30000/1001
    rate = usual if "." in text and abs(usual / rate - 1) < 2e-4 else rate
    return rate.limit_denominator(1001)


def run(arguments: argparse.Namespace) -> int:
    """Codes the clip and prints what became of it."""
    from hvc_jax.data.clips import open_clip
    from hvc_jax.ops.files import check_output
    from hvc_jax.stream.rates import kbps

    to_pipe = is_pipe(arguments.output)
    if str(arguments.output) != "-":
        check_output(arguments.output, inputs=(arguments.input,), suffixes=(".hvc",))
    clip, frames = open_clip(
        arguments.input,
        arguments.size,
        arguments.fit,
        arguments.start,
        arguments.frames,
        fps=arguments.fps,
        audio_kbps=arguments.audio_kbps,
    )
    bodies = None
    if arguments.body_params:
        from hvc_jax.body.assets import load_body
        from hvc_jax.body.parameter_cameras import View
        from hvc_jax.body.parameter_files import load_parameters

        found = load_parameters(
            arguments.body_params, view=View(clip.width, clip.height, arguments.fit),
            frames=clip.frames or None, fps=float(clip.fps), start=arguments.start,
            person=arguments.person,
            body=None if arguments.body is None else load_body(str(arguments.body)),
        )  # fmt: skip
        bodies = found.bodies
        print(*found.notes, sep="\n", end="\n" * bool(found.notes), file=sys.stderr)

    # Only now, so that a wrong path is reported before seconds of loading.
    from hvc_jax.codec.load import codec_of_variant
    from hvc_jax.codec.options import EncodeOptions, Source, check_side
    from hvc_jax.codec.rate import missed
    from hvc_jax.pose.confidence import DOUBT

    check_side("--size", arguments.size)
    keep_programs(arguments.quiet)
    arguments.effort = _effort(arguments.effort)
    names = {field.name for field in dataclasses.fields(EncodeOptions)}
    options = EncodeOptions(**{k: v for k, v in vars(arguments).items() if k in names})
    codec = codec_of_variant(arguments.variant, arguments.model, max_memory=arguments.max_memory)
    if bodies is not None and arguments.variant not in ("hybrid", "semantic"):
        raise ValueError(
            f"--body-params {arguments.body_params}: the {arguments.variant} variant sends no "
            "bodies; leave it out, or use --variant hybrid"
        )
    with_field = arguments.variant in ("hybrid", "field")
    if (arguments.target_bytes or arguments.target_kbps or arguments.lmbda) and not with_field:
        raise ValueError(
            "--bytes, --kbps and --lmbda are for --variant hybrid and field; use --key-qp"
        )
    if arguments.lookahead is not None and not with_field:
        raise ValueError("--lookahead is for --variant hybrid and field; use --group-frames 1")
    source = Source.made_square(clip.width, clip.height, arguments.fit, clip.notes)
    total = min(max(clip.frames - arguments.start, 0), arguments.frames or clip.frames)
    started, confidence = time.perf_counter(), []
    with (
        Progress(total, "frames", arguments.quiet) as shown,
        _output(arguments.output, shown) as file,
    ):
        codec.encode(
            file.counted(frames),
            file,
            fps=clip.fps,
            options=options,
            source=source,
            frame_count=total if arguments.target_bytes and total else None,
            bodies=bodies,
            confidence=confidence,
            sound=clip.sound,
        )
        size = file.size
    count = len(confidence)
    seconds = time.perf_counter() - started
    heard = ""
    if clip.sound is not None:
        rate = kbps(clip.sound.written, count, clip.fps)
        heard = f" ({rate:.2f} of them sound, {clip.sound.written} bytes)"
    print(
        f"{arguments.output}: {count} frames of {arguments.size}x{arguments.size} at "
        f"{float(clip.fps):.5g} frames/s, {size} bytes, {kbps(size, count, clip.fps):.2f} kbps"
        f"{heard}; {source.describe()}; {count / seconds:.1f} frames/s",
        file=sys.stderr if to_pipe else sys.stdout,
    )
    target = arguments.target_bytes or arguments.target_kbps * 1000 / 8 * count / float(clip.fps)
    if note := missed(size, target):
        print(f"note: {arguments.output}: {note}", file=sys.stderr)
    for note in clip.notes:
        print(f"note: {arguments.input}: {note}", file=sys.stderr)
    if doubtful := sum(trust < DOUBT for trust in confidence):
        print(
            f"{doubtful} of {count} frames show no person whose body can surely be followed, and "
            "stand still where that is better; look at hvc fit --overlay, or give --body-params",
            file=sys.stderr,
        )
    return 0


@contextlib.contextmanager
def _output(path: Path, shown: Progress) -> Iterator[CountedFile]:
    """What the stream is written to: the standard output for "-", else a file, whole or absent."""
    from hvc_jax.ops.files import atomic_path

    if str(path) == "-":
        yield CountedFile(sys.stdout.buffer, shown)
        return
    if is_pipe(path):
        with path.open("wb") as file:
            yield CountedFile(file, shown)
        return
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        yield CountedFile(file, shown)
