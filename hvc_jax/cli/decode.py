"""`hvc decode`: streams to videos or folders of pictures."""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from hvc_jax.cli.options import add_memory_option, keep_programs
from hvc_jax.ops.progress import progress
from hvc_jax.stream.header import WITH_FIELD
from hvc_jax.stream.index import key_offsets
from hvc_jax.stream.operations import parse_frames
from hvc_jax.stream.sound import SoundQueue

if TYPE_CHECKING:
    from hvc_jax.codec.conceal import RepairingDecoder

DESCRIPTION = "Decodes a stream with the model that its header names."
EXAMPLES = """\
examples:
  hvc decode out.hvc out.mp4
  hvc decode out.hvc frames/              PNG pictures frames/000000.png, ...
  hvc decode a.hvc b.hvc decoded/         decoded/a/000000.png, ..., loading the model once
  hvc decode long.hvc part.mp4 --frames 300:420    from the nearest key frame on
  hvc decode damaged.hvc out.mp4 --conceal         what is lost is held
  hvc encode - - < in.mkv | hvc decode - out.mp4   frames are decoded as they come
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    add = parser.add_argument
    add("input", type=Path, nargs="+", help="streams; - is standard input")
    add(
        "output",
        help="video file (.mp4, .mkv, .mov, ...), a folder for PNG pictures, or - for Matroska on "
        "the standard output",
    )
    add("--model", type=Path, help="model file (default: found by its id)")
    add("--each", action="store_true", help="a folder per stream, even for a single one")
    add("--frames", default=":", metavar="FROM:TO", help="which frames; TO is left out")
    add("--conceal", action="store_true", help="hold what is lost of a damaged stream")
    add_memory_option(parser)
    add("--json", action="store_true", help="print one JSON object per stream")
    add("--quiet", action="store_true", help="no progress bar")


def run(arguments: argparse.Namespace) -> int:
    """Decodes every stream and prints what was written."""
    from hvc_jax.models.find import is_pipe, open_stream
    from hvc_jax.ops.files import check_folder, check_output

    inputs, output = arguments.input, Path(arguments.output)
    each = arguments.each or len(inputs) > 1
    video = _is_video(arguments.output)
    if video and each:
        raise ValueError(f"{output}: several streams need a folder; name one, as decoded/")
    if each and len({path.stem for path in inputs}) < len(inputs):
        raise ValueError(f"{output}: two streams have the same name; decode them one by one")
    first, last = parse_frames(arguments.frames)
    if last is not None and last <= first:
        raise ValueError(f"--frames {arguments.frames} selects nothing; write it like 30:90")
    if arguments.conceal and (first or last is not None):
        raise ValueError("--conceal decodes a whole stream; leave --frames out")
    if any(map(is_pipe, inputs)) and (each or arguments.conceal):
        pipe = next(filter(is_pipe, inputs))
        raise ValueError(f"{pipe}: a pipe brings one whole stream; write it to a file first")
    if video and str(output) != "-":
        check_output(output, inputs=tuple(inputs))
    elif not video and not each:
        check_folder(output)
    for path in [path for path in inputs if not is_pipe(path)]:
        with open_stream(path):
            pass  # all of them start well, before seconds of loading

    from hvc_jax.codec.load import AnyCodec, codec_of_stream, repairing_decoder
    from hvc_jax.codec.networks import BATCH
    from hvc_jax.data.video_output import takes_sound

    keep_programs(arguments.quiet)
    if each:
        output.mkdir(exist_ok=True)
    codecs: dict[tuple[str, bytes], AnyCodec] = {}
    for path in inputs:
        with open_stream(path, keep_sound=video) as reader:
            header, file = reader.header, reader.file
            kind = header.variant, header.model_id
            if kind not in codecs:
                codecs[kind] = codec_of_stream(
                    header, path, arguments.model, max_memory=arguments.max_memory
                )
            target = output / path.stem if each else output
            codec, repair, total = codecs[kind], None, header.frame_count
            if arguments.conceal:
                file.seek(0)
                repair = repairing_decoder(codec, file)
                source, total = repair.frames(), repair.frame_count
                sound = SoundQueue(repair.sound)
            else:
                if video and not is_pipe(path):
                    reader.find_sound()
                if first and not is_pipe(path):
                    reader.start_at(key_offsets(file, reader.header_size), first)
                source = codec.decode(reader, first, last)
                sound = SoundQueue(reader.sound, first / header.fps)
                if first or last is not None:
                    total = None
            # Fields come out of the decoder a unit at a time, so all of its time counts.
            clock = Clock(source, 0 if header.variant in WITH_FIELD else BATCH)
            frames = progress(clock, total, arguments.quiet)
            count = _write(target, frames, header.fps, video, first, sound)
        _report(target, count, clock, arguments.json, repair, header.fps)
        if video and sound.groups and not takes_sound(target):
            print(f"note: {target}: holds no Opus, sound was left out; use .mp4", file=sys.stderr)
    return 0


class Clock:
    """An iterator that measures the time its source takes, without what is done with the items.

    The first batch is left out: it stands for loading and compiling.
    """

    def __init__(self, items: Iterable, batch: int) -> None:
        self._items = iter(items)
        self._batch = batch
        self.count = 0
        self.first_seconds = self.seconds = 0.0  # of the first batch, and of all others

    def __iter__(self) -> Iterator:
        """Yields the items of the source."""
        while True:
            started = time.perf_counter()
            item = next(self._items, None)
            spent = time.perf_counter() - started
            if item is None:
                return
            self.count += 1
            if self.count <= self._batch:
                self.first_seconds += spent
            else:
                self.seconds += spent
            yield item

    @property
    def rate(self) -> float | None:
        """Items a second once everything is compiled; None for clips of one batch."""
        return (self.count - self._batch) / self.seconds if self.seconds else None


def _is_video(output: str) -> bool:
    """Whether an output is a video and no folder of pictures; refuses what is neither."""
    from hvc_jax.data.video_output import VIDEO_SUFFIXES
    from hvc_jax.ops.files import is_special

    path = Path(output)
    if output == "-" or is_special(path):
        return True
    if output.endswith("/") or path.is_dir() or not path.suffix:
        return False
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return True
    raise ValueError(
        f"{output}: cannot write {path.suffix}; name a video ({', '.join(VIDEO_SUFFIXES)}), or a "
        f"folder for pictures, as {path.stem}/"
    )


def _at_least_one(target: Path, frames: Iterable) -> Iterator:
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"{target} was not written: the stream has none of these frames")
    yield first
    yield from frames


def _write(
    target: Path, frames: Iterable, fps: Fraction, video: bool, first: int, sound: SoundQueue
) -> int:
    """Writes frames, as a video or as pictures numbered from `first` on; returns how many."""
    from hvc_jax.data.clips import write_video
    from hvc_jax.ops.files import atomic_folder

    if video:
        return write_video(target, frames, fps, sound=sound)
    from PIL import Image

    count, frames = 0, _at_least_one(target, frames)
    with atomic_folder(target) as folder:
        for frame in frames:
            Image.fromarray(frame).save(folder / f"{first + count:06d}.png", compress_level=1)
            count += 1
    return count


def _report(
    target: Path,
    count: int,
    clock: Clock,
    as_json: bool,
    repair: "RepairingDecoder | None",
    fps: Fraction,
) -> None:
    if as_json:
        record = {
            "output": str(target),
            "frames": count,
            "frames_per_second": clock.rate,
            "first_seconds": clock.first_seconds,
        }
        if repair is not None:
            record |= {"held_frames": len(repair.held), "lost_keys": repair.lost_keys}
        print(json.dumps(record), flush=True)
        return
    from hvc_jax.data.video_output import written_rate
    from hvc_jax.ops.files import is_special

    rate = f", {clock.rate:.1f} frames/s" if clock.rate else ""
    if repair is not None:
        rate += f", {len(repair.held)} of them held"
        if repair.lost_keys:
            rate += f", key pictures lost of frames {', '.join(map(str, repair.lost_keys))}"
    piped = str(target) == "-" or is_special(target)
    print(
        f"{target}: {count} frames{rate}, after {clock.first_seconds:.1f} s of preparation",
        file=sys.stderr if piped else sys.stdout,
    )
    if target.suffix and (written := written_rate(fps)) != fps:
        print(f"note: {target}: video files cannot hold {fps} frames/s; {written} was written")
