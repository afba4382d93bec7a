"""`hvc evaluate`: codes a folder of clips, measures what a fresh process decodes."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hvc_jax.commands.evaluation_run import Settings

_EXAMPLE = """\
examples:
  hvc evaluate clips/ --output results/
  hvc evaluate clips/ --output results/ --frames 64 --key-qp 27 32 37 --variants semantic
  hvc evaluate clips/ --output results/ --every 16 --anchors vvc av1

Every rate is the size of a file that was decoded back. "hold" shows the coded key picture for the
whole clip and counts its bytes alone: what sending no motion at all gives. The command goes on from
where it stopped. Results: results.csv, means.csv, sheets/*.png, streams/*.hvc.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the parser of this command."""
    parser = subparsers.add_parser(
        "evaluate",
        description="Codes every clip of a folder with every variant and key picture QP.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("clips", type=Path, help="folder of video files")
    parser.add_argument("--output", type=Path, required=True, help="folder of the results")
    parser.add_argument(
        "--variants", nargs="+", choices=("semantic", "implicit"), default=["semantic", "implicit"]
    )
    parser.add_argument("--models", type=Path, help="folder with VARIANT.safetensors")
    parser.add_argument("--key-qp", type=int, nargs="+", default=[32], metavar="QP")
    parser.add_argument("--frames", type=int, default=64, help="of each clip (default: 64)")
    parser.add_argument("--size", type=int, default=256, help="side in pixels (default: 256)")
    parser.add_argument("--fit", choices=("crop", "pad"), default="crop")
    parser.add_argument("--effort", type=int, choices=range(4), default=1, help="of the body fit")
    parser.add_argument(
        "--every", type=int, default=8, metavar="N", help="frames between those that MS-SSIM and "
        "LPIPS look at (default: 8)"
    )  # fmt: skip
    parser.add_argument("--no-lpips", action="store_true", help="leave LPIPS out, the slowest")
    parser.add_argument(
        "--anchors", nargs="+", default=[], choices=("vvc", "hevc", "av1"),
        help="conventional codecs at the rate nearest to the first variant's"
    )  # fmt: skip
    parser.add_argument("--clip-count", type=int, metavar="N", help="evenly spaced clips only")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluates and prints the means."""
    if not arguments.clips.is_dir():
        raise ValueError(f"{arguments.clips}: no such folder; name one with video files")
    if not arguments.output.parent.is_dir():
        raise ValueError(
            f"{arguments.output}: the folder {arguments.output.parent} does not exist; create it"
        )
    clips = find_clips(arguments.clips, arguments.clip_count)
    if arguments.frames < 2 or arguments.every < 1:
        raise ValueError("--frames is at least 2 and --every at least 1")

    from hvc_jax.codec import check_side
    from hvc_jax.commands.evaluation_run import Settings, evaluate

    check_side("--size", arguments.size)
    settings = Settings(
        output=arguments.output,
        variants=tuple(arguments.variants),
        models=arguments.models,
        key_qps=tuple(arguments.key_qp),
        frames=arguments.frames,
        size=arguments.size,
        fit=arguments.fit,
        effort=arguments.effort,
        every=arguments.every,
        learned=not arguments.no_lpips,
        anchors=tuple(arguments.anchors),
    )
    arguments.output.mkdir(exist_ok=True)
    _check_same_settings(settings)
    print(evaluate(clips, settings, quiet=arguments.quiet))
    return 0


def find_clips(folder: Path, count: int | None = None) -> list[Path]:
    """The video files of a folder in order of name, or `count` of them, evenly spaced.

    Raises:
        ValueError: There is none, or two share a name.
    """
    endings = {".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".mpg", ".gif", ".y4m"}
    clips = sorted(p for p in folder.iterdir() if p.suffix.lower() in endings)
    if not clips:
        raise ValueError(f"{folder}: holds no video file; name a folder of clips")
    if len({clip.stem for clip in clips}) < len(clips):
        raise ValueError(f"{folder}: two clips differ in their ending only; rename one")
    if count is None or count >= len(clips):
        return clips
    if count < 1:
        raise ValueError("--clip-count is at least 1")
    return [clips[i * len(clips) // count] for i in range(count)]


def _check_same_settings(settings: "Settings") -> None:
    """Refuses to mix results of different settings in one folder."""
    path = settings.output / "settings.json"
    record = settings.fixed()
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [name for name in record if before.get(name) != record[name]]
        if changed:
            raise ValueError(
                f"{settings.output}: holds results with other {', '.join(changed)}; "
                "use another --output"
            )
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
