"""Model files that nobody here made: one line each, and never in the way of a good one."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from tiny_export import SIDE, make_export

from hvc_jax.codec.codec import Codec
from hvc_jax.models.export import ExportError, find_export, load_export


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("model"), "keypoint").path


def _changed(good: Path, path: Path, record=None, arrays=None) -> Path:
    with safe_open(good, framework="numpy") as file:
        kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    kept |= arrays or {}
    text = metadata["hvc"] if record is None else record(json.loads(metadata["hvc"]))
    save_file(kept, path, metadata={"hvc": text if isinstance(text, str) else json.dumps(text)})
    return path


def _with(record, *path_and_value):
    *path, leaf, value = path_and_value
    inner = record
    for name in path:
        inner = inner[name]
    inner[leaf] = value
    return record


RECORDS = {
    "nested": lambda record: "[" * 100_000,
    "deep config": lambda record: _with(record, "config", "model", json.loads("[" * 40 + "]" * 40)),
    "no object": lambda record: "3",
    "variant of a list": lambda record: _with(record, "variant", ["semantic"]),
    "config of a list": lambda record: _with(record, "config", [1, 2]),
    "model of a number": lambda record: _with(record, "config", "model", 3),
    "infinite": lambda record: _with(record, "config", "model", "widths", [float("inf")]),
    "huge": lambda record: _with(record, "config", "model", "widths", [10**400]),
    "text for numbers": lambda record: _with(record, "config", "model", "widths", "many"),
    "other numbers": lambda record: _with(record, "config", "model", "widths", [3, 5, 7, 9]),
    "null": lambda record: _with(record, "config", "model", "motion", None),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_bad_metadata_is_one_line(good, tmp_path, kind):
    path = _changed(good, tmp_path / "bad.safetensors", RECORDS[kind])
    with pytest.raises(ExportError, match="bad.safetensors") as caught:
        networks = Codec(load_export(path)).networks
        networks.features(np.zeros((SIDE, SIDE, 3), np.uint8))
    assert "\n" not in str(caught.value)


def test_parameters_are_finite_and_fit(good, tmp_path):
    with safe_open(good, framework="numpy") as file:
        name = next(n for n in file.keys() if n.endswith("kernel"))  # noqa: SIM118
        kernel = file.get_tensor(name)
    broken = kernel.copy()
    broken.flat[0] = np.inf
    for bad in (broken, kernel[:1], kernel.astype(np.int8)[..., None], np.zeros(0, np.float16)):
        path = _changed(good, tmp_path / "bad.safetensors", arrays={name: bad})
        with pytest.raises(ExportError, match="bad.safetensors"):
            codec = Codec(load_export(path))
            picture = np.zeros((SIDE, SIDE, 3), np.uint8)
            features = codec.networks.features(picture)
            size = codec.export.tables.schema.size
            latents = np.ones((1, size), np.float32)
            list(codec.networks.draw(picture, features, np.zeros(size, np.float32), latents))


def test_bad_files_do_not_hide_good_ones(good, tmp_path, monkeypatch):
    for number, kind in enumerate(RECORDS):
        _changed(good, tmp_path / f"{number}.safetensors", RECORDS[kind])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "text.safetensors").write_bytes(b"\xff" * 64)
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "lost.safetensors").symlink_to(tmp_path / "nowhere")
    wanted = load_export(good)
    (tmp_path / "z.safetensors").write_bytes(good.read_bytes())
    monkeypatch.setenv("HVC_MODELS", str(tmp_path))
    found = find_export(wanted.model_id)
    assert found is not None and found.path.name == "z.safetensors"
