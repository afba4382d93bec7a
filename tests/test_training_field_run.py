"""A generator of fields is trained, resumed and exported by the trainer of all models."""

from pathlib import Path

import jax
import numpy as np
import pytest

from hvc_jax.codec.field_codec import FieldCodec
from hvc_jax.configs.field import get_config
from hvc_jax.models.export import load_export
from hvc_jax.training.export import export_run
from hvc_jax.training.loop import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Codings of two clips of noise, in the splits train and development."""
    root, draw = tmp_path_factory.mktemp("fields"), np.random.default_rng(0)
    for split in ("train", "development"):
        (root / split).mkdir()
        for name in "ab":
            planes = draw.integers(0, 256, (3, 64, 64, 16), np.uint8)
            np.save(root / split / f"{name}.npy", planes)
            (root / split / f"{name}.json").write_text('{"qp": 40, "spacing": 8}')
    return root


def config(folder: Path, steps: int) -> object:
    made = get_config(f"size=tiny,runlocal,data={folder}")
    made.total_steps, made.optim.schedule, made.optim.warmup = steps, "constant", 1
    return made


def test_resumed_run_equals_one_that_was_not_stopped(folder: Path, tmp_path: Path) -> None:
    whole, done = train(config(folder, 4), tmp_path / "whole", progress=False)
    assert done
    train(config(folder, 2), tmp_path / "parts", progress=False)
    parts, _ = train(config(folder, 4), tmp_path / "parts", progress=False)
    jax.tree.map(np.testing.assert_array_equal, whole.params, parts.params)
    record = (tmp_path / "whole" / "metrics.jsonl").read_text()
    assert "validation/psnr" in record

    alone = export_run(tmp_path / "whole", tmp_path / "field.safetensors")
    semantic = load_export("semantic")
    hybrid = export_run(tmp_path / "whole", tmp_path / "hybrid.safetensors", bodies_of=semantic)
    assert (alone.variant, hybrid.variant) == ("field", "hybrid")
    assert FieldCodec(alone).variant == "field" and FieldCodec(hybrid).variant == "hybrid"
    assert hybrid.tables.schema == semantic.tables.schema


def test_data_that_are_none(tmp_path: Path) -> None:
    for path in ("", tmp_path):
        with pytest.raises(ValueError, match="hvc data fields"):
            train(config(path, 2), tmp_path / "run", progress=False)
