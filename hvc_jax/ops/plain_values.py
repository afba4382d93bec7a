"""What a pickle of plain values may build: arrays, numbers, dictionaries, each checked here.

numpy's own `dtype.__setstate__` and `multiarray.scalar` trust their arguments, so neither is
called: types are read from a short pattern, and an array's bytes must be as many as its shape says.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

Name = tuple[str, str]

ROOM = 1 << 20
"""Bytes of arrays that even the smallest file may make."""
GROWTH = 16
"""Bytes of arrays that a file may make for each of its own."""

_SIMPLE_DTYPE = re.compile(r"[<>|=]?([biufcSUO])(\d{0,4})|bool|u?int(8|16|32|64)|float(16|32|64)")
_KEYS = (str, int, bool, bytes, type(None))


class UnpickleError(ValueError):
    """A weights file is damaged, or asks for more than numbers; one plain sentence."""


class Constructor:
    """What an allowed name stands for: called where the pickle calls or instantiates the name."""

    def __init__(self, make: Callable[..., Any]):
        self.make = make


class Stateful:
    """Base of the inert objects that a pickle may give a state."""

    def set_state(self, state: Any, reader: Any) -> Any:
        """Takes the state over and returns the object that stands for this one from now on."""
        return self


class Budget:
    """Counts the bytes that a file makes. `size`: of the file, bytes."""

    def __init__(self, size: int):
        self.left = ROOM + GROWTH * size

    def take(self, count: int) -> None:
        """Takes bytes off. Raises UnpickleError: more than the file may make."""
        self.left -= count
        if count < 0 or self.left < 0:
            raise UnpickleError("The file claims arrays far larger than itself; it was not read.")


class _DType(Stateful):
    """A numpy type of plain numbers or strings, by its code; only the byte order is a state."""

    def __init__(self, code: Any, *_: Any):
        if isinstance(code, bytes):
            code = code.decode("latin1")
        if not isinstance(code, str) or not _SIMPLE_DTYPE.fullmatch(code):
            raise UnpickleError("The file has an array of a type that is not plain numbers.")
        self.dtype = np.dtype(code)

    def set_state(self, state: Any, reader: Any) -> "_DType":
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
            raise UnpickleError("The file has an array of a damaged type.")
        if any(part is not None for part in state[2:5]):
            raise UnpickleError("The file has an array of records, which is not plain numbers.")
        self.dtype = self.dtype.newbyteorder(state[1])
        return self


def _plain_dtype(value: Any) -> np.dtype:
    if not isinstance(value, _DType):
        raise UnpickleError("The file has an array of a type that is not plain numbers.")
    return value.dtype


def _shape(value: Any) -> tuple[int, ...]:
    good = isinstance(value, list | tuple) and len(value) <= 32
    if not good or not all(type(n) is int and 0 <= n < 1 << 40 for n in value):
        raise UnpickleError("An array in the file has an impossible shape.")
    return tuple(value)


def _raw(value: Any) -> bytes:
    """Returns the bytes of an array, which Python 2 wrote as a string."""
    if isinstance(value, str):
        return value.encode("latin1")
    if not isinstance(value, bytes):
        raise UnpickleError("An array in the file has no bytes.")
    return value


def fill_array(array: np.ndarray, state: Any, budget: Budget) -> None:
    """Gives an empty array its shape, type and content, checked against each other."""
    if not isinstance(state, tuple) or len(state) != 5:
        raise UnpickleError("An array in the file is damaged.")
    shape, dtype, fortran, content = _shape(state[1]), _plain_dtype(state[2]), state[3], state[4]
    count = math.prod(shape)
    if dtype.hasobject:
        if type(content) is not list or len(content) != count:
            raise UnpickleError("An array in the file has another size than it says.")
        budget.take(8 * count)
    else:
        content = _raw(content)
        budget.take(len(content))
        if len(content) != count * dtype.itemsize:
            raise UnpickleError("An array in the file has another size than it says.")
    array.__setstate__((1, shape, dtype, bool(fortran), content))


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any = "C", *_: Any) -> np.ndarray:
    """Returns the array that pickle protocol 5 writes as a buffer (numpy's `_frombuffer`)."""
    kind, size = _plain_dtype(dtype), _shape(shape)
    if kind.hasobject or not isinstance(content, bytes):
        raise UnpickleError("An array in the file has no bytes.")
    if len(content) != math.prod(size) * kind.itemsize:
        raise UnpickleError("An array in the file has another size than it says.")
    return np.frombuffer(content, kind).reshape(size, order="F" if order == "F" else "C")


def _scalar(dtype: Any, content: Any = b"", *_: Any) -> Any:
    kind, raw = _plain_dtype(dtype), _raw(content)
    if kind.hasobject or len(raw) != kind.itemsize or not raw:
        raise UnpickleError("A number in the file has another size than it says.")
    return np.frombuffer(raw, kind)[0].item()


def _mapping(*arguments: Any) -> dict:
    out: dict = {}
    for pairs in arguments[-1:]:
        items = pairs.items() if type(pairs) is dict else pairs
        set_items(out, [part for pair in (items or ()) for part in pair])
    return out


def set_items(target: Any, items: list) -> None:
    """Puts keys and values, one after the other in `items`, into the dictionary `target`.

    Raises UnpickleError: `target` is no dictionary, or a key is no name and no small integer.
    """
    if not isinstance(target, dict) or len(items) % 2:
        raise UnpickleError("The file puts a field into what is no dictionary.")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Small: integers that are equal modulo 2**61 - 1 would all land in one slot.
        if type(key) not in _KEYS or (type(key) is int and abs(key) >= 1 << 40):
            raise UnpickleError("The file has a dictionary whose keys are no names or numbers.")
        dict.__setitem__(target, key, value)


class _JoblibArray(Stateful):
    """joblib's note that the bytes of an array follow in the file."""

    def __init__(self, *_: Any):
        pass

    def set_state(self, state: Any, reader: Any) -> np.ndarray:
        shape, dtype = _shape(state["shape"]), _plain_dtype(state["dtype"])
        if dtype.hasobject:
            return reader.nested()
        if state.get("numpy_array_alignment_bytes") is not None:
            reader.file.read(reader.file.read(1)[0])
        count = math.prod(shape)
        reader.budget.take(count * dtype.itemsize)
        raw = reader.file.read(count * dtype.itemsize)
        if len(raw) != count * dtype.itemsize:
            raise UnpickleError("An array in the file has another size than it says.")
        order = "F" if state.get("order") == "F" else "C"
        return np.frombuffer(raw, dtype).reshape(shape, order=order)


_NDARRAY = object()
"""Stands for the class numpy.ndarray, which may be named but not called."""


def _empty_array(*_: Any) -> np.ndarray:
    return np.empty(0, np.uint8)


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise UnpickleError("The file encodes what is no text.")
    return text.encode("latin1")


def _no_bytes(*arguments: Any) -> bytes:
    if arguments:
        raise UnpickleError("The file makes bytes of what is none.")
    return b""


def _items(values: Any = ()) -> list:
    return list(values) if isinstance(values, list | tuple) else []


def _path(*parts: Any) -> str:
    return "/".join(part for part in parts if isinstance(part, str))


PLAIN_NAMES: dict[Name, Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): Constructor(_DType),
    ("collections", "OrderedDict"): Constructor(_mapping),
    ("collections", "defaultdict"): Constructor(_mapping),
    ("_codecs", "encode"): Constructor(_encode),
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): Constructor(_JoblibArray),
    ("pathlib", "PosixPath"): Constructor(_path),
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    PLAIN_NAMES[_module, "_reconstruct"] = Constructor(_empty_array)
    PLAIN_NAMES[_module, "scalar"] = Constructor(_scalar)
for _module in ("numpy.core.numeric", "numpy._core.numeric"):
    PLAIN_NAMES[_module, "_frombuffer"] = Constructor(_from_buffer)
for _module in ("__builtin__", "builtins"):
    for _kind in ("set", "frozenset", "list", "tuple"):
        PLAIN_NAMES[_module, _kind] = Constructor(_items)
    PLAIN_NAMES[_module, "bytes"] = Constructor(_no_bytes)  # how protocol 2 writes an empty one
    # Classes that may be named, as the default of a defaultdict or the base of an object.
    PLAIN_NAMES[_module, "dict"] = Constructor(_mapping)
    PLAIN_NAMES[_module, "object"] = object


def plain_array(value: Any, most: int) -> np.ndarray:
    """Returns numbers as an array: an array as it is, nested lists of equal lengths stacked.

    Lists in a pickle may contain the same list many times, so that a short file can describe more
    numbers than any memory holds: the count is limited to `most`, e.g. the bytes of the file,
    before anything is made. Raises ValueError: ragged, too many, or no numbers.
    """
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return value
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.ndim else value.item()
    shape: list[int] = []
    level = [value]
    while level and all(isinstance(v, list | tuple) for v in level):
        lengths = {len(v) for v in level}
        if len(lengths) != 1:
            raise ValueError("lists of different lengths")
        if len(shape) >= 8:
            raise ValueError("lists nested too deeply")
        count = lengths.pop()
        if len(level) * count > most:
            raise ValueError("more numbers than the file can hold")
        shape.append(count)
        level = [entry for v in level for entry in v]
    if not level:
        return np.zeros(shape, np.float32)
    if all(isinstance(v, np.ndarray) and not v.dtype.hasobject for v in level):
        if len({v.shape for v in level}) != 1 or len(level) * level[0].size > most:
            raise ValueError("arrays of different shapes, or more than the file can hold")
        return np.stack(level).reshape(*shape, *level[0].shape)
    if not all(isinstance(v, int | float | np.number | np.bool_) for v in level):
        raise ValueError("no numbers")
    array = np.array(level)
    if array.dtype.hasobject:
        raise ValueError("integers of more than 64 bits")
    return array.reshape(shape)
