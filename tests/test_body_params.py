"""The body vector: layout, names, mirror."""

import subprocess
import sys

import numpy as np
import pytest

from hvc_jax.body import params


def test_tables_have_the_smplx_layout():
    assert len(params.JOINT_NAMES) == len(params.PARENTS) == 55
    assert params.JOINT_NAMES[15] == "head" and params.JOINT_NAMES[22] == "jaw"
    assert params.JOINT_NAMES[25] == "left_index1" and params.JOINT_NAMES[54] == "right_thumb3"
    assert params.PARENTS[0] == -1
    assert all(p < j for j, p in enumerate(params.PARENTS))
    assert len(set(params.VECTOR_NAMES)) == params.BODY_VECTOR_SIZE == 188


def test_pack_and_unpack_are_inverse():
    vector = np.random.default_rng(0).normal(size=(2, 3, 188)).astype(np.float32)
    state = params.unpack(vector)
    assert state.body_pose.shape == (2, 3, 54, 3)
    np.testing.assert_array_equal(params.pack(state), vector)
    assert state.body_pose[1, 2, 14, 1] == vector[1, 2, params.VECTOR_INDEX["head_y"]]


def test_wrong_size_says_what_is_expected():
    with pytest.raises(ValueError, match="188 entries, got 31"):
        params.unpack(np.zeros((4, 31)))


def test_aliases_and_near_names():
    assert params.resolve_name("head_yaw") == params.VECTOR_INDEX["head_y"]
    assert params.resolve_name("body_pitch") == params.VECTOR_INDEX["pelvis_x"]
    with pytest.raises(KeyError, match="left_elbow"):
        params.resolve_name("left_elbov_x")


def test_mirror_is_an_involution_that_swaps_sides():
    vector = np.random.default_rng(1).normal(size=(5, 188)).astype(np.float32)
    twice = params.mirror(params.mirror(vector))
    np.testing.assert_array_equal(twice, vector)
    once = params.mirror(vector)
    index = params.VECTOR_INDEX
    np.testing.assert_array_equal(once[:, index["left_knee_x"]], vector[:, index["right_knee_x"]])
    np.testing.assert_array_equal(once[:, index["head_y"]], -vector[:, index["head_y"]])


def test_importing_the_tables_does_not_import_jax():
    code = "import sys, hvc_jax.body.params; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
