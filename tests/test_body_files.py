"""SMPL-family files: formats, hostile pickles, wrong fields."""

import pickle
import sys
import types

import numpy as np
import pytest
from body_files import PARENTS, random_model

from hvc_jax.body import files


def pickle_with_stand_ins(model, path):
    """Writes `model` as the official files are: chumpy arrays, a csc matrix, latin-1 strings."""
    modules = {}
    for name in ("chumpy", "chumpy.ch", "chumpy.reordering", "scipy.sparse.csc"):
        modules[name] = types.ModuleType(name)

    def make(module, name, base=object):
        cls = type(name, (base,), {"__module__": module})
        setattr(modules[module], name, cls)
        return cls

    ch = make("chumpy.ch", "Ch")
    select = make("chumpy.reordering", "Select")
    csc = make("scipy.sparse.csc", "csc_matrix")

    def chumpy(x):
        out = ch()
        out.__dict__ = {"x": np.asarray(x), "_dirty_vars": set(), "_itr": None}
        return out

    content = dict(model)
    content["v_template"] = chumpy(model["v_template"])
    flat = np.concatenate([[7.0], model["shapedirs"].ravel()])
    picked = select()
    picked.__dict__ = {
        "a": chumpy(flat),
        "idxs": np.arange(1, len(flat)),
        "preferred_shape": model["shapedirs"].shape,
    }
    content["shapedirs"] = picked
    dense = model["J_regressor"]
    rows, columns = np.nonzero(dense.T)[::-1]
    sparse = csc()
    sparse.__dict__ = {
        "_shape": dense.shape,
        "data": dense.T[columns, rows],
        "indices": rows.astype(np.int32),
        "indptr": np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=dense.shape[1]))]),
        "maxprint": 50,
    }
    content["J_regressor"] = sparse
    content["bs_style"] = "lbs"
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        path.write_bytes(pickle.dumps(content, protocol=2))
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


@pytest.mark.parametrize("kind", ["smpl", "smplh", "smplx"])
def test_pickle_with_chumpy_reads_without_chumpy(tmp_path, kind):
    model = random_model(kind, vertices=60)
    pickle_with_stand_ins(model, tmp_path / "model.pkl")
    got = files.read_model(tmp_path / "model.pkl")
    for key in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights"):
        np.testing.assert_allclose(got[key], model[key], atol=1e-12, err_msg=key)
    assert files.parents(got) == (-1, *PARENTS[kind][1:])


def test_converted_file_is_the_same_and_needs_no_pickle(tmp_path):
    model = random_model("smplx", vertices=60)
    pickle_with_stand_ins(model, tmp_path / "model.pkl")
    files.write_model(tmp_path / "model.npz", files.read_model(tmp_path / "model.pkl"))
    again = files.read_model(tmp_path / "model.npz")
    np.testing.assert_array_equal(again["J_regressor"], model["J_regressor"])
    assert {p.name for p in tmp_path.iterdir()} == {"model.pkl", "model.npz"}


def test_npz_with_object_fields_beside_the_numbers(tmp_path):
    model = random_model("smplx", vertices=60)
    np.savez(tmp_path / "m.npz", **model, part2num=np.array({"head": 1}, dtype=object))
    assert files.read_model(tmp_path / "m.npz")["v_template"].shape == (60, 3)


class Evil:
    """A pickle that makes a folder when it is loaded by an ordinary reader."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.mkdir, (str(self.path),)


def test_malicious_pickle_raises_and_runs_nothing(tmp_path):
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"v_template": Evil(tmp_path / "owned")}, 2))
    with pytest.raises(files.BodyFileError, match="mkdir"):
        files.read_model(tmp_path / "evil.pkl")
    assert not (tmp_path / "owned").exists()


def test_reconstructing_a_foreign_class_is_refused(tmp_path):
    # copyreg._reconstructor(dict, dict, {...}) would build any class the list lets through.
    payload = b"\x80\x02ccopy_reg\n_reconstructor\nc__builtin__\nset\nc__builtin__\nset\nN\x87R."
    (tmp_path / "evil.pkl").write_bytes(payload)
    with pytest.raises(files.BodyFileError, match="no array"):
        files.read_model(tmp_path / "evil.pkl")


@pytest.mark.parametrize(
    ("field", "change", "message"),
    [
        ("weights", lambda x: x[:-1], "'weights' has shape 59x24, not 60x24"),
        ("posedirs", lambda x: x[..., :-9], "'posedirs' has shape 60x3x198, not 60x3x207"),
        ("J_regressor", lambda x: np.full_like(x, np.nan), "'J_regressor' holds NaN"),
        ("kintree_table", lambda x: x[:, :23], "23 joints; SMPL has 24"),
        ("f", lambda x: x + 60, "'f' names vertices outside 0..59"),
        ("shapedirs", lambda x: x[0], "'shapedirs' has shape 3x20, not 60x3xany"),
        ("v_template", None, "'v_template' is missing"),
    ],
)
def test_wrong_fields_are_named(tmp_path, field, change, message):
    model = random_model("smpl", vertices=60)
    if change is None:
        del model[field]
    else:
        model[field] = change(model[field])
    np.savez(tmp_path / "m.npz", **model)
    with pytest.raises(files.BodyFileError, match=message):
        files.read_model(tmp_path / "m.npz")


def test_children_before_parents_are_refused(tmp_path):
    model = random_model("smpl", vertices=60)
    model["kintree_table"][0, 3] = 9
    np.savez(tmp_path / "m.npz", **model)
    with pytest.raises(files.BodyFileError, match="no tree"):
        files.read_model(tmp_path / "m.npz")


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(files.BodyFileError, match="does not exist"):
        files.read_model(tmp_path / "nothing.npz")
    for name in ("torn.npz", "torn.pkl"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 not really")
        with pytest.raises(files.BodyFileError, match=name):
            files.read_model(tmp_path / name)
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(files.BodyFileError, match="holds a list"):
        files.read_model(tmp_path / "list.pkl")


def test_small_and_full_smplx_files_split_shape_and_expression(tmp_path):
    for directions, first in ((20, 10), (400, 300)):
        model = random_model("smplx", vertices=30, directions=directions)
        shape, expression = files.split_directions(model, 10, 10)
        np.testing.assert_array_equal(shape[3], model["shapedirs"][..., 3])
        np.testing.assert_array_equal(expression[2], model["shapedirs"][..., first + 2])
        assert shape.shape == expression.shape == (10, 30, 3)
    assert files.split_directions(model, 300, 100)[1].shape == (100, 30, 3)
