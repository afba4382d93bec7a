"""Coded examples for the generator of fields are what the decoder has, and draws are repeatable."""

from pathlib import Path

import numpy as np
import pytest

from hvc_jax.codec.field_group import render
from hvc_jax.codec.rate import key_places
from hvc_jax.training import field_examples
from hvc_jax.training.field_examples import FieldExamples, code_frames

COUNT, SIDE = 10, 64


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    """A smooth pattern that moves to the right."""
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    waves = [
        128
        + 60
        * np.sin((x - 1.5 * t) / 6)[..., None]
        * np.cos(y / np.array([5.0, 7.0, 9.0])[:, None, None]).transpose(1, 2, 0)
        for t in range(COUNT)
    ]
    return np.clip(np.stack(waves), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def planes(clip: np.ndarray) -> np.ndarray:
    return code_frames(clip, qp=36, spacing=5, effort=0)


def test_the_frame_itself_and_key_pictures(clip: np.ndarray, planes: np.ndarray):
    np.testing.assert_array_equal(planes[..., 13:], clip)
    keys = key_places(COUNT, 5)
    for t in keys:
        assert (planes[t, ..., 12] == 128).all()
        for i in range(3, 12, 3):
            np.testing.assert_array_equal(planes[t, ..., i : i + 3], planes[t, ..., :3])
    between = planes[1]
    np.testing.assert_array_equal(between[..., 6:9], planes[keys[0], ..., :3])
    np.testing.assert_array_equal(between[..., 9:12], planes[keys[1], ..., :3])


def test_the_blend_of_the_sources_is_what_the_decoder_shows(
    clip: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    shown = []
    original = field_examples.sources

    def keep(references, points, modes):  # noqa: ANN001, ANN202
        shown.append(render(references, points, modes))
        return original(references, points, modes)

    monkeypatch.setattr(field_examples, "sources", keep)
    planes = code_frames(clip, qp=36, spacing=5, effort=0).astype(np.float32)
    share = planes[..., 12:13] / 255
    blend = planes[..., 3:6] + share * (planes[..., :3] - planes[..., 3:6])
    between = [t for t in range(COUNT) if t not in key_places(COUNT, 5)]
    np.testing.assert_allclose(blend[between], np.concatenate(shown), atol=1.6)


def test_draws_are_functions_of_seed_and_step(planes: np.ndarray, tmp_path: Path):
    np.save(tmp_path / "a.npy", planes)
    (tmp_path / "a.json").write_text('{"qp": 36, "spacing": 5}')
    examples = FieldExamples(tmp_path)
    first, again = examples.batch(4, 32, 1, 7), FieldExamples(tmp_path).batch(4, 32, 1, 7)
    other = examples.batch(4, 32, 1, 8)
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    assert (first["sources"] != other["sources"]).any()
    later = examples.batches(4, 32, 1, 6)
    next(later)
    np.testing.assert_array_equal(next(later)["target"], first["target"])
    assert first["sources"].shape == (4, 32, 32, 13) and first["qp"].tolist() == [36.0] * 4
    np.testing.assert_array_equal(first["key"], first["sources"][..., 6:9])


def test_no_examples(tmp_path: Path):
    with pytest.raises(ValueError, match="hvc data fields"):
        FieldExamples(tmp_path)
