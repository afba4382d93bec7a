"""Synthetic people: labels that fit the pictures, smooth motion, same seed same clip."""

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hvc_jax.body.assets import load_body
from hvc_jax.body.camera import project
from hvc_jax.body.coverage import nearest_triangle
from hvc_jax.body.lbs import posed_vertices
from hvc_jax.body.params import CAMERA, POSE, unpack
from hvc_jax.data import sources
from hvc_jax.data.frames import FrameDataset
from hvc_jax.data.pipeline import batches
from hvc_jax.synth.background import random_background
from hvc_jax.synth.camera import FRAMINGS
from hvc_jax.synth.capture import face_camera, resample
from hvc_jax.synth.look import random_look
from hvc_jax.synth.mesh import dress, dressed_body, face_normals
from hvc_jax.synth.motion import random_motion, random_style, smooth_steps, turned
from hvc_jax.synth.people import render_clip

SIZE = 32


@pytest.fixture(scope="module")
def clip():
    return render_clip(3, 8, SIZE, framing="full")


def test_same_seed_same_clip(clip):
    again = render_clip(3, 8, SIZE, framing="full")
    assert (again.frames == clip.frames).all() and (again.body == clip.body).all()
    assert (render_clip(4, 8, SIZE).frames != clip.frames).any()


def test_shapes_and_ranges(clip):
    assert clip.frames.shape == (8, SIZE, SIZE, 3) and clip.frames.dtype == np.uint8
    assert clip.body.shape == (8, 188) and clip.body.dtype == np.float32
    assert clip.mask.min() >= 0 and 0.9 < clip.mask.max() <= 1
    assert (clip.body[:, CAMERA.start] > 0).all()
    assert (np.abs(clip.body[:, POSE]) < np.pi * 1.01).all()


def test_labels_reproduce_the_silhouette(clip):
    """The bare body, posed and projected by the labels, covers what the picture shows."""
    body = load_body()

    @jax.jit
    def silhouette(vectors):
        params = unpack(vectors)
        screen = project(posed_vertices(body, params)[0], params.camera)
        return nearest_triangle(screen, body.faces, SIZE, SIZE, cull=True) >= 0

    bare, shown = np.asarray(silhouette(clip.body)), clip.mask > 0.5
    # Clothes and hair add a margin; nothing of the body may stick out by more than a rim.
    assert (bare & ~shown).sum() < 0.06 * bare.sum()
    assert (bare & shown).sum() / (bare | shown).sum() > 0.55


def test_the_person_is_in_the_picture():
    clips = [render_clip(seed, 1, SIZE) for seed in range(4)]
    assert all(clip.mask.mean() > 0.02 for clip in clips)
    assert len({tuple(clip.body[0, :10]) for clip in clips}) == 4


def test_turning_goes_about_the_vertical():
    vectors = random_motion(
        np.random.default_rng(0), 3, 4.0, random_style(np.random.default_rng(0), True)
    )
    there = turned(vectors, np.array([0.3, -2.0, np.pi]))
    np.testing.assert_allclose(turned(there, [-0.3, 2.0, -np.pi]), vectors, atol=1e-5)
    up = Rotation.from_rotvec(vectors[:, POSE.start : POSE.start + 3]).apply([0, 1, 0])
    up_there = Rotation.from_rotvec(there[:, POSE.start : POSE.start + 3]).apply([0, 1, 0])
    np.testing.assert_allclose(up_there[:, 1], up[:, 1], atol=1e-6)
    np.testing.assert_allclose(up_there[2], up[2] * [-1, 1, -1], atol=1e-6)


def test_framings_order_the_scale():
    scales = [render_clip(1, 2, SIZE, framing=name).body[0, CAMERA.start] for name in FRAMINGS]
    assert all(a > 0.8 * b for a, b in zip(scales[:-1], scales[1:], strict=True))
    assert scales[0] > 3 * scales[-1]


def test_motion_is_smooth():
    """No jumps: the second difference stays far below the range of the motion."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        track = random_motion(rng, 100, 25.0, random_style(rng, True))[:, POSE]
        assert np.isfinite(track).all()
        assert np.abs(np.diff(track, 2, axis=0)).max() < 0.35


def test_smooth_steps_hold_and_reach():
    rng = np.random.default_rng(0)
    time = np.linspace(0, 50, 2000)
    keys = rng.normal(size=(4, 2))
    track = smooth_steps(rng, time, 1.0, keys)
    assert np.allclose(track[-1], keys[-1])
    low, high = keys.min(0) - 1e-9, keys.max(0) + 1e-9
    assert ((track >= low) & (track <= high)).all()


def test_dressing_moves_the_surface_outwards_a_little():
    mesh = dressed_body()
    count = mesh.counts[0]
    for seed in range(5):
        rest = dress(random_look(np.random.default_rng(seed)))
        moved = np.linalg.norm(rest[:count] - mesh.rest[:count], axis=1)
        assert np.isfinite(moved).all() and moved.max() < 0.1
    assert mesh.faces.max() == len(mesh.rest) - 1
    weights = np.asarray(mesh.body.lbs_weights)
    assert np.allclose(weights.sum(1), 1, atol=2e-3)


def test_normals_of_a_known_triangle():
    vertices = np.array([[0.0, 0, 0], [2, 0, 0], [0, 3, 0]])
    assert face_normals(vertices, np.array([[0, 1, 2]])).tolist() == [[0, 0, 6]]


def test_backgrounds_fill_the_picture():
    pictures = [random_background(np.random.default_rng(k), 24) for k in range(12)]
    assert all(p.shape == (24, 24, 3) and p.dtype == np.uint8 for p in pictures)
    assert len({p.tobytes() for p in pictures}) == 12


def test_training_needs_no_data(tmp_path, monkeypatch):
    """With no path the pipeline renders a small set into the cache, once, and uses its labels."""
    monkeypatch.setenv("HVC_CACHE", str(tmp_path))
    config = {"path": "", "size": SIZE, "synthetic_clips": 2, "synthetic_frames": 4, "flip": 0.0}
    batch = next(batches(config, 2))
    assert batch["target"].shape == (2, SIZE, SIZE, 3) and batch["target_body"][:, 185].min() > 0
    built = sources.resolve("synthetic", config)
    stamp = (built / "clips.json").stat().st_mtime_ns
    assert sources.resolve("synthetic", config) == built
    assert (built / "clips.json").stat().st_mtime_ns == stamp
    vectors = FrameDataset(built).body(0)
    assert vectors.shape == (4, 188)


def test_captured_motion_is_resampled_between_frames():
    pose = np.zeros((3, 1, 3))
    pose[:, 0, 1] = [0.0, 1.0, 2.0]  # a steady turn, a radian a frame
    root = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    turned, moved = resample(pose, root, 10.0, 5, 20.0, 0.0)
    assert np.allclose(turned[:, 0, 1], [0, 0.5, 1, 1.5, 2])
    assert np.allclose(moved[:, 0], [0, 0.5, 1, 1.5, 2])
    held, _ = resample(pose, root, 10.0, 3, 20.0, 5.0)
    assert np.allclose(held[:, 0, 1], 2)


def test_captured_motion_faces_the_camera():
    pose = np.zeros((4, 2, 3))
    pose[:, 0, 1] = 2.0
    root = np.array([[1.0, 0, 0], [1, 0, 1], [1, 0, 2], [1, 0, 3]])
    turned, moved = face_camera(pose, root, 0.0)
    assert np.allclose(turned[:, 0], 0, atol=1e-9)
    assert np.allclose(np.linalg.norm(moved, axis=1), [0, 1, 2, 3])
    assert np.allclose(face_camera(pose, root, 0.3)[0][:, 0, 1], 0.3)
