"""`hvc data`: builds data sets from videos and from synthetic people, describes and times them."""

import argparse
import json
import os
import textwrap
from pathlib import Path
from typing import Any

from hvc_jax.cli.options import add_picture_options, add_slurm_options, keep_programs

DESCRIPTION = "Builds and describes data sets."
EXAMPLES = """\
examples:
  hvc data prepare my_videos/ datasets/ --size 256
  hvc data prepare my_videos/ datasets/ --kind taichi_hd --metadata taichi-metadata.csv
  hvc data prepare my_videos/ datasets/ --shards 16 --slurm timeout_min=120 cpus_per_task=4
  hvc data synthesise datasets/ --clips 60 --frames 50
  hvc data keys datasets/human_clips
  hvc data bodies datasets/human_clips
  hvc data fields my_videos/train fields/train
  hvc data info datasets/human_clips
  hvc train --config configs/semantic.py:data=datasets/human_clips --workdir runs/a

A prepared data set lies in FOLDER/human_clips/1.0.0: ArrayRecord files with a JPEG per frame,
clips.json with the place of each clip, coded_keys-* with key pictures as the key codec leaves
them, body/CLIP.npy where body vectors are known, and labels/CLIP.npz where pixel labels are.
"""

_KINDS = ("human_clips", "ted_talks", "taichi_hd", "ubc_fashion")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command and of its actions."""
    raw = argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(dest="action", required=True)

    prepare = actions.add_parser("prepare", help="videos to a data set", epilog=EXAMPLES)
    prepare.set_defaults(run=_prepare)
    prepare.formatter_class = raw
    prepare.add_argument("source", type=Path, help="folder of videos")
    prepare.add_argument("folder", type=Path, help="where the data set goes")
    prepare.add_argument(
        "--kind", choices=_KINDS, default="human_clips", help="what the videos are"
    )
    prepare.add_argument(
        "--manifest",
        type=Path,
        help="csv with columns name, split, group (person or take) (human_clips, ubc_fashion)",
    )
    prepare.add_argument(
        "--metadata", type=Path, help="metadata csv of the set (ted_talks, taichi_hd)"
    )
    add_picture_options(prepare)
    add_slurm_options(prepare)
    _key_options(prepare)

    make = actions.add_parser("synthesise", help="render synthetic people", epilog=EXAMPLES)
    make.set_defaults(run=_synthesise)
    make.formatter_class = raw
    make.add_argument("folder", type=Path, help="where the data set goes")
    make.add_argument("--clips", type=int, default=60, help="clips in the split train")
    make.add_argument(
        "--validation-clips", type=int, default=6, help="clips in the split validation"
    )
    make.add_argument("--frames", type=int, default=50, help="frames a clip")
    make.add_argument("--size", type=int, default=256, help="side of the frames in pixels")
    make.add_argument("--seed", type=int, default=0, help="seed of the first clip")
    make.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="processes that render; 0: this one"
    )
    make.add_argument("--bvh", type=Path, help="folder of motion capture files for half the clips")
    make.add_argument(
        "--labels", action="store_true", help="store depth, parts, flow and visibility of pixels"
    )
    _key_options(make)

    keys = actions.add_parser("keys", help="code key pictures of a data set", epilog=EXAMPLES)
    keys.set_defaults(run=_keys)
    keys.formatter_class = raw
    keys.add_argument("path", type=Path, help="data set")
    keys.add_argument("--split", default="train", help="split whose clips are taken")
    _key_options(keys)

    bodies = actions.add_parser("bodies", help="fit bodies to the clips of a data set")
    bodies.set_defaults(run=_bodies)
    bodies.add_argument("path", type=Path, help="data set")
    bodies.add_argument("--split", default="train", help="split whose clips are taken")
    bodies.add_argument("--effort", type=int, choices=range(4), default=1, help="of the fit")

    fields = actions.add_parser(
        "fields",
        help="code videos for training the generator of displacement fields",
        description="Codes videos at random operating points and keeps what the decoder makes "
        "their frames of, about 16 MB a coding. Goes on where it was stopped.",
        epilog=EXAMPLES,
        formatter_class=raw,
    )
    fields.set_defaults(run=_fields)
    fields.add_argument("source", type=Path, help="folder of videos")
    fields.add_argument("folder", type=Path, help="as fields/train, or fields/development")
    fields.add_argument("--size", type=int, default=256, help="side of the frames in pixels")
    fields.add_argument("--frames", type=int, default=40, help="of each video that are coded")
    fields.add_argument("--kept", type=int, default=16, help="frames of them that are kept")
    fields.add_argument("--rounds", type=int, default=1, help="codings of each video")
    fields.add_argument("--seed", type=int, default=0, help="of operating points and places")
    fields.add_argument("--effort", type=int, choices=range(4), default=0, help="of the encoder")

    info = actions.add_parser("info", help="list the clips of a data set")
    info.set_defaults(run=_info)
    info.add_argument("path", type=Path, help="data set")
    info.add_argument("--json", action="store_true", help="print one JSON object")


def _key_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keys-per-clip", type=int, default=5, help="frames of a clip that are coded; 0: none"
    )
    parser.add_argument("--qps-per-key", type=int, default=3, help="qualities of each, QP 22 to 52")


def _finish(directory: Path, arguments: argparse.Namespace) -> int:
    """Codes the key pictures of every split and says what was built."""
    from hvc_jax.data import coded_keys
    from hvc_jax.data.frames import FrameDataset, split_names

    for split in split_names(directory):
        dataset = FrameDataset(directory, split)
        if arguments.keys_per_clip:
            coded_keys.build(dataset, arguments.keys_per_clip, arguments.qps_per_key)
        print(f"{directory}: {split} has {len(dataset.clips)} clips, {len(dataset)} frames")
    return 0


def _prepare(arguments: argparse.Namespace) -> int:
    import functools

    from hvc_jax.data.metadata_builders import make_builder
    from hvc_jax.data.shards import prepare_on_slurm
    from hvc_jax.ops.slurm import slurm_option

    if arguments.shards < 1:
        raise ValueError("--shards is at least 1")
    names = ("kind", "source", "size", "fit", "manifest", "metadata")
    make = functools.partial(make_builder, **{name: getattr(arguments, name) for name in names})
    builder = make(arguments.folder)
    if arguments.slurm is None:
        builder.build()
    else:
        options = dict(slurm_option(text) for text in arguments.slurm)
        keys = arguments.keys_per_clip, arguments.qps_per_key
        builder = prepare_on_slurm(make, arguments.folder, arguments.shards, options, keys)
        arguments.keys_per_clip = 0  # they are coded
    for path in builder.skipped:
        print(f"left out: {path}")
    return _finish(Path(builder.data_dir), arguments)


def _synthesise(arguments: argparse.Namespace) -> int:
    from hvc_jax.data.synthetic_builder import SyntheticHumans

    names = ("clips", "validation_clips", "frames", "size", "seed", "workers", "bvh", "labels")
    given = {name: getattr(arguments, name) for name in names}
    builder = SyntheticHumans(data_dir=arguments.folder, **given)
    builder.download_and_prepare()
    return _finish(Path(builder.data_dir), arguments)


def _keys(arguments: argparse.Namespace) -> int:
    from hvc_jax.data import coded_keys
    from hvc_jax.data.frames import FrameDataset

    dataset = FrameDataset(arguments.path, arguments.split)
    path = coded_keys.build(dataset, arguments.keys_per_clip, arguments.qps_per_key)
    print(f"{path}: {sum(map(len, coded_keys.CodedKeys(dataset).by_clip.values()))} pictures")
    return 0


def _bodies(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from hvc_jax.data.frames import FrameDataset
    from hvc_jax.pose.data_set import write_bodies

    dataset = FrameDataset(arguments.path, arguments.split)
    written = write_bodies(dataset, arguments.effort)
    count = sum(1 for _ in tqdm(written, desc="fitting bodies", unit=" clips"))
    print(f"{dataset.directory / 'body'}: {count} clips fitted")
    return 0


def _fields(arguments: argparse.Namespace) -> int:
    from hvc_jax.data.builders import videos_in
    from hvc_jax.training.field_examples import code_clips

    keep_programs(quiet=True)
    code_clips(
        videos_in(arguments.source),
        arguments.folder,
        side=arguments.size,
        frames=arguments.frames,
        kept=arguments.kept,
        rounds=arguments.rounds,
        seed=arguments.seed,
        effort=arguments.effort,
    )
    return 0


def _info(arguments: argparse.Namespace) -> int:
    from hvc_jax.data import coded_keys
    from hvc_jax.data.frames import FrameDataset, find_directory, split_names
    from hvc_jax.evaluation.table import text_table

    directory = find_directory(arguments.path)
    splits: dict[str, list[dict[str, Any]]] = {}
    for split in split_names(directory):
        dataset = FrameDataset(directory, split)
        coded = coded_keys.records_path(dataset).exists()
        keys = coded_keys.CodedKeys(dataset).by_clip if coded else {}
        splits[split] = [
            {
                "clip": clip.name,
                "group": clip.group or None,
                "frames": clip.frames,
                "fps": clip.fps,
                "key pictures": len(keys.get(number, [])),
                "body vectors": "yes" if dataset.body(number) is not None else "no",
            }
            for number, clip in enumerate(dataset.clips)
        ]
        if not arguments.json:
            print(
                f"{split}: {len(dataset.clips)} clips, {len(dataset)} frames of {dataset.size} px"
            )
            print(textwrap.indent(text_table(splits[split]), "  "))
    if arguments.json:
        print(json.dumps({"folder": str(directory), "splits": splits}))
    return 0
