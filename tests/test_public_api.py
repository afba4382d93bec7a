"""What `import hvc_jax` offers, used as the README does."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from stream_cases import stream

import hvc_jax as hvc
from hvc_jax.stream.opened import Stream
from hvc_jax.stream.schema import builtin_schema
from hvc_jax.stream.tables import default_tables


def test_importing_is_light() -> None:
    program = (
        "import sys, hvc_jax; print([m for m in ('jax', 'numpy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    for name in hvc.__all__:
        assert getattr(hvc, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hvc.nothing


def test_models_are_listed_and_opened() -> None:
    assert {"semantic", "keypoint"} <= set(hvc.list_models())
    assert hvc.load("keypoint").export.variant == "keypoint"


def test_a_stream_is_looked_at_edited_and_saved(tmp_path) -> None:
    tables = default_tables(builtin_schema("upper31"))
    opened = Stream(stream(schema_name="upper31", frames=20), tables)
    assert sum(opened.bytes_by_unit.values()) == len(opened.data)
    edited = opened.edit("head_y+=20deg", frames=slice(5, 10))
    moved = edited.tracks["head_y"] - opened.tracks["head_y"]
    assert np.abs(moved[5:10] - np.radians(20)).max() < 0.05 and not moved[:5].any()
    np.testing.assert_array_equal(edited.tracks["neck_x"], opened.tracks["neck_x"])
    edited.save(tmp_path / "b.hvc")
    assert (tmp_path / "b.hvc").read_bytes() == edited.data


def test_the_body_is_a_callable_that_jax_transforms() -> None:
    body = hvc.body.load()
    vertices, joints = jax.jit(body.__call__)()
    assert vertices.shape == (body.body.num_vertices, 3) and joints.shape[1] == 3
    turned, _ = jax.vmap(lambda turn: body(global_orient=turn))(
        np.array([[0, 0, 0], [0, 0.3, 0.0]])
    )
    np.testing.assert_allclose(turned[0], vertices, atol=1e-6)
    flat = body(body_pose=np.full(63, 0.1))[0]
    np.testing.assert_allclose(flat, body(body_pose=np.full((21, 3), 0.1))[0], atol=1e-6)
    slope = jax.grad(lambda x: body(transl=x)[0].sum())(np.zeros(3))
    np.testing.assert_allclose(slope, body.body.num_vertices, rtol=1e-4)
    with pytest.raises(ValueError, match="joints below the root"):
        body(body_pose=np.zeros((99, 3)))
