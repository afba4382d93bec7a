"""PyTorch state files (.pth, .pt) as arrays, without torch and without running them."""

import io
import math
import os
import zipfile
from typing import Any, NamedTuple

import numpy as np

from hvc_jax.ops.plain_values import PLAIN_NAMES, Budget, Constructor, Name, UnpickleError
from hvc_jax.ops.unpickle import PlainUnpickler, entry_bytes, guarded


class _Storage(NamedTuple):
    """A flat buffer of a PyTorch file; the data of legacy files follow after the pickle."""

    key: str
    dtype: np.dtype
    data: np.ndarray


_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}


def load_torch(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Returns the arrays of a PyTorch state file (.pth, .pt), by name.

    Reads both the zip container of today and the plain sequence of pickles before version 1.6.
    Raises UnpickleError: the file is missing, damaged, or holds more than a dict of tensors.
    """
    state = load_torch_tree(path)
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise UnpickleError(f"{path} holds no dict of tensors; save a state_dict.")
    return {str(k): v for k, v in state.items() if isinstance(v, np.ndarray)}


def load_torch_tree(path: str | os.PathLike) -> Any:
    """Returns what torch.save wrote, plain values with tensors as arrays; else UnpickleError."""

    def read(file: io.BufferedReader) -> Any:
        if zipfile.is_zipfile(path):
            return _load_zip(file, os.fstat(file.fileno()).st_size)
        data = file.read()
        return _load_legacy(data, Budget(len(data)))

    return guarded(path, read)


def tensor_names(budget: Budget) -> dict[Name, Any]:
    """Returns the constructors of tensors, for pickles that hold some among other values."""

    def from_bytes(data: Any) -> Any:
        if not isinstance(data, bytes):
            raise UnpickleError("A tensor in the file has no bytes.")
        return _load_legacy(data, budget)

    return _torch_names(budget) | {("torch.storage", "_load_from_bytes"): Constructor(from_bytes)}


def _torch_names(budget: Budget) -> dict[Name, Any]:
    def rebuild(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> np.ndarray:
        return _rebuild_tensor(storage, offset, size, stride, budget)

    names: dict[Name, Any] = {
        ("torch._utils", "_rebuild_tensor_v2"): Constructor(rebuild),
        ("torch._utils", "_rebuild_parameter"): Constructor(lambda data, *_: data),
        ("torch", "Size"): Constructor(lambda size=(): tuple(size)),
    }
    names.update({("torch", name): np.dtype(kind) for name, kind in _STORAGES.items()})
    return PLAIN_NAMES | names


def _rebuild_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, budget: Budget
) -> np.ndarray:
    """Returns the array that a tensor's view of its storage shows; checks that it stays inside."""
    whole = isinstance(storage, _Storage) and isinstance(size, tuple) and isinstance(stride, tuple)
    if not whole or not all(type(n) is int for n in (offset, *size, *stride)):
        raise UnpickleError("A tensor in the file is damaged.")
    if min((offset, *size, *stride), default=0) < 0 or len(size) != len(stride) or len(size) > 32:
        raise UnpickleError("A tensor in the file has an impossible shape.")
    if any(n == 0 for n in size):
        return np.zeros(tuple(min(n, 1) for n in size), storage.dtype)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if last >= storage.data.size:
        raise UnpickleError("A tensor in the file reaches past its data.")
    budget.take(math.prod(size) * storage.dtype.itemsize)  # a step of 0 repeats what is there
    step = storage.dtype.itemsize
    return np.lib.stride_tricks.as_strided(
        storage.data[offset:], size, [s * step for s in stride], writeable=False
    )


def _pid(pid: tuple) -> tuple[np.dtype, str, int]:
    """Returns type, key and length that a persistent id names."""
    if len(pid) < 5 or not isinstance(pid[1], np.dtype) or type(pid[4]) is not int:
        raise UnpickleError("A tensor in the file is damaged.")
    return pid[1], str(pid[2])[:40], pid[4]


def _load_zip(file: io.BufferedReader, size: int) -> Any:
    """Returns the object of a zip container: name/data.pkl beside name/data/<key>."""
    archive = zipfile.ZipFile(file)
    index = next((n for n in archive.namelist() if n.endswith("/data.pkl")), None)
    if index is None:
        raise UnpickleError("The file is a zip without data.pkl, so no PyTorch state.")
    folder, budget = index.removesuffix("data.pkl"), Budget(size)
    kept: dict[str, _Storage] = {}

    def content(name: str) -> bytes:
        entry = archive.getinfo(name)
        budget.take(entry.file_size)
        return entry_bytes(archive, entry)

    def storage(pid: tuple) -> _Storage:
        dtype, key, count = _pid(pid)
        if key not in kept:
            if archive.getinfo(f"{folder}data/{key}").file_size != count * dtype.itemsize:
                raise UnpickleError("A tensor in the file has another size than it says.")
            kept[key] = _Storage(key, dtype, np.frombuffer(content(f"{folder}data/{key}"), dtype))
        return kept[key]

    return PlainUnpickler(
        io.BytesIO(content(index)), _torch_names(budget), storage=storage, budget=budget
    ).load()


def _load_legacy(data: bytes, budget: Budget) -> Any:
    """Returns the object of the old layout: five pickles, then the buffers in their key order."""
    file = io.BytesIO(data)
    for _ in range(3):  # magic number, protocol, system facts
        PlainUnpickler(file, budget=budget).load()
    buffers: dict[str, _Storage] = {}

    def storage(pid: tuple) -> _Storage:
        dtype, key, count = _pid(pid)
        if key not in buffers:
            if not 0 <= count * dtype.itemsize <= len(data):
                raise UnpickleError("A tensor in the file is larger than the file.")
            budget.take(count * dtype.itemsize)
            buffers[key] = _Storage(key, dtype, np.zeros(count, dtype))
        return buffers[key]

    state = PlainUnpickler(file, _torch_names(budget), storage=storage, budget=budget).load()
    for key in PlainUnpickler(file, budget=budget).load():
        buffer = buffers[str(key)]
        count = int.from_bytes(file.read(8), "little")
        if count != buffer.data.size:
            raise UnpickleError("A tensor in the file has another size than it says.")
        raw = file.read(count * buffer.dtype.itemsize)
        buffer.data[:] = np.frombuffer(raw, buffer.dtype)
    return state
