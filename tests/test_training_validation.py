"""Validation: sequences of clips that are not trained on, real bits, the best checkpoint."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict
from PIL import Image
from training_stub import StubModel, stub_batches, stub_config

from hvc_jax.data import coded_keys
from hvc_jax.data.builders import FrameBuilder, SourceClip, write_body
from hvc_jax.data.frames import FrameDataset
from hvc_jax.data.pipeline import Pairs
from hvc_jax.data.validation import held_out_clips, sequences
from hvc_jax.models.codec_model import CodecModel, latent_schema
from hvc_jax.stream.tables_fit import fit_tables
from hvc_jax.stream.vectors import encode_vectors
from hvc_jax.training.checkpoint import Checkpoints, best_step, restore_params
from hvc_jax.training.config import load_config
from hvc_jax.training.loop import train
from hvc_jax.training.rates import compare_rates
from hvc_jax.training.validation import make_validate, step_sizes

SIDE, LENGTHS = 64, (9, 4, 12, 7, 10)


class Tagged(FrameBuilder):
    """Frames whose red is 40 * clip and whose green is 10 * t; a split for validation or none."""

    name = "tagged"
    extra: tuple[str, ...] = ()

    def clip_splits(self):
        clips = [SourceClip(f"clip{k}", None, k, n) for k, n in enumerate(LENGTHS)]
        return {"train": clips} | {name: clips[:3] for name in self.extra}

    def read(self, clip):
        frames = np.zeros((clip.frames, SIDE, SIDE, 3), np.uint8)
        frames[..., 0] = 40 * clip.start
        frames[..., 1] = 10 * np.arange(clip.frames)[:, None, None]
        return frames, "25", None


class Split(Tagged):
    """With splits of both names."""

    name = "split"
    extra = ("validation", "development")


def built(folder: Path, kind: type[Tagged]) -> Path:
    """A data set with coded keys, which are as good as new, and bodies of the first clips."""
    kind(data_dir=folder, size=SIDE).download_and_prepare()
    for split in ("train", *kind.extra):
        frames = FrameDataset(folder, split)
        coded_keys.build(frames, keys_per_clip=2, qps_per_key=1, coder=lambda x, qp: x)
        for clip in frames.clips[:2]:
            write_body(frames.directory, clip.name, np.full((clip.frames, 188), 0.5))
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    return built(tmp_path_factory.mktemp("plain"), Tagged)


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Path:
    return built(tmp_path_factory.mktemp("split"), Split)


def test_a_sequence_is_consecutive_frames_and_one_key(split: Path) -> None:
    found = sequences({"path": str(split), "size": 32}, count=8, length=6)
    assert len(found) == 2  # the clip of four frames is too short
    for batch in found:
        assert batch["target"].shape == batch["key"].shape == (6, 32, 32, 3)
        times = (batch["target"][..., 1].mean((1, 2)) / 10).round()
        np.testing.assert_array_equal(np.diff(times), 1)
        before = (batch["previous"][:, 0, ..., 1].mean((1, 2)) / 10).round()
        np.testing.assert_array_equal(before, np.maximum(times - 1, 0))
        assert (batch["key"] == batch["key"][0]).all()
        red = [batch[name][..., 0].mean() for name in ("key", "target")]
        assert abs(red[0] - red[1]) < 3
    starts = [(b["target"][0, ..., 1].mean() - b["key"][0, ..., 1].mean()).round(-1) for b in found]
    assert any(starts)  # not all begin with the key frame, where nothing moves
    (only,) = sequences({"path": str(split), "size": 32}, 8, 6, need_bodies=True)
    assert (only["target_body"] == 0.5).all() and (only["key_body"] == 0.5).all()


def test_development_comes_before_validation(split: Path, monkeypatch) -> None:
    opened = []
    keys = coded_keys.CodedKeys.__init__
    monkeypatch.setattr(
        "hvc_jax.data.validation.CodedKeys.__init__",
        lambda self, frames, qps: (opened.append(frames.split), keys(self, frames, qps))[1],
    )
    sequences({"path": str(split)}, 1, 4)
    assert opened == ["development"]
    assert held_out_clips(FrameDataset(split, "train"), 0.5) == []


def test_held_out_clips_are_never_trained_on(plain: Path) -> None:
    frames = FrameDataset(plain)
    held = held_out_clips(frames, 0.4)
    assert len(held) == 2 and held == held_out_clips(frames, 0.4)
    assert held_out_clips(frames, 0) == [] and len(held_out_clips(frames, 0.01)) == 1
    pairs = Pairs(str(plain), {"held_out": 0.4}, seed=0)
    trained = {round(pairs[i]["target"][..., 0].mean() / 40) for i in range(30)}
    assert trained == set(range(5)) - set(held)
    seen = sequences({"path": str(plain), "held_out": 0.4}, 8, 4)
    assert {round(batch["target"][..., 0].mean() / 40) for batch in seen} == set(held)
    assert sequences({"path": str(plain)}, 8, 4) == []


def test_groups_are_held_out_whole(plain: Path) -> None:
    frames = FrameDataset(plain)
    frames.clips = [c._replace(group="ab"[i > 1]) for i, c in enumerate(frames.clips)]
    assert held_out_clips(frames, 0.5) in ([0, 1], [2, 3, 4])
    frames.clips = [clip._replace(group="a") for clip in frames.clips]
    assert held_out_clips(frames, 0.5) == []


def prior(config: Any) -> dict[str, jax.Array]:
    """Parameters of the untrained prior of a model of 32 numbers."""
    zeros = jnp.zeros((config.model.past, 1, 32))
    model = CodecModel(FrozenConfigDict(config.model))
    return model.init(jax.random.key(0), zeros[0], zeros, method="rate")["params"]["prior"]


class Holding(nn.Module):
    """Shows the key picture and sends the mean of the target 32 times, at a bit each."""

    def __call__(self, batch: dict[str, jax.Array], train: bool) -> dict[str, Any]:
        assert not train
        latent = jnp.tile(batch["target"].mean((1, 2, 3))[:, None], (1, 32))
        bits = jnp.arange(len(latent), dtype=jnp.float32)
        return {"frame": batch["key"], "bits": bits, "latent": latent, "aux": {}}


def test_bits_are_those_of_the_streams() -> None:
    """Real bits are the payloads' of an encoder with steps as learned; finer steps cost more."""
    config = load_config("keypoint.py:size=tiny")
    rng = np.random.default_rng(0)
    size = latent_schema(config.model.motion).size
    tracks = [rng.normal(0, 0.2, (8, size)).cumsum(0).astype(np.float32) for _ in range(4)]
    found = {}
    for step in (0.02, 0.2):
        params = {"log_step": np.full(size, np.log(step)), "prior": prior(config)}
        found[step] = compare_rates(config.model, params, tracks).real
        schema = latent_schema(config.model.motion)
        slots = tuple(dataclasses.replace(slot, step=step) for slot in schema.dynamic)
        schema, total = dataclasses.replace(schema, dynamic=slots), 0
        for part in (0, 1):
            tables = fit_tables(schema, tracks[1 - part :: 2])
            for track in tracks[part::2]:
                coded = encode_vectors(schema, tables, track, rate_weight=0.2)
                total += sum(8 * len(group.payload) for group in coded.groups)
        assert found[step] == pytest.approx(total / 28)
    assert found[0.02] > found[0.2] + 2 * size  # log2(10) bits more for most numbers
    assert compare_rates(config.model, params, tracks[:1]) is None
    sizes = step_sizes(config.model, params)
    assert sizes and all(value == pytest.approx(0.2) for value in sizes.values())


def test_terms_are_means_over_all_frames() -> None:
    config = load_config("keypoint.py:size=tiny", ["--config.loss.lmbda=3"])
    rng = np.random.default_rng(1)

    def sequence() -> dict[str, np.ndarray]:
        names = ("key", "target")
        pictures = rng.integers(0, 256, (2, 4, 8, 8, 3), np.uint8)
        bodies = {f"{name}_body": np.zeros((4, 188), np.float32) for name in names}
        return dict(zip(names, pictures, strict=True)) | bodies

    batches = [sequence(), sequence()]
    params = {"log_step": np.full(32, np.log(0.02)), "prior": prior(config)}
    terms = make_validate(config, Holding(), None, batches)(params)
    error = np.concatenate([b["key"] / 255.0 - b["target"] / 255.0 for b in batches])
    psnr = -10 * np.log10((error**2).mean((1, 2, 3))).mean()
    assert terms["validation/psnr"] == pytest.approx(psnr, abs=1e-3)
    assert terms["validation/l1"] == pytest.approx(np.abs(error).mean(), rel=1e-4)
    total = terms["validation/rate"] + 3 * config.loss.l1 * terms["validation/l1"]
    assert terms["validation/total"] == pytest.approx(total, rel=1e-4)
    assert terms["validation/bits_real"] > 0 and terms["validation/bits_estimated"] > 0


def test_the_best_by_validation_is_kept_and_restored(tmp_path: Path) -> None:
    """A run that gets worse after step 4, as one that fits its training data too well."""
    at = {}

    def validate(params) -> dict[str, float]:
        at[len(at)] = params
        return {"validation/total": [3.0, 1.0, 2.0, 4.0, 5.0][len(at) - 1]}

    config = stub_config(total_steps=10, checkpoint__every=2, log__every=5)
    devices = jax.devices()[:1]
    train(
        config, tmp_path, model=StubModel(), batches=stub_batches, validate=validate,
        devices=devices, progress=False,
    )  # fmt: skip
    assert best_step(tmp_path) == 4
    jax.tree.map(np.testing.assert_array_equal, restore_params(tmp_path), at[1])
    kept = {int(p.name) for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit()}
    assert kept == {4, 8, 10}
    again = Checkpoints(tmp_path)  # a run that goes on knows the best as well
    state = {"ema": {"x": np.zeros(2)}}
    for step in (11, 12, 13):
        again.save(step, state, 6.0)
    again.close()
    assert best_step(tmp_path) == 4
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    told = {row["step"]: row["validation/total"] for row in rows if "validation/total" in row}
    assert told == {2: 3.0, 4: 1.0, 6: 2.0, 8: 4.0, 10: 5.0}
    assert Image.open(tmp_path / "curve.png").size[0] > 1000


def test_without_validation_the_newest_is_the_best(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        checkpoints.save(step, {"ema": {"x": np.full(2, step)}}, -step)
    checkpoints.close()
    assert best_step(tmp_path) == 3
