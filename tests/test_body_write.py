"""Bodies written for other programs: what is read back has the same joints."""

import numpy as np
import pytest

from hvc_jax.body.assets import load_body
from hvc_jax.body.bvh import read_bvh
from hvc_jax.body.bvh_retarget import (
    BONE_NAMES,
    find_bones,
    pelvis_places,
    retarget,
    world_rotations,
)
from hvc_jax.body.bvh_write import bone_name, write_bvh
from hvc_jax.body.lbs import posed_vertices
from hvc_jax.body.parameter_files import load_parameters
from hvc_jax.body.parameter_write import smplx_fields
from hvc_jax.body.params import BODY_VECTOR_SIZE, CAMERA, JOINT_NAMES, POSE, unpack


@pytest.fixture(scope="module")
def bodies():
    rng = np.random.default_rng(7)
    out = np.zeros((5, BODY_VECTOR_SIZE), np.float32)
    out[:, POSE] = rng.normal(0, 0.4, (5, 165))
    out[:, CAMERA] = rng.uniform(0.5, 1.0, (5, 3))
    return out


def test_motion_written_as_bvh_has_the_same_joints(bodies, tmp_path):
    """Forward kinematics of the file, in metres about its root, gives the joints of the body."""
    rest = np.asarray(load_body().J_template)
    write_bvh(tmp_path / "a.bvh", bodies, rest, 25.0)
    motion = read_bvh(tmp_path / "a.bvh")
    assert motion.fps == pytest.approx(25, rel=1e-6)
    assert set(motion.names) == {bone_name(name) for name in JOINT_NAMES}
    world = world_rotations(motion)
    places = np.zeros((len(bodies), len(motion.names), 3))
    for joint, parent in enumerate(motion.parents):
        if parent >= 0:
            step = world[:, parent] @ motion.offsets[joint]
            places[:, joint] = places[:, parent] + step
    expected = np.asarray(posed_vertices(load_body(), unpack(bodies))[1])
    expected = expected - expected[:, :1]
    at = [motion.names.index(bone_name(name)) for name in JOINT_NAMES]
    np.testing.assert_allclose(places[:, at] / 100, expected, atol=2e-5)
    np.testing.assert_allclose(pelvis_places(motion)[:, :2] / 100, bodies[:, -2:], atol=1e-5)


def test_motion_read_back_turns_the_same_bones(bodies, tmp_path):
    """Retargeting the file is the identity for every joint that motion files name."""
    rest = np.asarray(load_body().J_template)
    calm = bodies.copy()
    calm[:, POSE.start + 3 * 22 :][:, : 165 - 66] = 0.0
    write_bvh(tmp_path / "a.bvh", calm, rest, 30.0)
    motion = read_bvh(tmp_path / "a.bvh")
    found = find_bones(motion)
    assert {motion.names[found[joint]] for joint in BONE_NAMES} == {
        bone_name(j) for j in BONE_NAMES
    }
    back = retarget(motion, rest)
    named = [JOINT_NAMES.index(joint) for joint in BONE_NAMES]
    expected = calm[:, POSE].reshape(-1, 55, 3)
    np.testing.assert_allclose(back[:, named], expected[:, named], atol=2e-5)


def test_fields_of_smplx_read_back_as_the_same_bodies(bodies, tmp_path):
    """Pose and camera survive the way through another program's axes; the rest is left out."""
    np.savez(tmp_path / "a.npz", **smplx_fields(bodies, 25.0))
    back = load_parameters(tmp_path / "a.npz").bodies
    np.testing.assert_allclose(back[:, CAMERA], bodies[:, CAMERA], atol=1e-5)
    first, second = (np.asarray(posed_vertices(load_body(), unpack(x))[1]) for x in (bodies, back))
    np.testing.assert_allclose(second, first, atol=1e-5)
