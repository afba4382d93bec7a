"""The landmark networks: their operations, their files, and the original run through LiteRT."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from hvc_jax.pose.crops import pixel_centres, to_picture, to_window, window_between
from hvc_jax.pose.detect import Detection, anchors, candidates, detect, followed, merged
from hvc_jax.pose.graph import run_graph
from hvc_jax.pose.networks import NetworkFileError, load_network
from hvc_jax.pose.sight import refined
from hvc_jax.synth.people import render_clip


def _run(node, x, **weights):
    graph = {
        "nodes": [{"activation": "", "inputs": ["x", *weights], "output": "y", **node}],
        "input": "x",
        "outputs": ["y"],
        "output_names": ["y"],
    }
    return np.asarray(run_graph(graph, weights, x)["y"])


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolution_is_the_grouped_one(padding, stride):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 9, 8, 3)).astype(np.float32)
    w, b = rng.normal(size=(1, 3, 3, 3)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    node = {"op": "depthwise_conv_2d", "padding": padding, "strides": [stride, stride]}
    expected = jax.lax.conv_general_dilated(
        x, w.transpose(1, 2, 0, 3), (stride, stride), padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=3,
    )  # fmt: skip
    np.testing.assert_allclose(_run(node, x, w=w, b=b), expected + b, atol=1e-5)


def test_a_point_convolution_is_a_product():
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(2, 4, 5, 3)), rng.normal(size=(7, 1, 1, 3))
    node = {"op": "conv_2d", "padding": "SAME", "strides": [1, 1]}
    y = _run(node, jnp.asarray(x), w=jnp.asarray(w), b=jnp.zeros(7))
    np.testing.assert_allclose(y, np.einsum("bhwi,oi->bhwo", x, w[:, 0, 0]), atol=1e-5)


def test_depth_to_space_lays_channels_side_by_side():
    x = np.arange(2 * 2 * 8, dtype=np.float32).reshape(1, 2, 2, 8)
    y = _run({"op": "depth_to_space", "block": 2}, x)
    np.testing.assert_array_equal(y[0, 0, 0], x[0, 0, 0, :2])
    np.testing.assert_array_equal(y[0, 1, 1], x[0, 0, 0, 6:])


def test_points_of_a_window_and_back():
    rng = np.random.default_rng(2)
    windows = np.array([[0.1, -0.2, 0.7, 0.4], [0.0, 0.3, 1.2, -2.0]], np.float32)
    points = rng.uniform(-1, 1, (2, 5, 2)).astype(np.float32)
    back = to_window(to_picture(points, windows), windows)
    np.testing.assert_allclose(back, points, atol=1e-5)


def test_a_window_looks_towards_its_second_point():
    start, end = np.array([[0.2, 0.1]]), np.array([[0.5, 0.1]])  # to the right
    window = window_between(start, end, 1.25)
    np.testing.assert_allclose(window[0, 2], 0.3 * 1.25, rtol=1e-5)
    top = to_picture(np.array([[[0.0, -1.0]]], np.float32), window)
    np.testing.assert_allclose(top[0, 0], [0.2 + 0.375, 0.1], atol=1e-5)


def test_pixel_centres_are_those_of_the_picture():
    np.testing.assert_allclose(
        pixel_centres(2), [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]
    )


def test_anchors_are_as_many_as_the_detector_has_rows():
    assert anchors().shape == (2254, 2)


def test_overlapping_boxes_are_one_person():
    box = np.zeros((3, 12))
    box[:, 2:4] = 0.4
    box[:, :2] = [[0.3, 0.5], [0.32, 0.5], [0.8, 0.5]]
    people = merged(box, np.array([0.9, 0.8, 0.7]))
    assert [round(p.score, 1) for p in people] == [0.9, 0.7]
    assert merged(box, np.full(3, 0.1)) == []
    # Who is likely counts where nobody is sure.
    assert len(merged(box, np.array([0.4, 0.35, 0.3]))) == len(people)
    far = np.concatenate([box[:1], box[:1] + np.array([0.5] * 2 + [0] * 2 + [0.5] * 8)])
    assert len(merged(far, np.array([0.9, 0.4]))) == 1 < len(merged(far, np.array([0.9, 0.6])))


def test_a_look_with_a_margin_finds_the_same_window():
    frames, network = render_clip(2, 1, 192, framing="full").frames, load_network("pose_detection")
    near, far = (merged(*(x[0] for x in candidates(frames, network, h)))[0] for h in (1.0, 1.6))
    np.testing.assert_allclose(far.window, near.window, atol=0.15)


def test_pictures_without_a_sure_person_are_looked_at_with_a_margin(monkeypatch):
    sure = {1.0: [0.9, 0.2, 0.4], 1.6: [0.95, 0.45]}
    looked = []

    def fake(pictures, network, half):
        looked.append(pictures[:, 0, 0, 0].tolist())
        return np.full((len(pictures), 1, 12), half), np.array(sure[half])[:, None]

    monkeypatch.setattr("hvc_jax.pose.detect.candidates", fake)
    pictures = np.broadcast_to(np.arange(3, dtype=np.uint8)[:, None, None, None], (3, 8, 8, 3))
    people = detect(pictures, None)
    assert looked == [[0, 1, 2], [1, 2]]
    assert [found[0].score for found in people] == [0.9, 0.95, 0.4]


def test_one_person_is_followed_past_another():
    def at(u, half):
        return Detection(np.array([u, 0, half, 0], np.float32), 0.9)

    people = [[at(-0.5, 0.4), at(0.5, 0.3)], [at(0.45, 0.3), at(-0.4, 0.4)], [], [at(0.4, 0.3)]]
    large, frames = followed(people[:3], 1)
    assert list(frames) == [0, 1]
    np.testing.assert_allclose(large[:, 0], [-0.5, -0.4])
    small, frames = followed(people, 2)
    assert list(frames) == [0, 1, 3]
    np.testing.assert_allclose(small[:, 0], [0.5, 0.45, 0.4])


def test_heat_moves_a_landmark_to_its_centre():
    heat = np.full((1, 64, 64, 2), -20.0, np.float32)
    heat[0, 20, 31, 0] = 10.0
    points = refined(jnp.full((1, 2, 2), 0.5).at[0, 0, 1].set(21 / 64), jnp.asarray(heat))
    np.testing.assert_allclose(points[0, 0], [31 / 64, 20 / 64], atol=1e-4)
    np.testing.assert_allclose(points[0, 1], 0.5)  # nothing hot about it: it stays


def test_damaged_and_wrong_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no landmark network at"):
        load_network("pose_landmark", str(tmp_path))
    (tmp_path / "pose_landmark.safetensors").write_bytes(b"\0" * 40)
    with pytest.raises(NetworkFileError, match="damaged"):
        load_network("pose_landmark", str(tmp_path))
    metadata = {"kind": "landmark_network", "name": "face_landmark", "graph": json.dumps({})}
    save_file({"c0": np.zeros(1)}, tmp_path / "face_landmark.safetensors", metadata=metadata)
    (tmp_path / "face_landmark.safetensors").rename(tmp_path / "hand_recrop.safetensors")
    with pytest.raises(NetworkFileError, match="is not the network hand_recrop"):
        load_network("hand_recrop", str(tmp_path))
