from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict

from hvc_jax.cli.export import describe
from hvc_jax.models.codec_model import CodecModel
from hvc_jax.training.checkpoint import Checkpoints, restore_params
from hvc_jax.training.config import load_config
from hvc_jax.training.export import blended, export_run, latent_tracks, read_config

SIDE = 64


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a keypoint model whose steps were learned to 0.25."""
    workdir = tmp_path_factory.mktemp("run")
    config = load_config("keypoint.py", [f"--config.data.size={SIDE}"])
    model = CodecModel(FrozenConfigDict(config.model))
    picture, body = np.zeros((1, SIDE, SIDE, 3), np.float32), np.zeros((1, 188), np.float32)
    params = jax.jit(
        lambda: model.init(jax.random.key(0), picture, picture, body, method="analyse")
    )()
    params = params["params"]
    zeros = jnp.zeros((config.model.past, 1, 32))
    rated = model.init(jax.random.key(0), zeros[0], zeros, method="rate")["params"]
    params["prior"] = rated["prior"]
    params["log_step"] = np.full_like(params["log_step"], np.log(0.25))
    (workdir / "config.json").write_text(config.to_json_best_effort())
    checkpoints = Checkpoints(workdir)
    checkpoints.save(1, {"ema": params, "params": params}, 0.0)
    checkpoints.close()
    return workdir


def clips() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [
        (rng.integers(0, 256, (n, SIDE, SIDE, 3), np.uint8), np.zeros((n, 188), np.float32))
        for n in (3, 19)  # less and more than one batch of the analysis
    ]


def test_export_of_a_run(run: Path, tmp_path: Path) -> None:
    export = export_run(run, tmp_path / "m.safetensors", clips=clips())
    assert export.variant == "keypoint" and export.config.data.size == SIDE
    assert {slot.step for slot in export.tables.schema.dynamic} == {0.25}
    frames = clips()[0][0] / np.float32(255)
    latent = CodecModel(export.config.model).apply(
        {"params": export.params}, frames, frames, None, method="analyse"
    )
    assert latent.shape == (3, export.tables.schema.size)


def test_steps_are_scaled_before_tables_are_fitted(run: Path, tmp_path: Path) -> None:
    coarse = export_run(run, tmp_path / "m.safetensors", step_scale=2, clips=clips()[:1])
    assert {slot.step for slot in coarse.tables.schema.dynamic} == {0.5}
    with pytest.raises(ValueError, match="step_scale is 0"):
        export_run(run, tmp_path / "n.safetensors", step_scale=0, clips=clips()[:1])


def test_an_export_says_its_rates_where_it_has_clips_to_spare(run: Path, tmp_path: Path) -> None:
    export = export_run(run, tmp_path / "m.safetensors", clips=[*clips(), *clips()])
    assert export.config.rates.real == 0 < export.config.rates.estimated  # noise moves no token
    assert "bits a frame of motion" in describe(export)
    assert not np.array_equal(export.params["prior"]["own"], restore_params(run)["prior"]["own"])
    assert "rates" not in export_run(run, tmp_path / "n.safetensors", clips=clips()).config


def test_a_replica_becomes_a_model_of_its_own(run: Path, tmp_path: Path) -> None:
    config, ema = read_config(run), restore_params(run)
    config.loss.lmbdas = [1.0, 4.0]
    (tmp_path / "config.json").write_text(config.to_json_best_effort())
    both = jax.tree.map(lambda x: np.stack([x, x / 2]), ema)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"ema": both, "params": both}, 0.0)
    checkpoints.close()
    export = export_run(tmp_path, tmp_path / "m.safetensors", lmbda=4, clips=clips()[:1])
    assert export.config.loss.lmbda == 4 and not export.config.loss.lmbdas
    np.testing.assert_allclose(export.params["log_step"], ema["log_step"] / 2, rtol=1e-3)


def test_blended_parameters_are_weighted_means(run: Path, tmp_path: Path) -> None:
    config, ema = read_config(run), restore_params(run)
    start = export_run(run, tmp_path / "start.safetensors", clips=clips()[:1])
    (tmp_path / "config.json").write_text(config.to_json_best_effort())
    later = jax.tree.map(lambda x: 3 * x, ema)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"ema": later, "params": later}, 0.0)
    checkpoints.close()
    for source in (start.path, run):
        blend = (source, 0.25)
        export = export_run(tmp_path, tmp_path / "m.safetensors", blend=blend, clips=clips()[:1])
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, 2.5 * y, rtol=2e-3, atol=1e-6),
            export.params,
            ema,
        )
    later.pop("log_step")
    with pytest.raises(ValueError, match=r"start.safetensors: holds another model"):
        blended(later, start.path, 0.25)


def test_tables_see_every_frame_once(run: Path) -> None:
    seen = latent_tracks(read_config(run).model, restore_params(run), clips())
    assert [track.shape for track in seen] == [(3, 32), (19, 32)]


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no training run"):
        export_run(tmp_path, tmp_path / "m.safetensors")
