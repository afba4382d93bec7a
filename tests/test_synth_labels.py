"""Pixel labels of synthetic people fit the pictures and survive being stored."""

import numpy as np
import pytest

from hvc_jax.data.synthetic_builder import SyntheticHumans
from hvc_jax.synth.labels import BACKGROUND, pack_labels, read_labels, write_labels
from hvc_jax.synth.mesh import part_ids
from hvc_jax.synth.people import SyntheticClip, render_clip

SIZE = 32


@pytest.fixture(scope="module")
def clip() -> SyntheticClip:
    return render_clip(3, 8, SIZE, fps=4.0, framing="upper", labels=True)


def test_depth_and_parts_lie_on_the_person(clip: SyntheticClip) -> None:
    seen, shown = np.isfinite(clip.labels.depth), clip.mask > 0.5
    assert (seen == (clip.labels.parts != BACKGROUND)).all()
    assert (seen & shown).sum() / (seen | shown).sum() > 0.9  # the mask is drawn finer
    assert np.abs(clip.labels.depth[seen]).max() < 1.0  # metres from the pelvis
    assert set(np.unique(clip.labels.parts)) - {BACKGROUND} <= set(part_ids())


def test_flow_finds_the_same_point_in_the_frame_before(clip: SyntheticClip) -> None:
    labels = clip.labels
    assert np.abs(labels.flow[0]).max() < 1e-3
    assert np.abs(labels.flow[labels.parts == BACKGROUND]).max() < 1e-3
    rows, columns = np.mgrid[:SIZE, :SIZE]
    same, moved, carried, stayed = [], 0, [], []
    for t in range(1, 8):
        known = (labels.visible[t] > 0.9) & (labels.parts[t] != BACKGROUND)
        x = np.round(columns + labels.flow[t, ..., 0]).astype(int)[known]
        y = np.round(rows + labels.flow[t, ..., 1]).astype(int)[known]
        same.append(labels.parts[t][known] == labels.parts[t - 1][y, x])
        fast = (np.linalg.norm(labels.flow[t], axis=-1) > 1)[known]
        moved += fast.sum()
        now, before = clip.frames[t].astype(float), clip.frames[t - 1].astype(float)
        carried.append(np.abs(now[known] - before[y, x])[fast])
        stayed.append(np.abs(now[known] - before[known])[fast])
    assert np.concatenate(same).mean() > 0.9
    assert moved > 20, "nothing moves"
    assert np.concatenate(carried).mean() < 0.6 * np.concatenate(stayed).mean()


def test_background_is_hidden_where_the_person_stood(clip: SyntheticClip) -> None:
    labels = clip.labels
    for t in range(1, 8):
        bare = labels.parts[t] == BACKGROUND
        stood = labels.parts[t - 1] != BACKGROUND
        np.testing.assert_array_equal(labels.visible[t][bare], 1.0 - stood[bare])


def test_stored_labels_are_read_back(clip: SyntheticClip, tmp_path) -> None:
    write_labels(tmp_path, "a", pack_labels(clip.labels))
    again = read_labels(tmp_path, "a")
    seen = np.isfinite(clip.labels.depth)
    assert (np.isfinite(again.depth) == seen).all()
    np.testing.assert_allclose(again.depth[seen], clip.labels.depth[seen], atol=6e-4)
    np.testing.assert_allclose(again.flow, clip.labels.flow, atol=1 / 32)
    np.testing.assert_allclose(again.visible, clip.labels.visible, atol=1 / 500)
    with pytest.raises(FileNotFoundError, match="--labels"):
        read_labels(tmp_path, "b")


def test_the_builder_stores_them_beside_the_records(tmp_path) -> None:
    builder = SyntheticHumans(data_dir=tmp_path, clips=1, frames=3, size=SIZE, labels=True)
    builder.download_and_prepare()
    labels = read_labels(builder.data_path, "synthetic_000000")
    assert labels.flow.shape == (3, SIZE, SIZE, 2)
