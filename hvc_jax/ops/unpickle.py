"""Pickles of plain values and numpy arrays, read without running what is in them.

A pickle is a program. This reader interprets its opcodes, but every opcode that would call, build
or hash something is replaced (as joblib replaces the one for its arrays): constructors come from a
short table and are written here, keys of dictionaries are strings or small integers (hashing a
million nested tuples overflows the stack), numpy's own `dtype.__setstate__` and
`multiarray.scalar` are never called (they trust the file), and the bytes of all arrays together
stay below a constant times those of the file.
"""

import bz2
import codecs
import io
import lzma
import os
import pickle
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hvc_jax.ops.plain_values import (
    GROWTH,
    PLAIN_NAMES,
    Budget,
    Constructor,
    Name,
    Stateful,
    UnpickleError,
    fill_array,
    set_items,
)

OPCODES_AT_MOST = 2_500_000
"""Steps of a pickle: each may make an object of some 50 bytes out of one in the file."""
REMEMBERED_AT_MOST = 500_000
"""Objects that a pickle may keep to name them again, at about 150 bytes each."""
INFLATED_ROOM = 16 << 20
"""Bytes that even the smallest compressed file may become."""


class PlainUnpickler(pickle._Unpickler):
    """Reads a pickle that may name only the given constructors.

    Args:
        file: a binary file in memory, at the start of the pickle.
        allowed: (module, name) -> a `Constructor`, or an inert value that stands for the name;
            any other callable is called as it is.
        storage: turns a PyTorch persistent id into a buffer; None refuses them.
        budget: of the file that the pickle is part of.
    """

    dispatch = dict(pickle._Unpickler.dispatch)

    def __init__(
        self,
        file: io.BytesIO,
        allowed: Mapping[Name, Any] = PLAIN_NAMES,
        storage: Callable[[tuple], Any] | None = None,
        budget: Budget | None = None,
        depth: int = 0,
    ):
        super().__init__(file, encoding="latin1")  # of strings that Python 2 wrote
        self.file = file
        self.budget = budget or Budget(len(file.getbuffer()))
        self._allowed, self._storage, self._depth = allowed, storage, depth

    def load(self) -> Any:
        """Returns the object of the pickle; frames are read through, as they only help buffering.

        Raises:
            EOFError, UnpickleError and whatever a damaged pickle makes Python raise.
        """
        self.read, self.readline = self.file.read, self.file.readline
        self.metastack: list[list] = []
        self.stack: list[Any] = []
        self.append = self.stack.append
        self.proto = 0
        read, dispatch, memo = self.read, self.dispatch, self.memo
        try:
            for _ in range(OPCODES_AT_MOST):
                dispatch[read(1)[0]](self)
                if len(memo) > REMEMBERED_AT_MOST:
                    break
        except pickle._Stop as stop:
            return stop.value
        raise UnpickleError("The file holds more objects than a file of numbers needs.")

    def nested(self) -> Any:
        """Returns the object of a pickle that stands inside this one, where the file is now."""
        if self._depth >= 3:
            raise UnpickleError("The file holds pickles in pickles; it was not read.")
        inner = (self._allowed, self._storage, self.budget, self._depth + 1)
        return PlainUnpickler(self.file, *inner).load()

    def find_class(self, module: str, name: str) -> Any:
        """Returns what stands for an allowed name; UnpickleError of any other."""
        try:
            found = self._allowed[module, name]
        except KeyError:
            raise UnpickleError(
                f"The file asks for {module[:60]}.{name[:60]}, which is not plain numbers; "
                "it was not read."
            ) from None
        return Constructor(found) if callable(found) and found is not object else found

    def persistent_load(self, pid: Any) -> Any:
        """Returns the buffer that a PyTorch file refers to."""
        if self._storage is None or not isinstance(pid, tuple):
            raise UnpickleError("The pickle refers to data outside itself; it was not read.")
        return self._storage(pid)

    def _call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, Constructor) or not isinstance(arguments, tuple):
            raise UnpickleError("The file calls what is no constructor; it was not read.")
        return function.make(*arguments)

    def _reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], arguments)

    def _new_with_names(self) -> None:
        names = self.stack.pop()
        if names != {}:
            raise UnpickleError("The file calls a constructor in a way that is not known.")
        self._reduce()

    def _instance(self) -> None:
        module, name = (self.readline()[:-1].decode("ascii", "replace") for _ in range(2))
        self.append(self._call(self.find_class(module, name), tuple(self.pop_mark())))

    def _object(self) -> None:
        arguments = self.pop_mark()
        self.append(self._call(arguments[0], tuple(arguments[1:])))

    def _build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if type(target) is np.ndarray and target.size == 0:
            fill_array(target, state, self.budget)
        elif isinstance(target, Stateful):
            self.stack[-1] = target.set_state(state, self)
        elif not isinstance(target, dict):  # those of ordered dictionaries say nothing
            raise UnpickleError("The file gives a state to what has none; it was not read.")

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        set_items(self.stack[-1], [key, value])

    def _set_many(self) -> None:
        items = self.pop_mark()
        set_items(self.stack[-1], items)

    def _dictionary(self) -> None:
        items, out = self.pop_mark(), {}
        set_items(out, items)
        self.append(out)

    def _extend(self) -> None:
        items = self.pop_mark()
        if type(self.stack[-1]) is not list:
            raise UnpickleError("The file appends to what is no list.")
        self.stack[-1].extend(items)

    def _append_one(self) -> None:
        value = self.stack.pop()
        if type(self.stack[-1]) is not list:
            raise UnpickleError("The file appends to what is no list.")
        self.stack[-1].append(value)

    def _frozen_set(self) -> None:
        self.append(self.pop_mark())

    def _empty_set(self) -> None:  # as a list: nothing is hashed
        self.append([])

    def _persistent_text(self) -> None:
        raise UnpickleError("The pickle refers to data outside itself; it was not read.")

    def _frame(self) -> None:
        self.read(8)

    def _bytes(self) -> None:  # the original allocates what the file says before it reads
        self.append(self.read(int.from_bytes(self.read(8), "little")))

    def _refused(self) -> None:
        raise UnpickleError("The pickle holds what no file of numbers needs; it was not read.")


_REPLACED = {
    "REDUCE": "_reduce",
    "NEWOBJ": "_reduce",
    "NEWOBJ_EX": "_new_with_names",
    "INST": "_instance",
    "OBJ": "_object",
    "BUILD": "_build",
    "SETITEM": "_set_item",
    "SETITEMS": "_set_many",
    "DICT": "_dictionary",
    "APPEND": "_append_one",
    "APPENDS": "_extend",
    "EMPTY_SET": "_empty_set",
    "ADDITEMS": "_extend",
    "FROZENSET": "_frozen_set",
    "PERSID": "_persistent_text",
    "FRAME": "_frame",
    "BYTEARRAY8": "_bytes",
    "NEXT_BUFFER": "_refused",
    "READONLY_BUFFER": "_refused",
    "EXT1": "_refused",
    "EXT2": "_refused",
    "EXT4": "_refused",
}
for _opcode, _method in _REPLACED.items():
    PlainUnpickler.dispatch[getattr(pickle, _opcode)[0]] = getattr(PlainUnpickler, _method)


def load_pickle(path: str | os.PathLike, extra: Mapping[Name, Any] | None = None) -> Any:
    """Returns the object in a pickle (or joblib file) of plain Python values and numpy arrays.

    Sets come back as lists, ordered dictionaries as dictionaries. The zlib, gzip, bz2 and xz
    compression of joblib is undone. `extra`: further constructors to admit, (module, name) ->
    callable or `Constructor`. Raises UnpickleError: the file is missing, damaged, or names another
    constructor.
    """

    def read(file: io.BufferedReader) -> Any:
        data = inflate(file.read())
        return PlainUnpickler(io.BytesIO(data), PLAIN_NAMES | (extra or {})).load()

    return guarded(path, read)


def inflate(data: bytes) -> bytes:
    """Returns the content of a compressed file, or the file; UnpickleError: far larger."""
    makers = {
        b"\x1f\x8b": lambda: zlib.decompressobj(31),
        b"BZh": bz2.BZ2Decompressor,
        b"\xfd7zXZ": lzma.LZMADecompressor,
        b"\x5d\x00\x00": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE),
        **{bytes((0x78, level)): zlib.decompressobj for level in (0x01, 0x5E, 0x9C, 0xDA)},
    }
    make = next((m for magic, m in makers.items() if data.startswith(magic)), None)
    if make is None:
        return data
    limit = INFLATED_ROOM + GROWTH * len(data)
    out = make().decompress(data, limit)
    if len(out) >= limit:
        raise UnpickleError("The compressed file becomes far larger than it is; it was not read.")
    return out


def entry_bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Returns the content of an entry; takes no more memory than its `file_size`, twice.

    `ZipFile.read` makes room for what an entry claims to have stored, and inflates all that it has.
    """
    with archive.open(entry) as file:
        return file.read(entry.file_size)


def guarded(path: str | os.PathLike, read: Callable[[io.BufferedReader], Any]) -> Any:
    """Returns what `read` makes of an open file, every failure as `UnpickleError`."""
    try:
        with Path(path).open("rb") as file:
            return read(file)
    except UnpickleError:
        raise
    except OSError as error:
        raise UnpickleError(f"{path} cannot be read ({error.strerror or error}).") from error
    except Exception as error:  # a damaged pickle raises almost anything
        said = " ".join(codecs.decode(ascii(str(error)[:120]), "unicode_escape").split())
        raise UnpickleError(f"{path} is damaged, or no weights file ({said}).") from error
