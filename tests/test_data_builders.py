"""Builders that read videos: splits, damaged files, metadata lists."""

import contextlib
import functools
import json
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from hvc_jax.cli.main import main
from hvc_jax.data import coded_keys, shards, sources
from hvc_jax.data.builders import HumanClips, clip_names, split_folder, split_of, videos_in
from hvc_jax.data.clips import ClipError, open_clip, read_clip, write_video
from hvc_jax.data.frames import FrameDataset
from hvc_jax.data.metadata_builders import Chunk, TaichiHd, UbcFashion, make_builder, read_metadata
from hvc_jax.ops.slurm import ShardError


def _video(path, frames=6, size=64, fps=Fraction(25), level=30):
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = np.zeros((frames, size, size, 3), np.uint8)
    pictures[..., 1] = level + 20 * np.arange(frames)[:, None, None]
    pictures[:, :, size // 2 :, 0] = 200
    write_video(path, pictures, fps)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    _video(folder / "one.mp4")
    _video(folder / "two.mp4", frames=4, fps=Fraction(30000, 1001))
    (folder / "broken.mp4").write_bytes(b"this is no video" * 100)
    (folder / "notes.txt").write_text("no video either")
    return folder


def test_folder_becomes_a_data_set(folder, tmp_path, capsys):
    manifest = tmp_path / "list.csv"
    manifest.write_text("name,split\none.mp4,train\ntwo.mp4,validation\nbroken.mp4,train\n")
    builder = HumanClips(source=folder, data_dir=tmp_path, manifest=manifest, size=32)
    builder.download_and_prepare()
    assert [path.rsplit("/", 1)[-1] for path in builder.skipped] == ["broken.mp4"]
    assert capsys.readouterr().out.count("skipped") == 1
    train = FrameDataset(tmp_path / "human_clips")
    assert [(c.name, c.frames, c.fps) for c in train.clips] == [("one", 6, "25")]
    assert main(["data", "info", str(tmp_path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["splits"]["train"]
    assert (row["clip"], row["frames"], row["fps"]) == ("one", 6, "25")
    held = FrameDataset(tmp_path / "human_clips", "validation")
    assert held.clips[0].frames == 4 and Fraction(held.clips[0].fps) == Fraction(30000, 1001)
    greens = [train.frame(0, t)[..., 1].mean() for t in range(6)]
    assert np.allclose(greens, 30 + 20 * np.arange(6), atol=6)


def test_split_by_manifest_folder_or_hash(tmp_path):
    for split in ("train", "validation"):
        (tmp_path / "set" / split).mkdir(parents=True)
        (tmp_path / "set" / split / f"{split}.mp4").touch()
    splits = split_folder(tmp_path / "set")
    assert {k: [c.name for c in v] for k, v in splits.items()} == {
        "train": ["train"],
        "validation": ["validation"],
    }
    names = [f"clip{k}" for k in range(2000)]
    share = np.mean([split_of(name) == "validation" for name in names])
    assert 0.07 < share < 0.13
    assert [split_of(n, 0.0) for n in names[:5]] == ["train"] * 5


def test_groups_and_the_development_split_come_from_the_manifest(tmp_path):
    rows = [("a", "train", "p1"), ("b", "development", "p2"), ("c", "", "p3"), ("d", "", "p3")]
    for name, *_ in rows:
        (tmp_path / f"{name}.mp4").touch()
    (tmp_path / "development").mkdir()
    (tmp_path / "development" / "e.mp4").touch()
    assert [c.name for c in split_folder(tmp_path)["development"]] == ["e"]
    manifest = tmp_path / "m.csv"
    lines = [f"{name}.mp4,{split},{group}\n" for name, split, group in rows]
    manifest.write_text("name,split,group\n" + "".join(lines))
    splits = split_folder(tmp_path, manifest)
    assert [(c.name, c.group) for c in splits["development"]] == [("b", "p2")]
    of_c_and_d = [split for split, clips in splits.items() for c in clips if c.name in "cd"]
    assert of_c_and_d == [split_of("p3")] * 2  # a person is in one split only


class Executor:
    """Runs jobs here and now, as submitit's would elsewhere; one number fails when it is done."""

    def __init__(self, fails=None):
        self.fails = fails

    def batch(self):
        return contextlib.nullcontext()

    def submit(self, function, make, work, number, *rest):
        made = function(make, work, number, *rest)
        error = OSError("gone") if number == self.fails else None
        return SimpleNamespace(done=lambda: True, exception=lambda: error, result=lambda: made)


@pytest.mark.parametrize("how", ["here", "submitit"])
def test_parts_of_jobs_make_the_data_set_of_one(folder, tmp_path, how):
    if how == "submitit":
        pytest.importorskip("submitit")
    manifest = tmp_path / "list.csv"
    manifest.write_text(
        "name,split,group\none.mp4,train,p\ntwo.mp4,development,q\nbroken.mp4,train,\n"
    )
    common = {"kind": "human_clips", "source": folder, "size": 32, "fit": "crop"}
    make = functools.partial(make_builder, manifest=manifest, **common)
    whole = make(tmp_path / "whole")
    whole.download_and_prepare()
    said, count = [], 5 if how == "here" else 2
    run = functools.partial(
        shards.prepare_on_slurm, make, tmp_path / "out", count, {}, (2, 1), cluster="local"
    )
    if how == "here":  # each video in a part of its own, and parts without any
        with pytest.raises(ShardError, match="1 of 5 jobs failed"):
            run(executor=Executor(fails=1), report=said.append)
        said.clear()
    built = run(executor=Executor() if how == "here" else None, report=said.append)
    assert len(said) == count and all(line.endswith("done") for line in said)
    assert not (tmp_path / "out" / "slurm").exists() and len(built.skipped) == 1
    for split in ("train", "development"):
        one, other = (FrameDataset(b.data_dir, split) for b in (whole, built))
        assert one.clips == other.clips and one.clips[0].group == ("p" if split == "train" else "q")
        for t in range(one.clips[0].frames):
            assert one.stored(0, t) == other.stored(0, t)
        keys = coded_keys.CodedKeys(other)
        first, second = keys.by_clip[0]
        assert first.t < second.t and keys.picture(second).size == (32, 32)


def test_bad_sources_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        videos_in(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="no video"):
        videos_in(tmp_path)
    (tmp_path / "a.mp4").touch()
    manifest = tmp_path / "m.csv"
    manifest.write_text("file,split\na.mp4,train\n")
    with pytest.raises(ValueError, match="column 'name'"):
        split_folder(tmp_path, manifest)
    manifest.write_text("name,split\nb.mp4,train\n")
    with pytest.raises(ValueError, match="names none"):
        split_folder(tmp_path, manifest)


def test_metadata_cuts_chunks_out_of_videos(tmp_path, capsys):
    _video(tmp_path / "videos" / "abc.mp4", frames=8)
    table = tmp_path / "taichi.csv"
    table.write_text(
        "video_id,start,end,bbox,fps,height,width,partition\n"
        "abc,2,6,32-0-64-32,25,64,64,train\n"
        "abc,0,4,0-16-32-48,25,64,64,test\n"
        "gone,0,9,0-0-32-32,25,64,64,train\n"
        "bad,0,4,0-0-32-32,25,64,64,train\n"
        "bad,4,9,0-0-32-32,25,64,64,train\n"
    )
    (tmp_path / "videos" / "bad.mp4").write_bytes(b"this is no video" * 100)
    builder = TaichiHd(
        source=tmp_path / "videos", metadata=table, data_dir=tmp_path / "out", size=32
    )
    builder.download_and_prepare()
    said = capsys.readouterr().out
    assert "gone" in said
    assert said.count("skipped") == 1 and len(builder.skipped) == 1  # one file, two chunks
    train = FrameDataset(tmp_path / "out")
    assert train.clips[0].name == "abc#000002#000006" and train.clips[0].frames == 4
    red, green, _ = train.frame(0, 0).mean((0, 1))
    assert red > 180 and abs(green - 70) < 8  # the right half, from frame 2 on
    held = FrameDataset(tmp_path / "out", "validation")
    assert held.frame(0, 0)[..., 0].mean() < 20  # the left half


def test_chunks_of_a_video_are_cut_in_one_pass(tmp_path, monkeypatch):
    """Overlapping, nested and late chunks have the frames they would have alone."""
    _video(tmp_path / "videos" / "abc.mp4", frames=8)
    chunks = {(4, 7): 3, (0, 6): 6, (1, 3): 2, (6, 20): 2, (9, 12): 0}
    rows = "".join(f"abc,{a},{b},0-0-64-64,train\n" for a, b in chunks)
    table = tmp_path / "t.csv"
    table.write_text(f"video_id,start,end,bbox,split\n{rows}")
    passes = []

    def counted(*arguments, **options):
        passes.append(arguments)
        return open_clip(*arguments, **options)

    monkeypatch.setattr("hvc_jax.data.metadata_builders.open_clip", counted)
    builder = TaichiHd(
        source=tmp_path / "videos", metadata=table, data_dir=tmp_path / "out", size=32
    )
    whole = read_clip(tmp_path / "videos" / "abc.mp4", size=32).frames
    made = {}
    for clip in builder.clip_splits()["train"]:
        span = (clip.start, clip.start + clip.frames)
        if not chunks[span]:
            with pytest.raises(ClipError, match="ends before frame 9"):
                builder.read(clip)
            continue
        made[span] = builder.read(clip)[0]
        assert len(made[span]) == chunks[span]
        near = whole[span[0] : span[0] + chunks[span]].astype(int)
        assert np.abs(made[span] - near).mean() < 3
    assert len(made) == 4 and len(passes) == 1


@pytest.mark.parametrize(
    "row, message",
    [
        ("abc,0,9,0-0-32", "left-top-right-bottom"),
        ("abc,0,9,32-0-0-32", "left-top-right-bottom"),
        ("abc,zero,9,0-0-32-32", "line 2"),
        ("abc,0,1,0-0-32-32", "no chunk"),
    ],
)
def test_bad_metadata_names_the_line(tmp_path, row, message):
    table = tmp_path / "t.csv"
    table.write_text(f"video_id,start,end,bbox\n{row}\n")
    with pytest.raises(ValueError, match=message):
        read_metadata(table)


def test_ubc_fashion_splits_by_folder(tmp_path):
    _video(tmp_path / "ubc" / "train" / "a.mp4", frames=3)
    _video(tmp_path / "ubc" / "test" / "b.mp4", frames=3)
    builder = UbcFashion(source=tmp_path / "ubc", data_dir=tmp_path / "out", size=32)
    builder.download_and_prepare()
    assert FrameDataset(tmp_path / "out", "test").clips[0].name == "b"


def test_frames_of_a_list_are_those_of_its_own_rate(tmp_path):
    """Grey levels say which frame is which: 20 to 39 at 60/s are 10 to 19 at 30/s."""
    source = tmp_path / "videos"
    source.mkdir()
    frames = (np.full((64, 64, 3), 4 * t, np.uint8) for t in range(60))
    write_video(source / "vid.mp4", frames, 60)
    metadata = tmp_path / "meta.csv"
    metadata.write_text("video_id,start,end,bbox,fps,height\nvid,10,20,0-0-64-64,30.0,64\n")
    builder = TaichiHd(source=source, metadata=metadata, data_dir=tmp_path / "out", size=64)
    (clips,) = builder.clip_splits().values()
    read, fps, _ = builder.read(clips[0])
    assert fps == "60"
    np.testing.assert_allclose(read.mean((1, 2, 3)) / 4, np.arange(20, 40), atol=0.5)


def test_frames_in_other_rates():
    chunk = Chunk("a", "train", 10, 20, (0, 0, 1, 1), 0, 30.0)
    for rate in (Fraction(24), Fraction(30000, 1001), Fraction(50)):
        first, end = chunk.frames_in(rate)
        wanted = [i for i in range(200) if 10 <= i * 30 / rate < 20]
        assert (first, end) == (wanted[0], wanted[-1] + 1)
    assert chunk._replace(fps=0.0).frames_in(Fraction(60)) == (10, 20)
    for rounded, rate in ((29.97, Fraction(30000, 1001)), (23.98, Fraction(24000, 1001))):
        late = chunk._replace(fps=rounded, start=10_000, end=10_020)
        assert late.frames_in(rate) == (10_000, 10_020)


@pytest.mark.parametrize(("mark", "separator"), [("\ufeff", ","), ("", ";"), ("", "\t")])
def test_lists_that_spreadsheets_write(tmp_path, mark, separator):
    text = "video_id,start,end,bbox,fps\na,10,20,0-0-9-9,30\n".replace(",", separator)
    (tmp_path / "list.csv").write_text(mark + text, encoding="utf-8")
    assert read_metadata(tmp_path / "list.csv")[0][:4] == ("a", "train", 10, 20)


def test_videos_of_one_name_keep_their_own_names(tmp_path):
    names = ["train/id1/00001.mp4", "train/id2/00001.mp4", "train/b.mp4", "validation/c.mp4"]
    names += ["train/d.mp4", "validation/d.mp4", "e.mp4", "e.mov", "x/y__z.mp4", "x__y/z.mp4"]
    paths = [tmp_path / name for name in names]
    made = clip_names(tmp_path, paths)
    assert len(set(made.values())) == len(paths)
    assert [made[p] for p in paths[:4]] == ["id1__00001", "id2__00001", "b", "c"]
    assert {made[paths[4]], made[paths[5]]} == {"train__d", "validation__d"}


def test_a_folder_that_changed_is_read_again(tmp_path, monkeypatch):
    source = tmp_path / "videos" / "train"
    source.mkdir(parents=True)
    monkeypatch.setenv("HVC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "_with_keys", lambda directory, *_, **__: directory)
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    write_video(source / "a.mp4", frames, 25)
    first = sources.resolve(str(source.parent), {"size": 64})
    assert sources.resolve(str(source.parent), {"size": 64}) == first
    write_video(source / "b.mp4", frames, 25)
    second = sources.resolve(str(source.parent), {"size": 64})
    assert second != first
    names = [
        clip["name"] for clip in json.loads((second / "clips.json").read_text())["splits"]["train"]
    ]
    assert names == ["a", "b"]
