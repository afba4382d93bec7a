import collections
import io
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import pytest

from hvc_jax.ops.unpickle import UnpickleError, load_pickle, load_torch


class _Evil:
    def __reduce__(self):
        return print, ("this must not run",)


def test_numpy_pickles_are_read(tmp_path):
    tree = {"layer": {"kernel": np.arange(6.0).reshape(2, 3), "name": "a"}, "n": np.float32(3)}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(tree))
    back = load_pickle(tmp_path / "a.pkl")
    np.testing.assert_array_equal(back["layer"]["kernel"], tree["layer"]["kernel"])
    assert back["n"] == 3


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_calls_something_is_refused(tmp_path, capsys, protocol):
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"a": _Evil()}, protocol))
    with pytest.raises(UnpickleError, match="print"):
        load_pickle(tmp_path / "evil.pkl")
    assert capsys.readouterr().out == ""


def test_extra_constructors_can_be_admitted(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(collections.Counter("aab")))
    with pytest.raises(UnpickleError, match="Counter"):
        load_pickle(tmp_path / "a.pkl")
    extra = {("collections", "Counter"): collections.Counter}
    assert load_pickle(tmp_path / "a.pkl", extra)["a"] == 2


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x05\x95"])
def test_damage_is_one_error(tmp_path, content):
    (tmp_path / "a.bin").write_bytes(content)
    for load in (load_pickle, load_torch):
        with pytest.raises(UnpickleError):
            load(tmp_path / "a.bin")
        with pytest.raises(UnpickleError, match="cannot be read"):
            load(tmp_path / "missing")


class _Tensor:
    """Pickles as torch does: a call of torch._utils._rebuild_tensor_v2 on a storage."""

    def __init__(self, key, array, offset=0, size=None, stride=None):
        self.key, self.array, self.offset = key, np.ascontiguousarray(array), offset
        self.size = array.shape if size is None else size
        steps = [s // array.itemsize for s in self.array.strides]
        self.stride = tuple(steps) if stride is None else stride


def _pickle_as_torch(monkeypatch, tree):
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2(*_):
        raise AssertionError

    class FloatStorage:
        pass

    _rebuild_tensor_v2.__module__, FloatStorage.__module__ = "torch._utils", "torch"
    _rebuild_tensor_v2.__qualname__, FloatStorage.__qualname__ = (
        "_rebuild_tensor_v2",
        "FloatStorage",
    )
    utils._rebuild_tensor_v2, torch.FloatStorage, torch._utils = (
        _rebuild_tensor_v2,
        FloatStorage,
        utils,
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    class Storage:
        def __init__(self, tensor):
            self.tensor = tensor

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if isinstance(thing, Storage):
                return ("storage", FloatStorage, thing.tensor.key, "cpu", thing.tensor.array.size)
            return None

        def reducer_override(self, thing):
            if not isinstance(thing, _Tensor):
                return NotImplemented
            hooks = collections.OrderedDict()
            size, stride = tuple(thing.size), tuple(thing.stride)
            return _rebuild_tensor_v2, (Storage(thing), thing.offset, size, stride, False, hooks)

    file = io.BytesIO()
    Pickler(file, 2).dump(tree)
    monkeypatch.delitem(sys.modules, "torch._utils")
    monkeypatch.delitem(sys.modules, "torch")
    return file.getvalue()


def _tensors(array):
    return collections.OrderedDict(
        whole=_Tensor("0", array),
        turned=_Tensor("0", array, size=(4, 3), stride=(1, 4)),
        part=_Tensor("0", array, offset=5, size=(2,), stride=(1,)),
    )


def _check(state, array):
    np.testing.assert_array_equal(state["whole"], array)
    np.testing.assert_array_equal(state["turned"], array.T)
    np.testing.assert_array_equal(state["part"], array.ravel()[5:7])


def _write_zip(path, index, array):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", index)
        archive.writestr("net/data/0", array.tobytes())


def test_torch_zip_files_are_read_without_torch(tmp_path, monkeypatch):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    _write_zip(tmp_path / "a.pth", _pickle_as_torch(monkeypatch, _tensors(array)), array)
    _check(load_torch(tmp_path / "a.pth"), array)


def test_torch_legacy_files_are_read_without_torch(tmp_path, monkeypatch):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    parts = [pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2), pickle.dumps({}, 2)]
    parts += [_pickle_as_torch(monkeypatch, _tensors(array)), pickle.dumps(["0"], 2)]
    parts += [struct.pack("<q", 12), array.tobytes()]
    (tmp_path / "a.pt").write_bytes(b"".join(parts))
    _check(load_torch(tmp_path / "a.pt"), array)


@pytest.mark.parametrize(
    "offset, size, stride",
    [(0, (13,), (1,)), (0, (3, 4), (5, 1)), (12, (1,), (1,)), (0, (-1,), (1,)), (0, (2,), (-1,))],
)
def test_views_outside_the_data_are_refused(tmp_path, monkeypatch, offset, size, stride):
    array = np.arange(12, dtype=np.float32)
    tree = {"a": _Tensor("0", array, offset, size, stride)}
    _write_zip(tmp_path / "a.pth", _pickle_as_torch(monkeypatch, tree), array)
    with pytest.raises(UnpickleError, match="tensor"):
        load_torch(tmp_path / "a.pth")


def test_a_shorter_buffer_than_promised_is_refused(tmp_path, monkeypatch):
    array = np.arange(12, dtype=np.float32)
    index = _pickle_as_torch(monkeypatch, {"a": _Tensor("0", array)})
    _write_zip(tmp_path / "a.pth", index, array[:6])
    with pytest.raises(UnpickleError, match="another size"):
        load_torch(tmp_path / "a.pth")
