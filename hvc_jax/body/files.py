"""SMPL, SMPL-H and SMPL-X model files (.npz, .pkl) as plain arrays; nothing in them is executed.

Official .pkl files hold chumpy objects and scipy matrices. They are read by the allow-list
unpickler with inert stand-ins, so neither package is needed and a file that names anything else is
refused. No jax in this module.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hvc_jax.ops.files import atomic_path
from hvc_jax.ops.npz import npz_names, read_npz
from hvc_jax.ops.plain_values import Budget, Constructor, Name, Stateful, UnpickleError, plain_array
from hvc_jax.ops.unpickle import load_pickle

KINDS = {24: "smpl", 52: "smplh", 55: "smplx"}
"""Number of joints -> kind of model."""

_SHAPE_SPACE = 300
_EXPRESSION_SPACE = 100
_OPTIONAL = (
    "hands_componentsl",
    "hands_componentsr",
    "hands_meanl",
    "hands_meanr",
    "lmk_faces_idx",
    "lmk_bary_coords",
    "dynamic_lmk_faces_idx",
    "dynamic_lmk_bary_coords",
    "vt",
    "ft",
)


class BodyFileError(ValueError):
    """A body model file is missing, damaged or inconsistent; one sentence that names the field."""


class _Inert(Stateful):
    """Takes the place of a chumpy or scipy object: keeps its state, does nothing."""

    def __init__(self, *_: Any):
        self.state: dict[str, Any] = {}

    def set_state(self, state: Any, reader: Any) -> "_Inert":
        self.state = state if isinstance(state, dict) else {}
        return self


class _Chumpy(_Inert):
    pass


class _Compressed(_Inert):
    by_column = True


class _CompressedRows(_Compressed):
    by_column = False


_NESTED = 16
"""Chumpy objects inside of each other, at most."""


def _dense(value: Any, budget: Budget, depth: int = 0) -> np.ndarray:
    """Returns the numbers of a field, dense; ValueError: of unknown make-up, or impossibly many."""
    if depth > _NESTED:
        raise ValueError("chumpy objects nested too deeply")
    if isinstance(value, _Compressed):
        return _from_sparse(value, budget)
    if not isinstance(value, _Chumpy):
        return plain_array(value, budget.left)
    state = value.state
    if "x" in state:
        return _dense(state["x"], budget, depth + 1)
    if "a" in state and "idxs" in state:
        index = plain_array(state["idxs"], budget.left)
        budget.take(8 * index.size)
        picked = _dense(state["a"], budget, depth + 1).ravel()[index]
        shape = state.get("preferred_shape", picked.shape)
        return picked.reshape([int(n) for n in plain_array(shape, 32).ravel()])
    raise ValueError("a chumpy object of unknown make-up")


def _from_sparse(value: _Compressed, budget: Budget) -> np.ndarray:
    shape = value.state.get("_shape", value.state.get("shape"))
    rows, columns = (int(n) for n in plain_array(shape, 2).ravel())
    data, indices, starts = (
        plain_array(value.state[key], budget.left).ravel() for key in ("data", "indices", "indptr")
    )
    lines, width = (columns, rows) if value.by_column else (rows, columns)
    counts = np.diff(starts)
    fits = min(rows, columns) >= 0 and len(starts) == lines + 1 and starts[0] == 0
    if not fits or (counts < 0).any() or not counts.sum() == len(data) == len(indices):
        raise ValueError("a sparse matrix that does not fit together")
    if len(indices) and not 0 <= indices.min() <= indices.max() < width:
        raise ValueError("a sparse matrix with entries outside of it")
    budget.take(8 * rows * columns)
    out = np.zeros((rows, columns))
    major = np.repeat(np.arange(lines), counts)
    np.add.at(out, (indices, major) if value.by_column else (major, indices), data)
    return out


def _reconstruct(cls: Any, base: Any, state: Any = None) -> Any:
    inert = isinstance(cls, Constructor) and isinstance(cls.make, type)
    if not inert or not issubclass(cls.make, _Inert) or base is not object:
        raise UnpickleError("The file reconstructs an object that is no array; it was not read.")
    return cls.make()


def _allowed() -> dict[Name, Any]:
    names: dict[Name, Any] = {
        ("chumpy.ch", "Ch"): _Chumpy,
        ("chumpy", "Ch"): _Chumpy,
        ("chumpy.reordering", "Select"): _Chumpy,
    }
    for module in ("csc", "_csc"):
        names["scipy.sparse." + module, "csc_matrix"] = _Compressed
    for module in ("csr", "_csr"):
        names["scipy.sparse." + module, "csr_matrix"] = _CompressedRows
    for module in ("copy_reg", "copyreg"):
        names[module, "_reconstructor"] = _reconstruct
    return names


def read_raw(path: str | os.PathLike) -> dict[str, Any]:
    """Returns the fields of a model file: arrays, with chumpy and sparse ones made dense.

    Fields that are no numbers (names, dictionaries) are left out.
    Raises BodyFileError: missing, damaged, or asks for anything but numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise BodyFileError(f"{path} does not exist; give the path of a .npz or .pkl body model")
    try:
        content = read_npz(path) if path.suffix == ".npz" else load_pickle(path, _allowed())
    except UnpickleError as error:
        raise BodyFileError(f"{path}: {error}") from None
    if not isinstance(content, Mapping):
        raise BodyFileError(f"{path} holds a {type(content).__name__}, not the fields of a body")
    out, budget = {}, Budget(path.stat().st_size)
    for key, value in content.items():
        sparse = isinstance(value, _Inert)
        try:
            array = _dense(value, budget)
        except (ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
            if sparse:
                raise BodyFileError(
                    f"{path}: field {str(key)[:40]!r} is damaged ({str(error)[:100]})"
                ) from None
            continue
        if array.dtype.kind in "fiub":
            out[str(key)] = array
    return out


def is_model(path: str | os.PathLike) -> bool:
    """Returns whether a file looks like a body model, whole or damaged: it has a template."""
    path = Path(path)
    if path.suffix == ".npz":
        return "v_template" in npz_names(path)
    return path.suffix == ".pkl" and b"v_template" in path.read_bytes()


def read_model(path: str | os.PathLike) -> dict[str, Any]:
    """Returns the checked fields of a SMPL-family file under their official names.

    v_template [V, 3], shapedirs [V, 3, S], posedirs [V, 3, 9 (J - 1)], J_regressor [J, V],
    weights [V, J], f [F, 3], kintree_table [2, J], and those present of hands_components{l,r},
    hands_mean{l,r}, lmk_faces_idx, lmk_bary_coords, dynamic_lmk_faces_idx,
    dynamic_lmk_bary_coords, vt, ft.
    Raises BodyFileError: a field is missing, has a wrong shape, or holds NaN; the message names it.
    """
    raw = read_raw(path)

    def field(name: str, *shape: int | None) -> np.ndarray:
        if name not in raw:
            raise BodyFileError(f"{path}: field {name!r} is missing, so this is no SMPL model")
        value = np.asarray(raw[name])
        fits = value.ndim == len(shape) and all(
            want is None or want == got for want, got in zip(shape, value.shape, strict=True)
        )
        if not fits:
            wanted = "x".join("any" if n is None else str(n) for n in shape)
            raise BodyFileError(
                f"{path}: field {name!r} has shape {'x'.join(map(str, value.shape))}, not {wanted}"
            )
        # Numbers that float32 cannot hold are as bad as infinite ones.
        if value.dtype.kind == "f" and not (np.abs(value) < np.finfo(np.float32).max).all():
            raise BodyFileError(
                f"{path}: field {name!r} holds NaN, infinity, or numbers beyond 3e38"
            )
        return value

    tree = field("kintree_table", 2, None)
    joints = tree.shape[1]
    if joints not in KINDS:
        raise BodyFileError(
            f"{path}: field 'kintree_table' has {joints} joints; SMPL has 24, SMPL-H 52, SMPL-X 55"
        )
    template = field("v_template", None, 3)
    count = len(template)
    out = {
        "kintree_table": tree,
        "v_template": template,
        "shapedirs": field("shapedirs", count, 3, None),
        "posedirs": field("posedirs", count, 3, 9 * (joints - 1)),
        "J_regressor": field("J_regressor", joints, count),
        "weights": field("weights", count, joints),
        "f": field("f", None, 3).astype(np.int64),
    }
    if out["f"].size and not (out["f"].min() >= 0 and out["f"].max() < count):
        raise BodyFileError(f"{path}: field 'f' names vertices outside 0..{count - 1}")
    parents(out, path)
    for name in _OPTIONAL:
        if name in raw:
            out[name] = field(name, *[None] * raw[name].ndim)
    return out


def parents(model: Mapping[str, np.ndarray], path: str | os.PathLike = "the model") -> tuple:
    """Returns the parent of every joint, -1 for the root; BodyFileError: one follows its child."""
    table = np.asarray(model["kintree_table"][0]).astype(np.int64)
    out = (-1, *(int(p) for p in table[1:]))
    if any(not 0 <= p < j for j, p in enumerate(out) if j):
        raise BodyFileError(f"{path}: field 'kintree_table' is no tree with parents first")
    return out


def split_directions(
    model: Mapping[str, np.ndarray], num_betas: int, num_expression: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns shape [S, V, 3] and expression [E, V, 3] directions, at most as many as asked for.

    SMPL-X keeps both in one field: 300 + 100 in the full files, 10 + 10 in the small ones (as the
    smplx package reads them). SMPL and SMPL-H have no expression.
    """
    every = np.moveaxis(np.asarray(model["shapedirs"]), -1, 0)
    if model["kintree_table"].shape[1] != 55:
        return every[:num_betas], every[:0]
    full = len(every) >= _SHAPE_SPACE + _EXPRESSION_SPACE
    first = _SHAPE_SPACE if full else 10
    shape = every[: min(num_betas, first)]
    expression = every[first : first + (num_expression if full else min(num_expression, 10))]
    return shape, expression


def write_model(path: str | os.PathLike, model: Mapping[str, np.ndarray]) -> None:
    """Writes checked fields as a plain .npz that loads without pickle, here and in smplx."""
    with atomic_path(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **model)
