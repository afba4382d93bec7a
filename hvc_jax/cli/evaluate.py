"""`hvc evaluate`: codes a folder of clips, measures what a fresh process decodes."""

import argparse
import functools
import json
import sys
from pathlib import Path

from hvc_jax.cli.options import add_picture_options, add_slurm_options, keep_programs

DESCRIPTION = "Codes every clip of a folder with every model at every rate point."
EXAMPLES = """\
examples:
  hvc evaluate --clips clips/ --out results/
  hvc evaluate --model a.safetensors runs/b/model.safetensors --clips clips/ --out results/ \\
      --key-qp 22,32,42,52 --anchors vvc,vvc-ld,vvc-half,hevc,av1 --jobs 2
  hvc evaluate --clips clips/ --out results/ --scores psnr,lpips_vgg,dists,akd,mkr \\
      --mask-net selfie.tflite --pose-net movenet.tflite --dists-weights weights.pt
  hvc evaluate --model field hybrid --clips clips/ --out results/ --axes bytes=1500,3000,5000 \\
      lmbda=.05,.2,.8 quantiser=32,64,128 --manifest manifest.csv
  hvc evaluate --clips clips/ --out results/ --shards 16 --slurm timeout_min=120 cpus_per_task=4

Every rate is the size of a file that was decoded back. Always beside the models: "hold" shows the
coded key picture for the whole clip and counts its bytes alone, which is what sending no motion at
all gives; "uncompressed key" is the best that holding can be. What was measured before is not done
again, so the command goes on from where it stopped, and points can be added later. Results:
results.csv (a row for each clip and rate point), run.json, streams/, strips/, anchors/, and what
`hvc report` makes of them. experiments/README.md has the protocol.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    add = parser.add_argument
    add("--clips", type=Path, required=True, help="folder of video files")
    add("--out", type=Path, required=True, help="folder of the results")
    add(
        "--model", nargs="*", default=["semantic", "keypoint"], metavar="M",
        help="model files, or the names of shipped ones (default: semantic keypoint); without a "
        "name the anchors and hold alone, to which models can be added later"
    )  # fmt: skip
    add(
        "--key-qp", nargs="+", default=["32"], metavar="QP",
        help="of the key picture; each is a rate point (default: 32; the protocol has 22,32,42,52)"
    )  # fmt: skip
    add(
        "--axes", nargs="+", default=[], metavar="NAME=V,V",
        help="further curves, named MODEL-NAME: bytes=1500,3000 and lmbda=.05,.2 (models field and "
        "hybrid), quantiser=32,128 at the middle key QP (models with parameters), no_hold at every "
        "key QP (semantic, keypoint)"
    )  # fmt: skip
    add(
        "--anchors", nargs="+", default=[], metavar="NAME",
        help="vvc, vvc-ld, hevc, av1; with -half, coded at half the size and enlarged; and upper "
        "bounds that are no codecs, at each --key-qp: flow-oracle (the coded key picture warped by "
        "optical flow that costs nothing), flow-oracle-sparse (a key picture every 8 frames)"
    )  # fmt: skip
    add(
        "--anchor-qp", nargs="+", default=[], metavar="NAME=QP,QP",
        help="other quality settings for an anchor than the protocol's"
    )  # fmt: skip
    add(
        "--anchor-effort",
        choices=("fast", "good", "best"),
        default="best",
        help="how long they search (default: best)",
    )
    add("--frames", type=int, default=64, help="of each clip (default: 64)")
    add_picture_options(parser)
    add("--effort", type=int, choices=range(4), default=1, help="of the body fit")
    add("--clip-count", type=int, metavar="N", help="evenly spaced clips only")
    add("--jobs", type=int, default=1, help="clips side by side (default: 1)")
    add_slurm_options(parser)
    add(
        "--manifest", type=Path, metavar="CSV",
        help="with the columns name (of the file) and kind (talk, sign, exercise, dance, walk); "
        "the report then has a table by kind"
    )  # fmt: skip
    add_score_options(parser)
    add("--json", action="store_true", help="print the means as a JSON list")
    add("--quiet", action="store_true", help="no progress bar")


def add_score_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say what is measured."""
    group = parser.add_argument_group("scores")
    group.add_argument(
        "--scores", nargs="+", default=[], metavar="NAME",
        help="psnr, ssim, ms_ssim, lpips_vgg, lpips_alex, dists, dists_256, vmaf, flicker, akd, "
        "mkr; all but the last two also with body_ or face_ before them (default: all that can be "
        "computed here)"
    )  # fmt: skip
    group.add_argument(
        "--every", type=int, default=8, metavar="N", help="frames between those that all scores "
        "but PSNR, VMAF and flicker look at (default: 8)"
    )  # fmt: skip
    group.add_argument("--dists-weights", type=Path, help="alpha and beta of DISTS (weights.pt)")
    group.add_argument("--mask-net", type=Path, help=".tflite that masks persons, for body scores")
    group.add_argument(
        "--pose-net",
        type=Path,
        help="MoveNet (.tflite), or PoseNet or BodyPix (.onnx), for AKD, MKR and face scores",
    )


def run(arguments: argparse.Namespace) -> int:
    """Evaluates, writes the report and prints its first table."""
    if not arguments.clips.is_dir():
        raise ValueError(f"{arguments.clips}: no such folder; name one with video files")
    if not arguments.out.parent.is_dir():
        raise ValueError(
            f"{arguments.out}: the folder {arguments.out.parent} does not exist; create it"
        )
    clips = find_clips(arguments.clips, arguments.clip_count)
    if arguments.frames < 2 or min(arguments.every, arguments.jobs, arguments.shards) < 1:
        raise ValueError("--frames is at least 2, --every, --jobs and --shards at least 1")
    contents = contents_of(arguments.manifest, clips) if arguments.manifest else ()

    from hvc_jax.codec.options import check_side
    from hvc_jax.evaluation.flow_oracle import ORACLES
    from hvc_jax.evaluation.report import means_table, write_report
    from hvc_jax.evaluation.run import evaluate
    from hvc_jax.evaluation.scores import ScoreOptions, unavailable
    from hvc_jax.evaluation.settings import Settings, name_models, write_record
    from hvc_jax.evaluation.shards import evaluate_on_slurm
    from hvc_jax.ops.flow import require_opencv
    from hvc_jax.ops.slurm import slurm_option

    keep_programs(quiet=True)
    check_side("--size", arguments.size)
    names = items(arguments.scores)
    options = {"scores": tuple(names)} if names else {}
    for name in ("dists_weights", "mask_net", "pose_net"):
        path = getattr(arguments, name)
        if path is not None and not path.is_file():
            raise ValueError(f"{path}: no such file; check --{name.replace('_', '-')}")
        options[name] = path
    anchors = items(arguments.anchors)
    limits = tuple(row for name in anchors for row in ORACLES.get(name, ()))
    if limits:
        require_opencv()
    settings = Settings(
        out=arguments.out,
        models=name_models(arguments.model),
        key_qps=tuple(whole(item, "--key-qp") for item in items(arguments.key_qp)),
        anchors=anchor_points(
            [name for name in anchors if name not in ORACLES], arguments.anchor_qp
        ),
        axes=axes_of(arguments.axes),
        contents=contents,
        limits=limits,
        frames=arguments.frames,
        size=arguments.size,
        fit=arguments.fit,
        effort=arguments.effort,
        anchor_effort=arguments.anchor_effort,
        scores=ScoreOptions(every=arguments.every, **options),
    )
    for axis, _ in settings.axes:
        if not any(settings.has_axis(name, axis) for name, _ in settings.models):
            raise ValueError(f"--axes {axis}: no --model has it; add one, or leave it out")
    empty = unavailable(settings.scores, settings.size)
    for model, _ in settings.models:
        settings.export(model)  # one that is not there is said before anything is written
    arguments.out.mkdir(exist_ok=True)
    write_record(settings, clips, empty)
    for name, reason in empty.items():
        print(f"{name}: left empty. {reason}", file=sys.stderr)
    if arguments.slurm is None:
        evaluate(clips, settings, arguments.jobs, arguments.quiet)
    else:
        options = dict(slurm_option(text) for text in arguments.slurm)
        tell = functools.partial(print, file=sys.stderr)
        evaluate_on_slurm(
            clips, settings, arguments.shards, options, jobs=arguments.jobs, report=tell
        )
    averages = write_report(arguments.out)
    print(json.dumps(averages) if arguments.json else means_table(averages))
    return 0


def items(words: list[str]) -> list[str]:
    """The items of a list given with spaces or commas."""
    return [item for word in words for item in word.split(",") if item]


def whole(text: str, option: str) -> int:
    """A whole number of an option. Raises ValueError: It is none."""
    if not text.isdigit():
        raise ValueError(f"{option}: {text!r} is no whole number; write 22,32,42,52")
    return int(text)


def axes_of(words: list[str]) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """Further axes with their values, of "NAME=V,V" or "no_hold".

    Raises:
        ValueError: An axis is unknown, or a value no positive number (a whole one but for lmbda).
    """
    from hvc_jax.evaluation.settings import AXES

    axes: dict[str, tuple[float, ...]] = {}
    for word in words:
        name, _, values = word.partition("=")
        name = name.replace("-", "_")
        if name not in AXES or bool(items([values])) == (name == "no_hold"):
            raise ValueError(f"--axes {word}: write bytes=, lmbda=, quantiser=V,V, or no_hold")
        try:
            number = float if name == "lmbda" else int
            axes[name] = tuple(number(value) for value in items([values]))
        except ValueError:
            raise ValueError(f"--axes {word}: the values of {name} are numbers") from None
        if min(axes[name], default=1) <= 0:
            raise ValueError(f"--axes {word}: the values of {name} are above 0")
    return tuple(axes.items())


def anchor_points(names: list[str], others: list[str]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The anchors with their quality settings.

    `names`: of anchors; `others`: "NAME=QP,QP" for those that are not to have the protocol's.
    Raises ValueError: A name is unknown or not among the anchors.
    """
    from hvc_jax.evaluation.anchor_codecs import ANCHORS, default_qps
    from hvc_jax.evaluation.flow_oracle import ORACLES

    for name in names:
        if name not in ANCHORS:
            raise ValueError(f"no anchor {name!r}; use {', '.join((*ANCHORS, *ORACLES))}")
    points = {name: default_qps(name) for name in names}
    for word in others:
        name, equals, qps = word.partition("=")
        if not equals or name not in points:
            raise ValueError(f"--anchor-qp {word}: write NAME=QP,QP with one of --anchors")
        points[name] = tuple(whole(item, "--anchor-qp") for item in items([qps]))
    return tuple(points.items())


def contents_of(manifest: Path, clips: list[Path]) -> tuple[tuple[str, str], ...]:
    """What clips show, (clip, kind), by a manifest's columns name and kind; else ValueError."""
    import csv

    with manifest.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"name", "kind"} <= set(rows[0]):
        raise ValueError(f"{manifest} has no columns name and kind; name them in its first row")
    kinds = {Path(row["name"]).stem: row["kind"] for row in rows if row["name"] and row["kind"]}
    found = tuple((clip.stem, kinds[clip.stem]) for clip in clips if clip.stem in kinds)
    if not found:
        raise ValueError(f"{manifest} names none of the clips; its column name is that of the file")
    return found


def find_clips(folder: Path, count: int | None = None) -> list[Path]:
    """Video files of a folder by name, or `count`, evenly spaced; ValueError: none, or twins."""
    from hvc_jax.data.clips import INPUT_SUFFIXES

    clips = sorted(p for p in folder.iterdir() if p.suffix.lower() in INPUT_SUFFIXES)
    if not clips:
        raise ValueError(f"{folder}: holds no video file; name a folder of clips")
    if len({clip.stem for clip in clips}) < len(clips):
        raise ValueError(f"{folder}: two clips differ in their ending only; rename one")
    if count is None or count >= len(clips):
        return clips
    if count < 1:
        raise ValueError("--clip-count is at least 1")
    return [clips[i * len(clips) // count] for i in range(count)]
