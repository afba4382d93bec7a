"""Exported models: one safetensors file with everything a codec needs. Imports no jax.

    metadata "hvc"         JSON: format, variant, config (ml_collections fields)
    params/a/b/c           float16 parameters of `CodecModel`
    tables/name            int32 arrays of `CodingTables`, schema included

Tables and configuration are read without touching the parameters, so that a stream can be
inspected and edited where jax is not installed.
"""

import dataclasses
import functools
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import FrozenConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from hvc_jax.stream.tables import CodingTables

PRETRAINED = Path(__file__).parents[1] / "pretrained"
MODEL_PATH = "HVC_MODELS"
"""Environment variable: folders, separated as in PATH, in which streams find further models."""

_FORMAT = 1
_RENAMED = {"implicit": "keypoint"}
"""Variants of format 1 by their present name: what it called implicit warps by keypoints."""
_KEY = "hvc"  # one metadata entry: the order of several is not fixed, and the id is a hash
_PARAMS, _TABLES = "params/", "tables/"


class ExportError(ValueError):
    """A model file that is missing, is none, or does not hold what it should."""


@dataclasses.dataclass(frozen=True)
class Export:
    """An exported model; its arrays are read when they are asked for.

    Attributes:
        path: The file.
        variant: "semantic" or "keypoint".
        config_fields: The training configuration as nested dicts.
    """

    path: Path
    variant: str
    config_fields: dict[str, Any]

    @functools.cached_property
    def model_id(self) -> bytes:
        """8 bytes: the head of the SHA-256 of the file."""
        return hashlib.sha256(self.path.read_bytes()).digest()[:8]

    @functools.cached_property
    def config(self) -> FrozenConfigDict:
        """The training configuration; `config.model` builds the model."""
        return FrozenConfigDict(self.config_fields)

    @functools.cached_property
    def tables(self) -> CodingTables:
        """The integer coding tables, which carry the schema with the learned steps."""
        return CodingTables.from_arrays(self._arrays(_TABLES))

    @functools.cached_property
    def params(self) -> dict[str, Any]:
        """Nested dict of float32 parameters, for `CodecModel(config.model)`."""
        nested: dict[str, Any] = {}
        for name, array in self._arrays(_PARAMS).items():
            *groups, leaf = name.split("/")
            inner = nested
            for group in groups:
                inner = inner.setdefault(group, {})
            inner[leaf] = array.astype(np.float32)
        return nested

    def _arrays(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays whose names begin with `prefix`, by the rest of their names."""
        with safe_open(self.path, framework="numpy") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}


def save_export(
    path: Path, variant: str, config: Any, params: dict[str, Any], tables: CodingTables
) -> Export:
    """Writes an export and opens it.

    Args:
        path: Where; appears under this name only when it is whole.
        variant: "semantic" or "keypoint".
        config: The training configuration, a ConfigDict; paths in it are stored as bare names.
        params: Nested dict of arrays; stored as float16.
        tables: Integer tables fitted with the schema of the learned steps.

    Raises:
        ExportError: A parameter is not finite as float16.
    """
    arrays: dict[str, np.ndarray] = {}

    def collect(tree: dict[str, Any], prefix: str) -> None:
        for name, value in tree.items():
            if isinstance(value, dict):
                collect(value, f"{prefix}{name}/")
                continue
            with np.errstate(over="ignore"):  # reported below
                array = np.ascontiguousarray(np.asarray(value, np.float16))
            if not np.isfinite(array).all():
                raise ExportError(f"{path}: parameter {prefix}{name} does not fit float16")
            arrays[prefix + name] = array

    collect(params, _PARAMS)
    for name, table in tables.to_arrays().items():
        arrays[_TABLES + name] = np.ascontiguousarray(table)
    record = {
        "format": _FORMAT,
        "variant": variant,
        "config": _without_folders(json.loads(config.to_json_best_effort())),
    }
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(save(arrays, metadata={_KEY: text}))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return load_export(path)


_PATHS = (("init_from",), ("data", "path"), ("loss", "perceptual_weights"))
_VERSION = re.compile(r"/\d+\.\d+\.\d+/?(?=$|:)")


def _without_folders(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with their paths cut to names: they are notes on how a model was made.

    Where the files lay is of no use to whoever opens it, and not theirs to read. A data set is
    named by its folder and not by the version below that.
    """
    for *groups, leaf in _PATHS:
        inner = fields
        for group in groups:
            inner = inner.get(group, {})
        if isinstance(inner.get(leaf), str):
            parts = (_VERSION.sub("", part).rstrip("/") for part in inner[leaf].split(","))
            inner[leaf] = ",".join(part.rsplit("/", 1)[-1] for part in parts)
    return fields


def load_export(name: str | Path) -> Export:
    """An exported model by its file, or by the variant that is shipped.

    Args:
        name: Path of a .safetensors file, or "semantic" or "keypoint".

    Raises:
        ExportError: There is no such file, or it is no export of this program.
    """
    path = Path(name)
    if not path.suffix:
        path = PRETRAINED / f"{name}.safetensors"
        if not path.exists():
            shipped = sorted(p.stem for p in PRETRAINED.glob("*.safetensors"))
            raise ExportError(
                f"no model {str(name)!r} is shipped (there are: {', '.join(shipped) or 'none'}); "
                "name a .safetensors file made by hvc export"
            )
    if not path.is_file():
        raise ExportError(f"{path}: no such model file; make one with hvc export")
    try:
        with safe_open(path, framework="numpy") as file:
            record = json.loads((file.metadata() or {})[_KEY])
            version, variant, fields = record["format"], record["variant"], record["config"]
    except (SafetensorError, KeyError, TypeError, ValueError):
        raise ExportError(f"{path}: is no model of this program; use one from hvc export") from None
    if version != _FORMAT:
        raise ExportError(f"{path}: has format {version}, this program reads {_FORMAT}; update it")
    variant = _RENAMED.get(variant, str(variant))
    try:
        fields["model"]["motion"]["kind"] = variant
    except (KeyError, TypeError):
        raise ExportError(f"{path}: has no configuration; use a file from hvc export") from None
    return Export(path, variant, fields)


def find_export(model_id: bytes) -> Export | None:
    """The model with an id among those shipped and those in the folders of HVC_MODELS.

    Args:
        model_id: 8 bytes, from the header of a stream.
    """
    folders = [
        PRETRAINED,
        *map(Path, filter(None, os.environ.get(MODEL_PATH, "").split(os.pathsep))),
    ]
    for folder in folders:
        for path in sorted(folder.glob("*.safetensors")):
            try:
                export = load_export(path)
            except ExportError:
                continue  # other networks lie there too
            if export.model_id == model_id:
                return export
    return None
