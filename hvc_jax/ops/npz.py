"""NumPy files (.npy, .npz) read within limits: what a header claims is checked before it is read.

Arrays of Python objects (dictionaries that np.save was given) go through the reader of pickles,
which runs nothing.
"""

import io
import math
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from hvc_jax.ops.plain_values import GROWTH, Budget
from hvc_jax.ops.torch_files import tensor_names
from hvc_jax.ops.unpickle import INFLATED_ROOM, PlainUnpickler, entry_bytes, guarded


class _TooLarge(ValueError):
    pass


def read_npy(path: str | os.PathLike) -> Any:
    """Returns the array, or plain objects, of a .npy file; UnpickleError: none, or damaged."""
    return guarded(path, lambda file: _array(file.read()))


def read_npz(path: str | os.PathLike) -> dict[str, Any]:
    """Returns arrays of a .npz file by name, but for records; UnpickleError: none, or damaged."""

    def read(file: io.BufferedReader) -> dict[str, Any]:
        room = INFLATED_ROOM + 2 * GROWTH * Path(path).stat().st_size
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > room:
                raise _TooLarge("its arrays are far larger than the file")
            out = {}
            for entry in entries:
                value = _array(entry_bytes(archive, entry))
                if value is not None:
                    out[entry.filename.removesuffix(".npy")] = value
        return out

    return guarded(path, read)


def npz_names(path: str | os.PathLike) -> set[str]:
    """Returns the names of the arrays of a .npz file; empty for other files."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except Exception:  # a damaged directory raises almost anything
        return set()


def _array(data: bytes) -> Any:
    """Returns the array, the plain objects, or None for records, of the bytes of a .npy file."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"version {version[0]}.{version[1]} of .npy")
    with warnings.catch_warnings():  # of headers that Python 2 wrote
        warnings.simplefilter("ignore")
        shape, fortran, dtype = readers[version](file)
    if any(type(n) is not int or n < 0 for n in shape) or len(shape) > 32:
        raise ValueError("an impossible shape")
    if dtype.fields is not None or dtype.subdtype is not None or dtype.kind == "V":
        return None
    left = len(data) - file.tell()
    if dtype.hasobject:
        budget = Budget(len(data))
        value = PlainUnpickler(
            io.BytesIO(data[file.tell() :]), tensor_names(budget), budget=budget
        ).load()
        return value.item() if isinstance(value, np.ndarray) and value.shape == () else value
    if math.prod(shape) * dtype.itemsize != left:
        raise ValueError("an array has another size than it says")
    if not left:
        return np.zeros(shape, dtype)
    return np.frombuffer(data, dtype, offset=file.tell()).reshape(
        shape, order="F" if fortran else "C"
    )
