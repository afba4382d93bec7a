"""NumPy files: read as numpy does, bounded by what they hold."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from hvc_jax.ops.npz import npz_names, read_npy, read_npz
from hvc_jax.ops.plain_values import UnpickleError


def _header(text, body=b""):
    text = text.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


def test_arrays_and_plain_objects_come_back(tmp_path):
    arrays = {
        "a": np.arange(6.0).reshape(2, 3), "b": np.asfortranarray(np.eye(3)), "c": np.float32(2),
        "d": np.zeros((0, 3)), "e": np.array("male"),
    }  # fmt: skip
    np.savez_compressed(tmp_path / "a.npz", **arrays, o={"k": np.ones(2)}, r=np.zeros(2, "f4,i4"))
    back = read_npz(tmp_path / "a.npz")
    assert set(back) == {*arrays, "o"} and npz_names(tmp_path / "a.npz") == {*arrays, "o", "r"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert np.shape(back[name]) == np.shape(array)
    np.testing.assert_array_equal(back["o"]["k"], [1, 1])
    np.save(tmp_path / "a.npy", {"k": [1, 2]})
    assert read_npy(tmp_path / "a.npy") == {"k": [1, 2]}


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x93NUMPY\x03\x00", b"\x93NUMPY\x01\x00\xff\xff",
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}"),
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}", bytes(8)),
        _header("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", b"cos\nsystem\n."),
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (True,)}", bytes(8)),
        _header("(" * 100),
    ],
)  # fmt: skip
def test_damage_is_one_error(tmp_path, data):
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(UnpickleError) as caught:
        read_npy(tmp_path / "a.npy")
    assert "\n" not in str(caught.value)


def test_an_archive_that_becomes_far_larger_is_refused(tmp_path):
    file = io.BytesIO()
    np.save(file, np.zeros(8 << 20))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", file.getvalue())
    with pytest.raises(UnpickleError, match="far larger"):
        read_npz(tmp_path / "a.npz")


def _peak_of(path):
    tracemalloc.start()
    try:
        with pytest.raises(UnpickleError):
            read_npz(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("place", ["stored", "deflated"])
def test_sizes_that_an_archive_claims_take_no_memory(tmp_path, place):
    """An entry that says to have stored a gibibyte, and one that inflates to more than it says."""
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "a.npy",
            bytes(64 << 20) if place == "deflated" else bytes(8),
            zipfile.ZIP_DEFLATED if place == "deflated" else zipfile.ZIP_STORED,
        )
    data = bytearray(path.read_bytes())
    head = data.rindex(b"PK\x01\x02")  # the central directory's, which is believed
    field, claim = (24, 8) if place == "deflated" else (20, 1 << 30)
    data[head + field : head + field + 4] = claim.to_bytes(4, "little")
    path.write_bytes(data)
    assert _peak_of(path) < 8 << 20


def test_an_archive_of_a_later_version_is_one_error(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.zeros(3))
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 6] = 255  # the version that is needed to extract
    path.write_bytes(data)
    assert npz_names(path) == set()
    with pytest.raises(UnpickleError, match="a.npz is damaged"):
        read_npz(path)
