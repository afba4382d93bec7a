"""Pickled weights without running what is in them: numpy pickles and PyTorch state files.

A pickle is a program. This reader admits the few constructors that arrays and state dicts need
and refuses every other, so that a file from the internet can hold numbers and nothing else. It
needs no torch.
"""

import collections
import io
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Name = tuple[str, str]


class UnpickleError(ValueError):
    """A weights file is damaged, or asks for more than numbers; one plain sentence."""


class _Storage(NamedTuple):
    """A flat buffer of a PyTorch file; the data of legacy files follow after the pickle."""

    key: str
    dtype: np.dtype
    data: np.ndarray


_NUMPY: dict[Name, Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("_codecs", "encode"): lambda text, encoding: text.encode(encoding),
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _NUMPY[_module, "_reconstruct"] = np._core.multiarray._reconstruct
    _NUMPY[_module, "scalar"] = np._core.multiarray.scalar

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


class AllowListUnpickler(pickle.Unpickler):
    """Reads a pickle that may name only the given constructors.

    Args:
        file: a binary file.
        allowed: (module, name) -> the object that stands for it.
        encoding: for strings of Python 2 pickles.
        storage: turns a PyTorch persistent id into a buffer; None refuses them.
    """

    def __init__(
        self,
        file: Any,
        allowed: Mapping[Name, Any] = _NUMPY,
        encoding: str = "latin1",
        storage: Callable[[tuple], _Storage] | None = None,
    ):
        super().__init__(file, encoding=encoding)
        self._allowed = allowed
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """Returns an allowed constructor.

        Raises:
            UnpickleError: the name is not on the list.
        """
        try:
            return self._allowed[module, name]
        except KeyError:
            raise UnpickleError(
                f"The weights file asks for {module}.{name}, which is not plain numbers; "
                "it was not read."
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        """Returns the buffer that a PyTorch file refers to."""
        if self._storage is None or not isinstance(pid, tuple):
            raise UnpickleError("The pickle refers to data outside itself; it was not read.")
        return self._storage(pid)


def load_pickle(
    path: str | os.PathLike, extra: Mapping[Name, Any] | None = None, encoding: str = "latin1"
) -> Any:
    """Returns the object in a pickle of plain Python values and numpy arrays.

    Args:
        path: the file.
        extra: further constructors to admit, (module, name) -> object.
        encoding: for strings of Python 2 pickles.

    Raises:
        UnpickleError: the file is missing, damaged, or names another constructor.
    """
    return _guarded(
        path, lambda file: AllowListUnpickler(file, {**_NUMPY, **(extra or {})}, encoding).load()
    )


def load_torch(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Returns the arrays of a PyTorch state file (.pth, .pt), by name.

    Reads both the zip container of today and the plain sequence of pickles before version 1.6.

    Raises:
        UnpickleError: the file is missing, damaged, or holds more than a dict of tensors.
    """

    def read(file: io.BufferedReader) -> Any:
        return _load_zip(file) if zipfile.is_zipfile(path) else _load_legacy(file)

    state = _guarded(path, read)
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise UnpickleError(f"{path} holds no dict of tensors; save a state_dict.")
    return {str(k): v for k, v in state.items() if isinstance(v, np.ndarray)}


def _guarded(path: str | os.PathLike, read: Callable[[io.BufferedReader], Any]) -> Any:
    """Returns what `read` makes of an open file, every failure as `UnpickleError`."""
    try:
        with Path(path).open("rb") as file:
            return read(file)
    except UnpickleError:
        raise
    except OSError as error:
        raise UnpickleError(f"{path} cannot be read ({error.strerror or error}).") from error
    except Exception as error:  # a damaged pickle raises almost anything
        raise UnpickleError(f"{path} is damaged, or no weights file ({error}).") from error


def _torch_names() -> dict[Name, Any]:
    names: dict[Name, Any] = {
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
    }
    names.update({("torch", name): np.dtype(kind) for name, kind in _STORAGES.items()})
    return _NUMPY | names


def _rebuild_tensor(
    storage: _Storage, offset: int, size: tuple, stride: tuple, *_: Any
) -> np.ndarray:
    """Returns the array that a tensor's view of its storage shows; checks that it stays inside."""
    if min((offset, *size, *stride), default=0) < 0 or len(size) != len(stride):
        raise UnpickleError("A tensor in the file has an impossible shape.")
    if any(n == 0 for n in size):
        return np.zeros(size, storage.dtype)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if last >= storage.data.size:
        raise UnpickleError("A tensor in the file reaches past its data.")
    step = storage.dtype.itemsize
    return np.lib.stride_tricks.as_strided(
        storage.data[offset:], size, [s * step for s in stride], writeable=False
    )


def _load_zip(file: io.BufferedReader) -> Any:
    """Returns the object of a zip container: name/data.pkl beside name/data/<key>."""
    archive = zipfile.ZipFile(file)
    index = next((n for n in archive.namelist() if n.endswith("/data.pkl")), None)
    if index is None:
        raise UnpickleError("The file is a zip without data.pkl, so no PyTorch state.")
    folder = index.removesuffix("data.pkl")

    def storage(pid: tuple) -> _Storage:
        _, dtype, key, _, count = pid
        entry = archive.getinfo(f"{folder}data/{key}")
        if entry.file_size != count * dtype.itemsize:
            raise UnpickleError("A tensor in the file has another size than it says.")
        return _Storage(str(key), dtype, np.frombuffer(archive.read(entry), dtype))

    return AllowListUnpickler(
        io.BytesIO(archive.read(index)), _torch_names(), storage=storage
    ).load()


def _load_legacy(file: io.BufferedReader) -> Any:
    """Returns the object of the old layout: five pickles, then the buffers in their key order."""
    for _ in range(3):  # magic number, protocol, system facts
        AllowListUnpickler(file).load()
    room = os.fstat(file.fileno()).st_size
    buffers: dict[str, _Storage] = {}

    def storage(pid: tuple) -> _Storage:
        _, dtype, key, _, count = pid[:5]
        if not 0 <= count * dtype.itemsize <= room:
            raise UnpickleError("A tensor in the file is larger than the file.")
        return buffers.setdefault(str(key), _Storage(str(key), dtype, np.zeros(count, dtype)))

    state = AllowListUnpickler(file, _torch_names(), storage=storage).load()
    for key in AllowListUnpickler(file).load():
        buffer = buffers[str(key)]
        count = int.from_bytes(file.read(8), "little")
        if count != buffer.data.size:
            raise UnpickleError("A tensor in the file has another size than it says.")
        raw = file.read(count * buffer.dtype.itemsize)
        buffer.data[:] = np.frombuffer(raw, buffer.dtype)
    return state
