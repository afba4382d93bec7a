"""Exported models: one safetensors file with everything a codec needs. Imports no jax.

    metadata "hvc"         JSON: format, variant, config (ml_collections fields)
    params/a/b/c           float16 parameters of `CodecModel`
    tables/name            int32 arrays of `CodingTables`, schema included

Tables and configuration are read without touching the parameters, so that a stream can be
inspected and edited where jax is not installed.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import FrozenConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from hvc_jax.ops.files import write_bytes
from hvc_jax.stream.tables import CodingTables

PRETRAINED = Path(__file__).parents[1] / "pretrained"
MODEL_PATH = "HVC_MODELS"
"""Environment variable: folders, separated as in PATH, in which streams find further models."""

_FORMAT = 2
_FORMATS = (1, _FORMAT)
_DEEPEST = 16
_BAD_FILE = (
    SafetensorError, KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError,
    ZeroDivisionError, RecursionError,
)  # fmt: skip
_RENAMED = {1: {"implicit": "keypoint"}}
"""Variants of a format by their present names: what format 1 called implicit warps by keypoints."""
_KEY = "hvc"  # one metadata entry: the order of several is not fixed, and the id is a hash
_PARAMS, _TABLES = "params/", "tables/"


class ExportError(ValueError):
    """A model file that is missing, is none, or does not hold what it should."""


@dataclasses.dataclass(frozen=True)
class Export:
    """An exported model; its arrays are read when they are asked for."""

    path: Path  # The file
    variant: str  # "semantic", "keypoint", "implicit", "field" or "hybrid"
    config_fields: dict[str, Any]  # The training configuration as nested dicts

    @functools.cached_property
    def model_id(self) -> bytes:
        """8 bytes: the head of the SHA-256 of the file."""
        return hashlib.sha256(self.path.read_bytes()).digest()[:8]

    @functools.cached_property
    def config(self) -> FrozenConfigDict:
        """The training configuration; `config.model` builds the model."""
        with reading(self.path):
            return FrozenConfigDict(self.config_fields)

    @functools.cached_property
    def tables(self) -> CodingTables:
        """The integer coding tables with the learned steps; ExportError: of the variant field."""
        if self.variant == "field":
            raise ExportError(f"{self.path}: a model of fields has no parameters to code")
        with reading(self.path):
            return CodingTables.from_arrays(self._arrays(_TABLES))

    @functools.cached_property
    def params(self) -> dict[str, Any]:
        """Nested dict of float32 parameters, for `CodecModel(config.model)`."""
        nested: dict[str, Any] = {}
        with reading(self.path):
            for name, array in self._arrays(_PARAMS).items():
                *groups, leaf = name.split("/")
                inner = nested
                for group in groups:
                    inner = inner.setdefault(group, {})
                inner[leaf] = array.astype(np.float32)
                if not np.isfinite(inner[leaf]).all():
                    raise ExportError(f"{self.path}: parameter {name} is not finite; get it again")
        return nested

    def _arrays(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays whose names begin with `prefix`, by the rest of their names."""
        with safe_open(self.path, framework="numpy") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}


def save_export(
    path: Path, variant: str, config: Any, params: dict[str, Any], tables: CodingTables | None
) -> Export:
    """Writes an export and opens it.

    Args:
      path: Where; appears under this name only when it is whole.
      variant: "semantic", "keypoint", "implicit", "field" or "hybrid".
      config: The training configuration, a ConfigDict; paths in it are stored as bare names.
      params: Nested dict of arrays; stored as float16.
      tables: Integer tables fitted with the schema of the learned steps; None for "field".

    Raises ExportError: A parameter is not finite as float16.
    """
    arrays: dict[str, np.ndarray] = {}

    def collect(tree: dict[str, Any], prefix: str) -> None:
        for name, value in tree.items():
            if isinstance(value, dict):
                collect(value, f"{prefix}{name}/")
                continue
            with np.errstate(over="ignore"):  # reported below
                array = np.asarray(value, np.float16, order="C")
            if not np.isfinite(array).all():
                raise ExportError(f"{path}: parameter {prefix}{name} does not fit float16")
            arrays[prefix + name] = array

    collect(params, _PARAMS)
    for name, table in (tables.to_arrays() if tables else {}).items():
        arrays[_TABLES + name] = np.ascontiguousarray(table)
    record = {
        "format": _FORMAT,
        "variant": variant,
        "config": _without_folders(json.loads(config.to_json_best_effort())),
    }
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    path = Path(path)
    write_bytes(path, save(arrays, metadata={_KEY: text}))
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

    `name`: Path of a .safetensors file, or a variant.
    Raises ExportError: There is no such file, or it is no export of this program.
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
    with reading(path), safe_open(path, framework="numpy") as file:
        record = json.loads((file.metadata() or {})[_KEY])
        version, variant, fields = record["format"], record["variant"], record["config"]
        _check_plain(fields)
    if version not in _FORMATS:
        raise ExportError(
            f"{path}: has format {str(version)[:20]}, this program reads 1 and {_FORMAT}; update it"
        )
    if not isinstance(variant, str):
        raise ExportError(f"{path}: names no variant; use a file from hvc export")
    renamed = _RENAMED.get(version, {})
    variant = renamed.get(variant, variant)
    try:
        motion = fields["model"]["motion"]
        motion["kind"] = renamed.get(motion["kind"], motion["kind"])
    except (KeyError, TypeError):
        raise ExportError(f"{path}: has no configuration; use a file from hvc export") from None
    return Export(path, variant, fields)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns whatever a model file that is none provokes into an `ExportError` that names it."""
    try:
        yield
    except _BAD_FILE as error:
        if type(error).__module__.startswith("hvc_jax"):
            raise  # says what is wrong already

        raise ExportError(
            f"{path}: is no model of this program, or is damaged ({type(error).__name__}); use a "
            "file from hvc export"
        ) from error


def _check_plain(value: Any, depth: int = 0) -> None:
    """Raises ValueError unless `value` is what a configuration is made of."""
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        for inner in value.values():
            _check_plain(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check_plain(inner, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is not finite")
    elif isinstance(value, int) and abs(value) > 1 << 53:
        raise ValueError("a number is too large")


def known_exports() -> Iterator[Export]:
    """Yields the models that are shipped, then those in the folders of HVC_MODELS."""
    folders = filter(None, os.environ.get(MODEL_PATH, "").split(os.pathsep))
    for folder in (PRETRAINED, *map(Path, folders)):
        for path in sorted(folder.glob("*.safetensors")):
            # Other networks lie there too, and files that cannot be read.
            with contextlib.suppress(ExportError, OSError):
                yield load_export(path)


def find_export(model_id: bytes) -> Export | None:
    """The model with an id, 8 bytes from the header of a stream, among `known_exports`."""
    return next((export for export in known_exports() if export.model_id == model_id), None)
