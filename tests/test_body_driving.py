"""A file of bodies as the motion of a stream."""

import numpy as np
import pytest
from test_body_bvh import HEADER

from hvc_jax.body.driving import load_drive
from hvc_jax.body.files import BodyFileError
from hvc_jax.body.params import VECTOR_INDEX, VECTOR_NAMES

NAMES = ["expression_0", "pelvis_x", "pelvis_y", "pelvis_z", "left_index1_x", "camera_scale"]
NAMES += ["left_elbow_x", "left_elbow_y", "left_elbow_z", "token_0"]


def test_motion_capture_moves_what_the_stream_sends_of_the_body(tmp_path):
    rows = np.zeros((16, 42))
    rows[:, 4] = np.linspace(0, 45, 16)
    text = "\n".join(" ".join(map(str, row)) for row in rows)
    path = tmp_path / "turn.bvh"
    path.write_text(f"{HEADER}MOTION\nFrames: 16\nFrame Time: 0.02\n{text}\n")
    drive = load_drive(path, NAMES, 25.0)
    assert drive.moved == ("pelvis", "left_elbow") and drive.values.shape == (8, len(NAMES))
    turn = drive.values[:, NAMES.index("pelvis_y")]
    np.testing.assert_allclose(turn, np.radians(6.0 * np.arange(8)), atol=1e-5)
    # The two rest poses differ in the arms, by a fixed turn.
    assert np.ptp(np.delete(drive.values, NAMES.index("pelvis_y"), 1), axis=0).max() < 1e-5
    assert "50 frames/s" in drive.notes[0]


def test_hands_move_where_the_file_moves_them(tmp_path):
    bodies = np.zeros((3, len(VECTOR_NAMES)), np.float32)
    bodies[:, VECTOR_INDEX["left_index1_x"]] = [0, 0.5, 1]
    np.savez(tmp_path / "b.npz", bodies=bodies)
    assert load_drive(tmp_path / "b.npz", NAMES, 25.0).moved == (
        "pelvis",
        "left_index1",
        "left_elbow",
    )
    with pytest.raises(BodyFileError, match="moves nothing"):
        load_drive(tmp_path / "b.npz", ["token_0", "camera_x"], 25.0)
