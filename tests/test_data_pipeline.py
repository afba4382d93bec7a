"""Data sets of frames, the coded key cache and the batches drawn from them."""

import itertools
import json
import pickle

import numpy as np
import pytest

from hvc_jax.data import coded_keys
from hvc_jax.data.builders import FrameBuilder, SourceClip, write_body
from hvc_jax.data.frames import FrameDataset, find_directory
from hvc_jax.data.pipeline import Pairs, batches
from hvc_jax.data.sources import parse_sources
from hvc_jax.ops.flow import MissingFlowError

SIZE, LENGTHS = 32, (5, 8, 3, 12)


class TaggedFrames(FrameBuilder):
    """Frames whose red is 40 * clip and whose green is 10 * t."""

    name = "tagged_frames"

    def clip_splits(self):
        clips = [SourceClip(f"clip{k}", None, k, n) for k, n in enumerate(LENGTHS)]
        return {"train": clips, "validation": clips[:1]}

    def read(self, clip):
        frames = np.zeros((clip.frames, SIZE, SIZE, 3), np.uint8)
        frames[..., 0] = 40 * clip.start
        frames[..., 1] = 10 * np.arange(clip.frames)[:, None, None]
        return frames, "30000/1001", None


def _darker(pictures, qp):
    return pictures // 2


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    TaggedFrames(data_dir=folder, size=SIZE).download_and_prepare()
    opened = FrameDataset(folder / "tagged_frames")
    coded_keys.build(opened, keys_per_clip=3, qps_per_key=2, coder=_darker)
    return opened


def _config(dataset, **more):
    return {"path": str(dataset.directory), "size": SIZE, "flip": 0.0, **more}


def test_frames_keep_their_order(dataset):
    assert [clip.frames for clip in dataset.clips] == list(LENGTHS)
    assert dataset.clips[1].fps == "30000/1001"
    for clip, length in enumerate(LENGTHS):
        for t in range(length):
            red, green, _ = dataset.frame(clip, t).mean((0, 1))
            assert abs(red - 40 * clip) < 3 and abs(green - 10 * t) < 3


def test_reading_imports_no_tensorflow(dataset):
    import sys

    dataset.frame(0, 0)
    assert "tensorflow" not in sys.modules


def test_keys_are_coded_pictures_of_their_frames(dataset):
    keys = coded_keys.CodedKeys(dataset)
    for clip, rows in keys.by_clip.items():
        for key in rows:
            shown = np.asarray(keys.picture(key))
            assert (shown == dataset.frame(clip, key.t) // 2).all()
            assert key.qp in coded_keys.QPS


def test_key_plan_covers_clips_and_rates():
    plan = coded_keys.plan([50] * 20, 5, 3, coded_keys.QPS, seed=0)
    assert plan == coded_keys.plan([50] * 20, 5, 3, coded_keys.QPS, seed=0)
    assert len(plan) == 20 * 5 * 3
    drawn = np.bincount([qp for _, _, qp in plan])
    assert drawn.max() <= 1.4 * drawn[drawn > 0].min()
    assert all(0 <= t < 50 for _, t, _ in plan)
    assert len(coded_keys.plan([2], 5, 3, coded_keys.QPS, seed=0)) == 2 * 3


def test_batches_pair_frames_of_one_clip(dataset):
    for batch in itertools.islice(batches(_config(dataset), 4, seed=1), 10):
        assert batch["key"].shape == (4, SIZE, SIZE, 3) and batch["key"].dtype == np.uint8
        assert batch["key_body"].shape == (4, 188) and batch["key_body"].dtype == np.float32
        key_red = 2 * batch["key"][..., 0].mean((1, 2))
        assert np.abs(key_red - batch["target"][..., 0].mean((1, 2))).max() < 4
        assert not batch["target_body"].any()


def test_batches_are_functions_of_seed_and_step(dataset):
    config = _config(dataset, crop=0.8, jitter=0.3, flip=0.5)
    first = list(itertools.islice(batches(config, 3, seed=5), 6))
    again = list(itertools.islice(batches(config, 3, seed=5, start_step=4), 2))
    other = next(batches(config, 3, seed=6))
    for a, b in zip(first[4:], again, strict=True):
        assert all((a[name] == b[name]).all() for name in a)
    assert (first[0]["target"] != other["target"]).any()


def test_processes_share_one_stream(dataset):
    config = _config(dataset)
    whole = list(itertools.islice(batches(config, 4, seed=2, start_step=1), 2))
    parts = [
        list(itertools.islice(batches(config, 2, 2, 1, process, 2), 2)) for process in range(2)
    ]
    for step, batch in enumerate(whole):
        together = np.stack([part[step]["target"] for part in parts], axis=1)
        assert (together.reshape(batch["target"].shape) == batch["target"]).all()


def test_rates_are_limited(dataset):
    pairs = Pairs(str(dataset.directory), _config(dataset, key_qps=(30, 40)), seed=0)
    qps = {key.qp for rows in pairs._keys.by_clip.values() for key in rows}
    assert qps <= {32, 37}
    with pytest.raises(ValueError, match=r"no key picture has a QP of 60 to 63.*data\.key_qps"):
        Pairs(str(dataset.directory), _config(dataset, key_qps=(60, 63)), seed=0)


def test_models_of_bodies_refuse_clips_without(dataset):
    with pytest.raises(ValueError, match="4 of 4 clips have no bodies, as clip0.*hvc data bodies"):
        next(batches(_config(dataset), 2, need_bodies=True))


def test_the_newest_version_is_the_highest_number(tmp_path):
    for version in ("1.2.0", "1.10.0", "1.9.3"):
        (tmp_path / "human_clips" / version).mkdir(parents=True)
        (tmp_path / "human_clips" / version / "clips.json").write_text("{}")
    for path in (tmp_path, tmp_path / "human_clips"):
        assert find_directory(path).name == "1.10.0"
    assert find_directory(tmp_path / "human_clips" / "1.2.0").name == "1.2.0"


def test_every_pass_takes_every_clip(dataset):
    pairs = Pairs(str(dataset.directory), _config(dataset), seed=0)
    reds = [round(pairs[i]["target"][..., 0].mean() / 40) for i in range(len(LENGTHS) * 3)]
    for turn in range(3):
        assert sorted(reds[4 * turn : 4 * turn + 4]) == [0, 1, 2, 3]


def test_two_programs_may_code_the_same_key_pictures(tmp_path):
    TaggedFrames(data_dir=tmp_path, size=SIZE).download_and_prepare()
    dataset, begun = FrameDataset(tmp_path), []

    def coder(pictures, qp):
        if not begun:  # another program does all of it while this one is at its first pictures
            begun.append(qp)
            coded_keys.build(dataset, 2, 1, coder=_darker)
        return _darker(pictures, qp)

    coded_keys.build(dataset, 2, 1, coder=coder)
    keys = coded_keys.CodedKeys(dataset)
    for of_clip in keys.by_clip.values():
        for key in of_clip:
            expected = dataset.frame(key.clip, key.t) // 2
            np.testing.assert_array_equal(np.asarray(keys.picture(key)), expected)


def test_body_side_cars_reach_the_batch(tmp_path):
    TaggedFrames(data_dir=tmp_path, size=SIZE).download_and_prepare()
    dataset = FrameDataset(tmp_path)
    coded_keys.build(dataset, 2, 1, coder=_darker)
    for clip in dataset.clips:
        vectors = np.zeros((clip.frames, 188), np.float32)
        vectors[:, 0] = np.arange(clip.frames)
        write_body(dataset.directory, clip.name, vectors)
    pair = Pairs(str(tmp_path), _config(dataset), seed=0)[3]
    assert pair["target_body"][0] == round(pair["target"][..., 1].mean() / 10)
    write_body(dataset.directory, "clip0", np.zeros((2, 188)))
    with pytest.raises(ValueError, match=r"clip0\.npy"):
        FrameDataset(tmp_path).body(0)


def test_worker_copies_reopen_their_files(dataset):
    pairs = Pairs(str(dataset.directory), _config(dataset), seed=0)
    copy = pickle.loads(pickle.dumps(pairs))
    assert (copy[7]["target"] == pairs[7]["target"]).all()


def test_mixture_follows_weights(dataset):
    path = str(dataset.directory)
    both = batches(_config(dataset) | {"path": f"{path}:3,{path}:1"}, 4, seed=0)
    assert next(both)["key"].shape == (4, SIZE, SIZE, 3)
    assert parse_sources("a:3,b") == [("a", 3.0), ("b", 1.0)]
    assert parse_sources("") == [("synthetic", 1.0)]
    with pytest.raises(ValueError, match="weight"):
        parse_sources("a:0")


def test_missing_things_say_what_to_do(dataset, tmp_path):
    with pytest.raises(FileNotFoundError, match="hvc data prepare"):
        find_directory(tmp_path)
    with pytest.raises(ValueError, match="split 'test'"):
        FrameDataset(dataset.directory, "test")
    with pytest.raises(FileNotFoundError, match="hvc data keys"):
        coded_keys.CodedKeys(FrameDataset(dataset.directory, "validation"))


def test_index_is_plain_json(dataset):
    index = json.loads((dataset.directory / "clips.json").read_text())
    assert index["size"] == SIZE and index["splits"]["train"][1]["first"] == LENGTHS[0]


def test_the_frames_before_come_latest_first(dataset):
    pairs = Pairs(str(dataset.directory), _config(dataset, past=3), seed=0)
    for i in range(12):
        pair = pairs[i]
        times = (pair["previous"][..., 1].mean((1, 2)) / 10).round()
        target = round(pair["target"][..., 1].mean() / 10)
        np.testing.assert_array_equal(times, np.maximum(target - 1 - np.arange(3), 0))
        assert pair["previous_body"].shape == (3, 188)


def test_a_share_of_pairs_is_a_picture_and_the_same_one_warped(dataset):
    config = _config(dataset, made=0.5, teacher_flow=True)
    try:
        batch = next(batches(config, 64, seed=1))
    except MissingFlowError:
        pytest.skip("OpenCV is not installed")
    assert batch["flow"].shape == (64, SIZE // 4, SIZE // 4, 3)
    # Keys are half as bright; a warp of one colour leaves it as it is.
    bright = [batch[name][..., 1].mean((1, 2)) for name in ("key", "target")]
    still = (batch["previous"][:, 0] == batch["target"]).all((1, 2, 3))
    warped = np.abs(np.diff(batch["flow"][..., 0], axis=2) - 0.25).max((1, 2)) > 0.02
    assert 16 < warped.sum() < 48
    assert still[warped].all()
    assert (np.abs(bright[0] - bright[1] / 2) < 3)[warped].all()
