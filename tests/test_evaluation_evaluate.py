"""A table from Python: what is in it is what the stream's bytes decode to."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from tiny_export import make_export, make_frames

import hvc_jax as hvc
from hvc_jax.codec.codec import Codec
from hvc_jax.codec.options import EncodeOptions
from hvc_jax.data.clips import write_video
from hvc_jax.evaluation.evaluate import evaluate
from hvc_jax.ops.program import program


@pytest.fixture(scope="module")
def codec(tmp_path_factory) -> Codec:
    return Codec(make_export(tmp_path_factory.mktemp("model"), "keypoint"))


def test_rows_are_of_decoded_streams(codec: Codec, tmp_path) -> None:
    frames = make_frames(5)
    write_video(tmp_path / "person.mp4", frames, Fraction(30))
    options = EncodeOptions(key_qp=40)
    table = evaluate(
        codec, [tmp_path / "person.mp4", frames], size=64, frames=4, fps=50, options=options,
        scores=("psnr", "ms_ssim", "flicker"), every=2,
    )  # fmt: skip
    assert isinstance(table, pd.DataFrame) and list(table["clip"]) == ["person", "1"]
    assert list(table["frames"]) == [4, 4] and list(table["fps"]) == [30, 50]
    assert (table["model_id"] == codec.export.model_id.hex()).all()
    assert (table["version"] == program().version).all() and (table["codec"] == "keypoint").all()
    data = codec.encode(frames[:4], fps=50, options=options, frame_count=4)
    decoded = np.stack(list(codec.decode(data))).astype(float)
    last = table.iloc[1]
    assert last["bytes"] == len(data) and last["kbps"] == pytest.approx(len(data) * 0.1)
    error = ((decoded - frames[:4]) ** 2).mean((1, 2, 3))
    psnr = np.minimum(10 * np.log10(255**2 / np.maximum(error, 1e-12)), 100).mean()
    assert last["psnr"] == pytest.approx(psnr, abs=1e-3)
    assert np.isnan(last["ms_ssim"])  # pictures of 64 pixels are too small for it
    assert len(table.mean(numeric_only=True)) > 8


def test_it_is_in_the_public_api() -> None:
    assert hvc.evaluate is evaluate
