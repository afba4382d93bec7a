"""The search for displacement fields on small moving pictures: it pays, twice the same, decodes."""

import numpy as np
import pytest

from hvc_jax.codec import field_group, search


def _clip(frames: int, side: int = 64) -> np.ndarray:
    """A textured disc that travels over a textured ground."""
    rng = np.random.default_rng(0)
    ground = rng.random((8, 8, 3)).repeat(8, 0).repeat(8, 1) * 120
    coat = rng.random((8, 8, 3)).repeat(4, 0).repeat(4, 1) * 135 + 120
    made = []
    for t in range(frames):
        picture = np.array(ground)
        y, x = np.mgrid[:32, :32]
        inside = (y - 15.5) ** 2 + (x - 15.5) ** 2 < 200
        picture[16:48, 8 + t : 40 + t][inside] = coat[inside]
        made.append(picture)
    smooth = np.stack(made)
    for axis in (1, 2):
        smooth = (smooth + np.roll(smooth, 1, axis) + np.roll(smooth, -1, axis)) / 3
    return np.round(smooth).astype(np.uint8)


def _group(low_delay: bool = False, frames: int = 9):
    clip = _clip(frames)
    keys = np.array([0]) if low_delay else np.array([0, frames - 1])
    times = np.setdiff1d(np.arange(frames), keys)
    references = field_group.references_at(times, keys, clip[keys], low_delay)
    return clip[times], references


def _decoded(payload, references, form, prediction=None):
    points, value = field_group.decode_fields(payload, references, form, prediction)
    return field_group.render(references, points, value.modes), points


@pytest.mark.parametrize("low_delay", [False, True])
def test_the_search_pays_and_its_payload_decodes_to_what_it_promised(low_delay: bool) -> None:
    frames, references = _group(low_delay)
    options = search.FieldOptions(lmbda=0.05, grid=(8, 8), effort=0)
    form = field_group.FieldFormat(*options.grid, options.step)
    found = search.encode_group(frames, references, options)
    again = search.encode_group(frames, references, options)
    assert found.payload == again.payload and 0 < len(found.payload) < 200
    decoded, _ = _decoded(found.payload, references, form)
    np.testing.assert_array_equal(decoded, found.frames)
    still, _ = _decoded(b"", references, form)
    error, hold = (np.mean((made.astype(float) - frames) ** 2) for made in (decoded, still))
    assert error < 0.5 * hold


@pytest.mark.parametrize("astray", [1e4, np.nan])
def test_a_descent_that_goes_astray_is_coded_all_the_same(monkeypatch, astray: float) -> None:
    """As under a camera that sways: levels of more than the stream can say."""
    frames, references = _group()
    options = search.FieldOptions(lmbda=0.05, grid=(8, 8), effort=0)
    fit = search._fit
    monkeypatch.setattr(search, "_fit", lambda *a: np.where(np.eye(8), astray, fit(*a)))
    found = search.encode_group(frames, references, options)
    form = field_group.FieldFormat(*options.grid, options.step)
    decoded, _ = _decoded(found.payload, references, form)
    np.testing.assert_array_equal(decoded, found.frames)


def test_single_frames_are_predicted_from_the_fields_before() -> None:
    frames, references = _group(True, 4)
    options = search.FieldOptions(lmbda=0.05, grid=(8, 8), effort=0)
    form = field_group.FieldFormat(*options.grid, options.step)
    prediction, sizes = None, []
    for t in range(3):
        one = references._replace(
            **{
                name: getattr(references, name)[t : t + 1]
                for name in ("past", "future", "past_distance", "future_distance")
            }
        )
        found = search.encode_group(frames[t : t + 1], one, options, prediction)
        decoded, points = _decoded(found.payload, one, form, prediction)
        np.testing.assert_array_equal(decoded, found.frames)
        prediction = points[-1:]
        sizes.append(len(found.payload))
    assert max(sizes) < 60


def test_a_still_clip_costs_nothing() -> None:
    frames, references = _group()
    still = np.repeat(references.pictures[:1], len(frames), 0)
    both = references._replace(pictures=np.repeat(references.pictures[:1], 2, 0))
    options = search.FieldOptions(grid=(8, 8), effort=0)
    assert search.encode_group(still, both, options).payload == b""


def test_a_perfect_prediction_leaves_nothing_to_code() -> None:
    frames, references = _group(True, 4)
    options = search.FieldOptions(lmbda=0.05, grid=(8, 8), effort=0)
    found = search.encode_group(frames, references, options)
    again = search.encode_group(found.frames, references, options, found.control_points)
    assert again.payload == b""
    np.testing.assert_array_equal(again.frames, found.frames)


def test_shares_follow_distance() -> None:
    _, references = _group()
    share = 1 / (1 + np.exp(-field_group.shares(references)))
    np.testing.assert_allclose(share, 1 - np.arange(1, 8) / 8, atol=1e-6)


def test_wrong_settings_are_refused() -> None:
    for bad in ({"lmbda": 0.0}, {"grid": (0, 8)}, {"step": 16}, {"effort": 4}):
        with pytest.raises(ValueError, match="give"):
            search.FieldOptions(**bad)
