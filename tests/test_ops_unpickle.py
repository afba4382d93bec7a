import collections
import gzip
import io
import lzma
import pickle
import struct
import sys
import time
import tracemalloc
import types
import zipfile
import zlib

import numpy as np
import pytest

from hvc_jax.ops.plain_values import UnpickleError, plain_array
from hvc_jax.ops.torch_files import load_torch
from hvc_jax.ops.unpickle import load_pickle


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


_SCALAR = b"""cnumpy.core.multiarray
scalar
(cnumpy
dtype
(S'V1000000000'
I00
I01
tR(I3
S'|'
NNNI1000000000
I1
I4
tbcnumpy
ndarray
((I0
tS'f8'
tRtR."""
_DTYPE = b"cnumpy\ndtype\n(S'f8'\nI00\nI01\ntR"
_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
_HOSTILE = {
    "nested tuples as a key": b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s.",
    "scalar of nothing": _SCALAR,
    "records": b"cnumpy\ndtype\n(S'V8'\nI00\nI01\ntR.",
    "fields of a type": _DTYPE + b"(I3\nS'<'\nNS'a'\n}I8\nI1\nI0\ntb.",
    "array of a shape it has no bytes for": (
        _ARRAY + b"(I1\n(I1000000000\nt" + _DTYPE + b"I00\nS'abc'\ntb."
    ),
    "array of negative shape": _ARRAY + b"(I1\n(I-1\nt" + _DTYPE + b"I00\nS''\ntb.",
    "objects": _ARRAY + b"(I1\n(I1000000000\ntcnumpy\ndtype\n(S'O8'\ntRI00\n]tb.",
    "a class that may only be named": b"cnumpy\nndarray\n((I1000000000\ntS'f8'\ntR.",
    "bytes that are only claimed": b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b".",
    "state of a number": b"K\x01}b.",
    "keys of one hash": b"\x80\x02}" + pickle.dumps(2**61 - 1, 2)[2:-1] + b"K\x01s.",
    "append to a number": b"K\x01K\x02a.",
    "call of a number": b"K\x01)R.",
    "joblib array without its bytes": (
        b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(S'shape'\n(I1000000\ntS'dtype'\n"
        + _DTYPE + b"ub."
    ),
    "an integer of many digits": b"L" + b"9" * 10_000 + b"L\n.",
    "zlib bomb": zlib.compress(bytes(1 << 26)),
}  # fmt: skip


@pytest.mark.parametrize("name", _HOSTILE)
def test_hostile_pickles_are_one_error_and_take_no_memory(tmp_path, name):
    (tmp_path / "a.pkl").write_bytes(_HOSTILE[name])
    tracemalloc.start()
    try:
        with pytest.raises(UnpickleError) as caught:
            load_pickle(tmp_path / "a.pkl")
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("step", [b"]\x94", b"]", b")0"])
def test_a_file_of_objects_without_numbers_is_not_read_to_its_end(tmp_path, step):
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04" + step * 2_500_001 + b".")
    started = time.process_time()
    with pytest.raises(UnpickleError, match="more objects"):
        load_pickle(tmp_path / "a.pkl")
    assert time.process_time() - started < 20  # 1 to 2 s
    rows = np.arange(10 * 72.0).reshape(10, 72).tolist()
    (tmp_path / "b.pkl").write_bytes(pickle.dumps({"pose": rows * 100}))
    assert load_pickle(tmp_path / "b.pkl")["pose"][999] == rows[9]


def test_what_looks_hostile_and_is_harmless_is_read(tmp_path):
    cases = {
        "far memo": (b"\x80\x02}r\x00\x00\x00\x12.", {}),
        "shadowed method": (b"ccollections\nOrderedDict\n)R}S'items'\nK\x05sb.", {}),
        "nested tuples in a set": (b"\x80\x04\x8f()" + b"\x85" * 200_000 + b"\x90.", None),
        "self-reference": (b"\x80\x02]q\x00h\x00a.", None),
    }
    for name, (data, expected) in cases.items():
        (tmp_path / "a.pkl").write_bytes(data)
        got = load_pickle(tmp_path / "a.pkl")
        assert expected is None or got == expected, name


def test_shared_lists_do_not_become_arrays_without_end():
    shared = [1.0, 2.0]
    for _ in range(6):
        shared = [shared] * 100
    with pytest.raises(ValueError, match="more numbers"):
        plain_array(shared, 10_000)
    endless = []
    endless.append(endless)
    with pytest.raises(ValueError, match="nested"):
        plain_array(endless, 10_000)
    np.testing.assert_array_equal(plain_array([[1, 2], (3, 4)], 100), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(plain_array([np.ones(2), np.zeros(2)], 100), [[1, 1], [0, 0]])
    for wrong in ([[1], [1, 2]], ["a"], [10**400], [None]):
        with pytest.raises(ValueError):
            plain_array(wrong, 100)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_of_every_protocol_come_back(tmp_path, protocol):
    tree = {
        "a": np.arange(6, dtype=">i4").reshape(2, 3), 1: [1.5, (None, True), -(2**70), "\u00e9"],
        "b": {"c": b"bytes", "d": np.array(["x", "yz"])}, "e": np.float32(0.5), "f": {"s"},
        "g": np.array([{"k": 1}, None], object), "i": np.zeros((0, 3)), "j": b"",
        "h": np.asfortranarray(np.eye(3)[:2]),
    }  # fmt: skip
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(tree, protocol))
    back = load_pickle(tmp_path / "a.pkl")
    assert back[1] == tree[1] and back["b"]["c"] == b"bytes" and back["e"] == 0.5
    assert back["f"] == ["s"] and back["g"].tolist() == [{"k": 1}, None]
    for key in ("a", "h", "i", "j"):
        np.testing.assert_array_equal(back[key], tree[key])
    assert back["b"]["d"].tolist() == ["x", "yz"]


def _joblib(tree, compress=lambda data: data):
    """Bytes as joblib.dump writes them: a wrapper in the pickle, the array's bytes after it."""
    module = types.ModuleType("joblib.numpy_pickle")
    wrapper = type("NumpyArrayWrapper", (), {"__module__": "joblib.numpy_pickle"})
    module.NumpyArrayWrapper = wrapper
    file = io.BytesIO()

    class Pickler(pickle._Pickler):
        def save(self, thing, save_persistent_id=True):
            if not isinstance(thing, np.ndarray):
                return super().save(thing, save_persistent_id)
            note = wrapper()
            note.__dict__ = {
                "subclass": np.ndarray, "shape": thing.shape, "order": "C", "dtype": thing.dtype,
                "allow_mmap": True, "numpy_array_alignment_bytes": 16,
            }  # fmt: skip
            super().save(note)
            self.framer.commit_frame(force=True)
            file.write(b"\x03\xff\xff\xff" + thing.tobytes())
            return None

    before = sys.modules.get("joblib.numpy_pickle"), sys.modules.get("joblib")
    sys.modules["joblib"], sys.modules["joblib.numpy_pickle"] = types.ModuleType("joblib"), module
    try:
        Pickler(file, 4).dump(tree)
    finally:
        for name, old in zip(("joblib.numpy_pickle", "joblib"), before, strict=True):
            sys.modules.pop(name) if old is None else sys.modules.update({name: old})
    return compress(file.getvalue())


@pytest.mark.parametrize("compress", [lambda d: d, zlib.compress, gzip.compress, lzma.compress])
def test_joblib_files_are_read_without_joblib(tmp_path, compress):
    tree = {1: {"pose": np.arange(6, dtype=np.float32).reshape(2, 3), "ids": np.arange(4)}}
    (tmp_path / "a.pkl").write_bytes(_joblib(tree, compress))
    back = load_pickle(tmp_path / "a.pkl")
    for key, value in tree[1].items():
        np.testing.assert_array_equal(back[1][key], value)
