import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict
from safetensors.numpy import save_file

from hvc_jax.models import export as exports
from hvc_jax.models.export import ExportError, find_export, load_export, save_export
from hvc_jax.stream.schema import token_schema
from hvc_jax.stream.tables import default_tables

SCHEMA = token_schema(3, [0.1, 0.2, 0.3])
CONFIG = ConfigDict({"model": {"widths": (4, 8), "motion": {"kind": "keypoint"}}})
PARAMS = {"a": {"b": {"kernel": np.linspace(-2, 2, 6).reshape(2, 3)}}, "log_step": np.ones(3)}


def make(path: Path, scale: float = 1.0) -> exports.Export:
    params = {"a": PARAMS["a"], "log_step": scale * PARAMS["log_step"]}
    return save_export(path, "keypoint", CONFIG, params, default_tables(SCHEMA))


def test_everything_comes_back(tmp_path: Path) -> None:
    export = make(tmp_path / "m.safetensors")
    assert export.variant == "keypoint" and len(export.model_id) == 8
    assert export.config.model.widths == (4, 8)
    assert export.tables.schema == SCHEMA
    np.testing.assert_array_equal(export.tables.frequencies, default_tables(SCHEMA).frequencies)
    kernel = export.params["a"]["b"]["kernel"]
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel, PARAMS["a"]["b"]["kernel"].astype(np.float16))
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_paths_of_the_machine_are_not_stored(tmp_path: Path) -> None:
    config = ConfigDict(CONFIG)
    config.init_from = "/home/me/exports/start.safetensors"
    config.data = {"path": "/data/human_clips/1.0.0:9,../people/synthetic:1.5", "size": 64}
    config.loss = {"perceptual_weights": "/home/me/vgg.pth"}
    tables = default_tables(SCHEMA)
    export = save_export(tmp_path / "m.safetensors", "keypoint", config, {}, tables)
    assert export.config.init_from == "start.safetensors"
    assert export.config.data.path == "human_clips:9,synthetic:1.5"
    assert export.config.loss.perceptual_weights == "vgg.pth"
    assert config.data.path.startswith("/data"), "the caller's own is left alone"


def test_id_is_a_function_of_the_content(tmp_path: Path) -> None:
    one, same = make(tmp_path / "a.safetensors"), make(tmp_path / "b.safetensors")
    other = make(tmp_path / "c.safetensors", scale=1.01)
    assert one.model_id == same.model_id != other.model_id


def test_found_by_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = make(tmp_path / "a.safetensors")
    make(tmp_path / "b.safetensors", scale=2.0)
    save_file({"x": np.ones(2)}, tmp_path / "another_network.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    monkeypatch.setenv(exports.MODEL_PATH, str(tmp_path))
    found = find_export(export.model_id)
    assert found is not None and found.path == tmp_path / "a.safetensors"
    assert find_export(bytes(8)) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "no such model file"), (b"", "no model"), (b"\xff" * 100, "no model")],
)
def test_bad_files_are_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "m.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ExportError, match=words) as caught:
        load_export(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "m.safetensors").path
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ExportError, match="no model"):
        load_export(path)


def test_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    record = {"format": 99, "variant": "keypoint", "config": {}}
    save_file({"params/x": np.ones(2)}, path, metadata={"hvc": json.dumps(record)})
    with pytest.raises(ExportError, match="format 99"):
        load_export(path)


def test_unknown_variant_lists_what_is_shipped() -> None:
    with pytest.raises(ExportError, match="'nothing' is shipped"):
        load_export("nothing")


def test_values_beyond_float16_are_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="params/big"):
        save_export(
            tmp_path / "m.safetensors",
            "keypoint",
            CONFIG,
            {"big": np.full(2, 1e6)},
            default_tables(SCHEMA),
        )
    assert not list(tmp_path.iterdir())


def test_tables_and_config_are_read_without_jax(tmp_path: Path) -> None:
    path = make(tmp_path / "m.safetensors").path
    program = (
        "import sys; sys.modules['jax'] = None\n"
        "from hvc_jax.models.export import load_export\n"
        f"e = load_export({str(path)!r})\n"
        "print(e.tables.schema.name, e.config.model.motion.kind, e.model_id.hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(exports.__file__).parents[2],
    )
    assert done.stdout.split()[:2] == ["token3", "keypoint"]


@pytest.mark.parametrize(("version", "variant"), [(1, "keypoint"), (2, "implicit")])
def test_what_the_first_format_called_implicit_warps_by_keypoints(
    tmp_path: Path, version: int, variant: str
) -> None:
    path = tmp_path / "m.safetensors"
    config = {"model": {"motion": {"kind": "implicit"}}}
    record = {"format": version, "variant": "implicit", "config": config}
    save_file({"params/x": np.ones(2)}, path, metadata={"hvc": json.dumps(record)})
    export = load_export(path)
    assert export.variant == export.config.model.motion.kind == variant
