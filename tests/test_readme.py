"""The Python of the README runs as it stands, in a folder with a clip."""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from hvc_jax.data.clips import write_video

BLOCKS = re.findall(
    r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), re.S
)


def test_the_readme_has_examples() -> None:
    assert BLOCKS


@pytest.mark.parametrize("block", BLOCKS)
def test_python_of_the_readme_runs(block: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frames = np.kron(
        rng.integers(0, 256, (4, 8, 8, 3), np.uint8), np.ones((1, 32, 32, 1), np.uint8)
    )
    write_video(tmp_path / "in.mp4", frames, Fraction(25))
    exec(compile(block, "README.md", "exec"), {})
